//! The `agent.toml` that the package brings, and the one that `setup` writes in its place: commented, and no wider
//! than the roles need.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use omni_scale_proto::role::HostRole;

/// The `agent.toml` that the package brings: every key in a comment, so that it says nothing.
#[cfg(test)]
pub const DEFAULT: &str = include_str!("default.toml");

/// What root allows beside what the roles need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// More image repositories.
    pub image_repositories: Vec<String>,
    /// More beginnings of artifact URLs.
    pub artifact_sources: Vec<String>,
    /// The only sums that artifacts may have.
    pub artifact_sha256: Vec<String>,
    /// Clusters that machines may be made on.
    pub hypervisors: Vec<String>,
    /// Which devices of the tailnet may do what.
    pub tailnet: Granted,
}

/// Which devices of the tailnet may do what. Nothing: any device, what its certificate allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted {
    /// The application capability whose values name roles.
    pub capability: Option<String>,
    /// `LOGIN=ROLE`, split.
    pub logins: Vec<(String, String)>,
    /// `TAG=ROLE`, split.
    pub tags: Vec<(String, String)>,
    /// `OPERATOR=HOLDER`, split. An operator may have several.
    pub bind: Vec<(String, String)>,
}

/// Images of the built-in stack.
const OMNI_IMAGES: [&str; 4] = [
    "ghcr.io/siderolabs/omni",
    "ghcr.io/siderolabs/omni-infra-provider-proxmox",
    "docker.io/tailscale/tailscale",
    "ghcr.io/tailscale/tailscale",
];
/// Where tsidp's releases are.
const TSIDP_SOURCE: &str = "https://github.com/tailscale/tsidp/releases/";

/// The text of a configuration for these roles.
pub fn render(roles: &BTreeSet<HostRole>, allowed: &Allowed) -> String {
    let omni = roles.contains(&HostRole::Omni);
    let tsidp = roles.contains(&HostRole::Tsidp);
    let mut images: Vec<&str> = if omni {
        OMNI_IMAGES.to_vec()
    } else {
        Vec::new()
    };
    images.extend(allowed.image_repositories.iter().map(String::as_str));
    let mut sources = if tsidp {
        vec![TSIDP_SOURCE]
    } else {
        Vec::new()
    };
    sources.extend(allowed.artifact_sources.iter().map(String::as_str));
    let sums: Vec<&str> = allowed.artifact_sha256.iter().map(String::as_str).collect();
    let hypervisors: Vec<&str> = allowed.hypervisors.iter().map(String::as_str).collect();
    let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let devices: &[&str] = if omni { &["/dev/net/tun"] } else { &[] };
    let capabilities: &[&str] = if omni { &["NET_ADMIN"] } else { &[] };

    let mut text = String::from(
        "# What the omni-scale agent may do on this host. Root's: no caller can change it over the network.\n\
         # After a change: omni-scale-agent setup, which keeps this file and restarts the agent\n\n\
         # What this agent looks after: `tsidp` or `omni` (never both on one machine), `proxmox`.\n",
    );
    list(&mut text, "roles", &roles);
    text.push_str("\n# Limits on what any caller can ask, admins included. What is not listed is refused.\n[policy]\n");
    for (comment, key, values) in [
        (
            "Repositories that images may come from, without tag and digest. `name/*` allows all below.",
            "image_repositories",
            images.as_slice(),
        ),
        (
            "Directories below which a bind mount may begin.",
            "bind_roots",
            &[],
        ),
        ("Devices that containers may be given.", "devices", devices),
        (
            "Capabilities that containers may be given.",
            "capabilities",
            capabilities,
        ),
        (
            "How the URLs that artifacts are fetched from begin.",
            "artifact_sources",
            sources.as_slice(),
        ),
        (
            "When sums stand here, only artifacts with one of them run.",
            "artifact_sha256",
            sums.as_slice(),
        ),
        (
            "Clusters that machines may be made on. The API token's secret is sent nowhere else.",
            "hypervisors",
            hypervisors.as_slice(),
        ),
    ] {
        let _ = writeln!(text, "# {comment}");
        list(&mut text, key, values);
    }
    tailnet(&mut text, &allowed.tailnet);
    text
}

/// Without a value, a key stands as an example behind a `#`.
fn tailnet(text: &mut String, granted: &Granted) {
    text.push_str(
        "\n# Which devices of the tailnet may do what. It never widens a certificate: the lower of the two roles holds.\n\
         # With nothing here, every device of the tailnet may do what its operator's certificate allows.\n\
         [tailnet]\n\
         # The application capability whose values name roles; in the tailnet's policy file:\n\
         #   \"grants\": [{\"src\": [\"group:ops\"], \"dst\": [\"tag:omni-host\"], \"ip\": [\"tcp:7443\"],\n\
         #     \"app\": {\"example.com/cap/omni-scale\": [{\"roles\": [\"operator\"]}]}}]\n",
    );
    let _ = match &granted.capability {
        Some(capability) => writeln!(text, "capability = {}", quote(capability)),
        None => writeln!(text, "#capability = \"example.com/cap/omni-scale\""),
    };
    text.push_str("# Roles by the login of a device's owner, and by a device's tag.\n");
    table(
        text,
        "logins",
        &granted.logins,
        "\"ada@example.net\" = \"operator\"",
    );
    table(text, "tags", &granted.tags, "\"tag:operator\" = \"viewer\"");
    text.push_str(
        "# Logins or devices (by StableID) that an operator's certificate may come from.\n",
    );
    let mut bind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (operator, holder) in &granted.bind {
        bind.entry(operator).or_default().push(quote(holder));
    }
    let entries: Vec<String> = bind
        .iter()
        .map(|(operator, holders)| format!("{} = [{}]", quote(operator), holders.join(", ")))
        .collect();
    inline(
        text,
        "bind",
        &entries,
        "ada = [\"ada@example.net\", \"nABC1CNTRL\"]",
    );
}

