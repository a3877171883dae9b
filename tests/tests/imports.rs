//! Holds the import rules of ARCHITECTURE.md: who may know whom, and which room knows which crate.
//!
//! It reads sources as text: a `use`, or a path that begins with a crate's name, counts. Code
//! behind `#[cfg(test)]` at the end of a file does not.

use std::fs;
use std::path::{Path, PathBuf};

/// One rule: files below `room` (except those below `except`) must not name any of `words`.
struct Rule {
    room: &'static str,
    except: &'static [&'static str],
    words: &'static [&'static str],
    reason: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        room: "agent/src",
        except: &[],
        words: &["omni_scale::"],
        reason: "agent and coordinator know the contract, never each other",
    },
    Rule {
        room: "coordinator/src",
        except: &[],
        words: &["omni_scale_agent::"],
        reason: "agent and coordinator know the contract, never each other",
    },
    Rule {
        room: "proto/src",
        except: &["proto/src/generated"],
        words: &[
            "tokio::",
            "std::fs",
            "std::env",
            "std::net::Tcp",
            "std::time::SystemTime",
        ],
        reason: "the contract knows no clock, file, socket or environment",
    },
    Rule {
        room: "coordinator/src/plan",
        // A module of tests.
        except: &["coordinator/src/plan/scenarios"],
        words: &[
            "tokio::",
            "tonic::",
            "std::fs",
            "std::env",
            "std::time::",
            "rand::",
        ],
        reason: "a plan is a pure function of deployment and observation",
    },
    Rule {
        room: "coordinator/src/compose",
        except: &[],
        words: &[
            "tokio::",
            "tonic::",
            "std::fs",
            "std::env",
            "std::time::SystemTime",
            "rand::",
        ],
        reason: "resolving a Compose file is pure",
    },
    Rule {
        room: "coordinator/src/render",
        except: &[],
        words: &[
            "tokio::",
            "tonic::",
            "std::fs",
            "std::env",
            "std::time::SystemTime",
            "rand::",
        ],
        reason: "rendering a deployment is pure",
    },
    Rule {
        room: "coordinator/src/rollout/state.rs",
        except: &[],
        words: &[
            "tokio::",
            "tonic::",
            "std::fs",
            "std::env",
            "std::time::SystemTime",
            "rand::",
        ],
        reason: "the state of a rollout is a fold of its events",
    },
    Rule {
        room: "agent/src",
        except: &["agent/src/stack/docker"],
        words: &["bollard::"],
        reason: "the Engine's types stay in its adapter",
    },
    Rule {
        room: "agent/src",
        except: &["agent/src/unit/systemd"],
        words: &["zbus::"],
        reason: "the bus's types stay in its adapter",
    },
    Rule {
        room: "agent/src/unit",
        except: &[],
        words: &["tonic::"],
        reason: "gRPC stays in `server` and `service`",
    },
    Rule {
        room: "agent/src/stack",
        except: &[],
        words: &["tonic::"],
        reason: "gRPC stays in `server` and `service`",
    },
    Rule {
        room: "agent/src",
        except: &["agent/src/machine"],
        words: &["omni_scale_proxmox::"],
        reason: "what Proxmox says stays with the machines",
    },
    Rule {
        room: "agent/src/machine",
        except: &[],
        words: &["tonic::"],
        reason: "gRPC stays in `server` and `service`",
    },
    Rule {
        room: "agent/src/client",
        except: &[],
        words: &["tonic::"],
        reason: "gRPC stays in `server` and `service`",
    },
    Rule {
        room: "agent/src/client",
        except: &[
            "agent/src/client/issuer/https",
            "agent/src/client/issuer/tests",
        ],
        words: &["hyper::", "hyper_util::", "tokio_rustls::"],
        reason: "HTTP stays in its adapter",
    },
    Rule {
        room: "coordinator/src/login",
        except: &["coordinator/src/login/https"],
        words: &["hyper::", "hyper_util::", "tokio_rustls::"],
        reason: "HTTP stays in its adapter",
    },
    Rule {
        room: "agent/src/operation",
        except: &[],
        words: &["tonic::"],
        reason: "gRPC stays in `server` and `service`",
    },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines of a file that are code of the product, with their numbers.
fn product_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| {
            !line.starts_with("#[cfg(test)]") && !line.starts_with("#[cfg(any(test")
        })
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether `line` names the crate or module `word` at the beginning of a path.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':'))
    })
}

fn violations(rule: &Rule) -> Vec<String> {
    let root = root();
    let place = root.join(rule.room);
    assert!(place.exists(), "{} is gone: mend the rule", rule.room);
    let mut found = Vec::new();
    for path in sources(&place) {
        if rule.except.iter().any(|except| {
            path.starts_with(root.join(except)) || path == root.join(format!("{except}.rs"))
        }) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file is text");
        for (number, line) in product_lines(&text) {
            if rule.words.iter().any(|word| names(line, word)) {
                let path = path.strip_prefix(&root).unwrap_or(&path);
                found.push(format!(
                    "{}:{number}: {}\n    {}",
                    path.display(),
                    line.trim(),
                    rule.reason
                ));
            }
        }
    }
    found
}

#[test]
fn every_import_rule_holds() {
    let found: Vec<String> = RULES.iter().flat_map(violations).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_name_counts_only_at_the_beginning_of_a_path() {
    assert!(names("use tokio::net;", "tokio::"));
    assert!(names("let x = tonic::Status::ok();", "tonic::"));
    assert!(!names("use sd_tokio::net;", "tokio::"));
    assert!(!names("use omni_scale_proto::v1;", "omni_scale::"));
    assert!(!names("crate::tokio::x()", "tokio::"));
}