fn table(text: &mut String, key: &str, roles: &[(String, String)], example: &str) {
    let entries: Vec<String> = roles
        .iter()
        .map(|(name, role)| format!("{} = {}", quote(name), quote(role)))
        .collect();
    inline(text, key, &entries, example);
}

fn inline(text: &mut String, key: &str, entries: &[String], example: &str) {
    let _ = if entries.is_empty() {
        writeln!(text, "#{key} = {{ {example} }}")
    } else {
        writeln!(text, "{key} = {{ {} }}", entries.join(", "))
    };
}

fn list(text: &mut String, key: &str, values: &[&str]) {
    let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
    let _ = if quoted.len() > 1 {
        writeln!(text, "{key} = [\n  {},\n]", quoted.join(",\n  "))
    } else {
        writeln!(text, "{key} = [{}]", quoted.concat())
    };
}

/// A TOML basic string.
fn quote(value: &str) -> String {
    let mut quoted = String::from('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::Path;

    use crate::config::{Config, parse};

    #[test]
    fn what_is_written_is_read_back() {
        let allowed = Allowed {
            image_repositories: vec!["registry.lab:5000/*".to_owned()],
            artifact_sources: vec!["https://artifacts.lab/".to_owned()],
            artifact_sha256: vec!["ab".repeat(32)],
            hypervisors: vec!["https://pve.lab:8006".to_owned()],
            tailnet: Granted::default(),
        };
        for role in [HostRole::Tsidp, HostRole::Omni, HostRole::Proxmox] {
            let roles = BTreeSet::from([role]);
            let config = parse(&render(&roles, &allowed), Path::new("agent.toml")).unwrap();
            assert_eq!(config.roles, roles);
            assert!(
                config
                    .policy
                    .image_repositories
                    .contains(&"registry.lab:5000/*".to_owned())
            );
            assert!(
                config
                    .policy
                    .artifact_sources
                    .contains(&"https://artifacts.lab/".to_owned())
            );
            let omni = role == HostRole::Omni;
            assert_eq!(config.policy.devices.contains("/dev/net/tun"), omni);
            assert_eq!(config.policy.capabilities.contains("NET_ADMIN"), omni);
            assert_eq!(config.policy.hypervisors, allowed.hypervisors);
            assert!(config.policy.bind_roots.is_empty());
        }
    }

    #[test]
    fn what_the_package_brings_says_nothing_and_shows_every_key() {
        let read = |text: &str| parse(text, Path::new("agent.toml"));
        assert_eq!(read(DEFAULT).unwrap(), Config::default());
        let uncommented: String = DEFAULT
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if !key.starts_with(' ') && key.contains(" = ") => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let shown = read(&uncommented).unwrap();
        assert_ne!(shown, Config::default());
        // Each key that the reader knows, told by itself.
        for table in ["", "[policy]\n", "[tailnet]\n", "[sockets]\n"] {
            let told = read(&format!("{table}unheard_of = 1\n")).unwrap_err();
            let told = told.to_string();
            let (_, known) = told.split_once("expected").unwrap();
            let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
            assert!(known.len() > 1, "{told}");
            for key in known {
                let (key, table) = (format!("\n{key} = "), format!("\n[{key}]\n"));
                assert!(
                    uncommented.contains(&key) || uncommented.contains(&table),
                    "{key} is not in default.toml"
                );
            }
        }
    }

    #[test]
    fn what_is_granted_is_read_back() {
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        let allowed = Allowed {
            tailnet: Granted {
                capability: Some("example.com/cap/omni-scale".to_owned()),
                logins: vec![pair("ada@example.net", "admin")],
                tags: vec![pair("tag:a", "viewer"), pair("tag:b", "operator")],
                bind: vec![pair("ada", "ada@example.net"), pair("ada", "n1CNTRL")],
            },
            ..Allowed::default()
        };
        let policy = |allowed| {
            let text = render(&BTreeSet::from([HostRole::Omni]), allowed);
            parse(&text, Path::new("agent.toml")).unwrap().tailnet
        };
        let written = policy(&allowed);
        assert_eq!(
            written.capability.map(String::from),
            allowed.tailnet.capability
        );
        assert_eq!((written.logins.len(), written.tags.len()), (1, 2));
        assert_eq!(written.bind[&"ada".parse().unwrap()].len(), 2);
        assert_eq!(
            policy(&Allowed::default()),
            crate::config::TailnetPolicy::default()
        );
    }

    #[test]
    fn the_examples_are_good() {
        let text = render(&BTreeSet::from([HostRole::Omni]), &Allowed::default());
        let lines = text.lines().map(|line| match line.strip_prefix('#') {
            Some(example) if example.starts_with(char::is_alphabetic) => example,
            _ => line,
        });
        let uncommented: Vec<&str> = lines.collect();
        let uncommented = uncommented.join("\n");
        let policy = parse(&uncommented, Path::new("agent.toml"))
            .unwrap()
            .tailnet;
        assert!(policy.capability.is_some() && !policy.bind.is_empty());
        assert!(!policy.logins.is_empty() && !policy.tags.is_empty());
    }

    #[test]
    fn a_value_with_quotes_stays_one_value() {
        let allowed = Allowed {
            image_repositories: vec!["a\"]\nroles = [\"omni".to_owned()],
            ..Allowed::default()
        };
        let text = render(&BTreeSet::from([HostRole::Tsidp]), &allowed);
        assert!(
            parse(&text, Path::new("agent.toml"))
                .unwrap_err()
                .to_string()
                .contains("is not an image")
        );
    }
}
