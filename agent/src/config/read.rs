//! From the text of `agent.toml` to a checked [`Config`], or to the place where it is wrong.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use omni_scale_proto::id::Sha256;
use omni_scale_proto::role::HostRole;
use serde::Deserialize;
use toml::Spanned;

use super::fault::{Fault, suggestion};
use super::tailnet::RawTailnet;
use super::{Config, Policy, Sockets};
use crate::files::{self, FileError};
use crate::machine::is_address;

/// No configuration is larger, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// Why a configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something in it is wrong.
    #[error("{}:{line}:{column}: {message}{}", path.display(), Hint(hint.as_deref()))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What is wrong.
        message: String,
        /// What may have been meant.
        hint: Option<String>,
    },
}

struct Hint<'a>(Option<&'a str>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(hint) => write!(formatter, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Reads and checks the configuration. A host that has none yet has no role and allows nothing.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let Some(contents) = files::read(path, LARGEST)? else {
        return Ok(Config::default());
    };
    match String::from_utf8(contents) {
        Ok(text) => parse(&text, path),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            Err(wrong(path, &text, &(valid..valid), "it is not UTF-8", None))
        }
    }
}

/// Checks the text of a configuration. `path` is for messages only.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let raw: RawConfig = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().to_owned();
        let hint = suggestion(&message);
        wrong(path, text, &span, message.trim_end(), hint)
    })?;
    raw.check()
        .map_err(|fault| wrong(path, text, &fault.span, &fault.message, fault.hint))
}

/// As written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(default)]
    roles: Vec<Spanned<String>>,
    #[serde(default)]
    policy: RawPolicy,
    #[serde(default)]
    tailnet: RawTailnet,
    #[serde(default)]
    sockets: Sockets,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPolicy {
    image_repositories: Vec<Spanned<String>>,
    bind_roots: Vec<Spanned<String>>,
    devices: Vec<Spanned<String>>,
    capabilities: Vec<Spanned<String>>,
    artifact_sources: Vec<Spanned<String>>,
    artifact_sha256: Vec<Spanned<String>>,
    hypervisors: Vec<Spanned<String>>,
}

impl RawConfig {
    fn check(self) -> Result<Config, Fault> {
        let mut config = Config {
            sockets: self.sockets,
            policy: self.policy.check()?,
            tailnet: self.tailnet.check()?,
            ..Config::default()
        };
        for role in &self.roles {
            let parsed: HostRole = role.get_ref().parse().map_err(|_| {
                let known = ["tsidp", "omni", "proxmox"];
                Fault::unknown("role", role, &known)
            })?;
            config.roles.insert(parsed);
            if config.roles.contains(&HostRole::Tsidp) && config.roles.contains(&HostRole::Omni) {
                return Err(Fault::new(
                    role,
                    "the roles `tsidp` and `omni` cannot be on one machine: each needs a tailnet node of its own",
                ));
            }
        }
        Ok(config)
    }
}

impl RawPolicy {
    fn check(self) -> Result<Policy, Fault> {
        each(&self.image_repositories, |repository| {
            let below = repository.strip_suffix("/*");
            let path = below.unwrap_or(repository);
            // A colon in the last part begins a tag, unless that part is the registry's host.
            let last = path.rsplit('/').next().unwrap_or_default();
            let tagged = below.is_none() && last.contains(':');
            let plain = !tagged && !path.contains('@') && !path.contains('*');
            (plain && !path.is_empty() && !path.contains(char::is_whitespace))
                .then_some(())
                .ok_or("is not an image repository: write it without tag and digest, as in `ghcr.io/siderolabs/omni`")
        })?;
        each(&self.bind_roots, |root| {
            let path = Path::new(root);
            let plain = path.components().all(|part| {
                !matches!(
                    part,
                    std::path::Component::ParentDir | std::path::Component::CurDir
                )
            });
            (path.is_absolute() && plain && path.parent().is_some())
                .then_some(())
                .ok_or("is not an absolute path below `/`")
        })?;
        each(&self.devices, |device| {
            device
                .starts_with("/dev/")
                .then_some(())
                .ok_or("is not a device below `/dev/`")
        })?;
        each(&self.capabilities, |capability| {
            let plain = capability
                .chars()
                .all(|c| c.is_ascii_uppercase() || c == '_');
            (plain && !capability.is_empty() && !capability.starts_with("CAP_"))
                .then_some(())
                .ok_or("is not a capability: write it as in `NET_ADMIN`")
        })?;
        each(&self.artifact_sources, |source| {
            // Without the slash, `https://good.example` would allow `https://good.example.evil.net`.
            let after = source
                .strip_prefix("https://")
                .filter(|rest| rest.contains('/'));
            after
                .map(|_| ())
                .ok_or("is not the beginning of an https URL with a slash after the host")
        })?;
        each(&self.artifact_sha256, |sum| {
            sum.parse::<Sha256>()
                .map(|_| ())
                .map_err(|_| "is not a SHA-256 sum: write 64 lower-case hex digits")
        })?;
        each(&self.hypervisors, |url| {
            is_address(url)
                .then_some(())
                .ok_or("is not a Proxmox VE address: write it as in `https://pve.lan:8006`")
        })?;
        Ok(Policy {
            image_repositories: values(self.image_repositories),
            bind_roots: values(self.bind_roots),
            devices: values(self.devices),
            capabilities: values(self.capabilities),
            artifact_sources: values(self.artifact_sources),
            artifact_sha256: values(self.artifact_sha256),
            hypervisors: values(self.hypervisors),
        })
    }
}

fn each(
    values: &[Spanned<String>],
    check: impl Fn(&str) -> Result<(), &'static str>,
) -> Result<(), Fault> {
    for value in values {
        check(value.get_ref())
            .map_err(|rule| Fault::new(value, format!("`{}` {rule}", value.get_ref())))?;
    }
    Ok(())
}

fn values<Value: From<String>, Values: FromIterator<Value>>(
    values: Vec<Spanned<String>>,
) -> Values {
    values
        .into_iter()
        .map(|value| Value::from(value.into_inner()))
        .collect()
}

fn wrong(
    path: &Path,
    text: &str,
    span: &Range<usize>,
    message: &str,
    hint: Option<String>,
) -> ConfigError {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    ConfigError::Wrong {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: message.to_owned(),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use omni_scale_noise::{Dice, damaged_text, hold_against, thrown};
    use proptest::prelude::*;

    fn refused(text: &str) -> String {
        parse(text, Path::new("agent.toml"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_empty_file_has_no_role_and_allows_nothing() {
        assert_eq!(parse("", Path::new("x")).unwrap(), Config::default());
        assert_eq!(
            load(Path::new("/nonexistent/agent.toml")).unwrap(),
            Config::default()
        );
    }

    #[test]
    fn a_full_file_is_read() {
        let text = r#"
            roles = ["omni"]
            [policy]
            image_repositories = ["ghcr.io/siderolabs/omni", "registry.lab:5000/*"]
            bind_roots = ["/srv/omni"]
            devices = ["/dev/net/tun"]
            capabilities = ["NET_ADMIN"]
            artifact_sources = ["https://github.com/tailscale/tsidp/releases/"]
            artifact_sha256 = ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]
            [tailnet]
            capability = "example.com/cap/omni-scale"
            tags = { "tag:operator" = "operator" }
            bind = { ada = ["ada@example.net", "nDESKCNTRL"] }
            [sockets]
            docker = "/run/user/1000/docker.sock"
        "#;
        let config = parse(text, Path::new("agent.toml")).unwrap();
        assert!(config.roles.contains(&HostRole::Omni));
        assert_eq!(config.policy.image_repositories.len(), 2);
        assert!(config.tailnet.grants_roles());
        assert_eq!(config.tailnet.bind.len(), 1);
        assert_eq!(
            config.sockets.docker,
            Path::new("/run/user/1000/docker.sock")
        );
        assert_eq!(config.sockets.tailscaled, Sockets::default().tailscaled);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_a_suggestion() {
        assert_eq!(
            refused("roles = []\n[policy]\nbindroots = []\n"),
            "agent.toml:3:1: unknown field `bindroots`, expected one of `image_repositories`, `bind_roots`, \
             `devices`, `capabilities`, `artifact_sources`, `artifact_sha256`, `hypervisors`; did you mean `bind_roots`?"
        );
        assert!(refused("role = []").ends_with("did you mean `roles`?"));
        assert!(!refused("listen = \"0.0.0.0\"").contains("did you mean"));
    }

    #[test]
    fn a_wrong_type_is_refused_with_its_place() {
        let message = refused("roles = [\"omni\"]\n[policy]\ndevices = \"/dev/net/tun\"\n");
        assert!(
            message.starts_with("agent.toml:3:11: invalid type: string"),
            "{message}"
        );
    }

    #[test]
    fn wrong_values_are_refused_with_their_place() {
        for (text, message) in [
            (
                "roles = [\"omni\", \"omno\"]",
                "agent.toml:1:18: unknown role `omno`",
            ),
            (
                "roles = [\"omni\", \"tsidp\"]",
                "agent.toml:1:18: the roles `tsidp` and `omni` cannot",
            ),
            (
                "[policy]\nimage_repositories = [\"a/b:1\"]",
                "agent.toml:2:23: `a/b:1` is not an image",
            ),
            (
                "[policy]\nbind_roots = [\"/\"]",
                "agent.toml:2:15: `/` is not an absolute path below",
            ),
            (
                "[policy]\nbind_roots = [\"/srv/../etc\"]",
                "`/srv/../etc` is not an absolute",
            ),
            (
                "[policy]\ncapabilities = [\"CAP_NET_ADMIN\"]",
                "write it as in `NET_ADMIN`",
            ),
            (
                "[policy]\nartifact_sources = [\"https://a.example\"]",
                "with a slash after the host",
            ),
            (
                "[policy]\nartifact_sources = [\"http://a.example/\"]",
                "is not the beginning of an https",
            ),
            (
                "[policy]\nartifact_sha256 = [\"E3\"]",
                "64 lower-case hex digits",
            ),
            (
                "[policy]\nhypervisors = [\"http://pve.lan:8006\"]",
                "write it as in `https://pve.lan:8006`",
            ),
            (
                "[tailnet]\ncapability = \"https://example.com/cap/omni-scale\"",
                "agent.toml:2:14: `https://example.com/cap/omni-scale` is not a capability name",
            ),
            (
                "[tailnet]\ncapability = \"tailscale.com/cap/x\"",
                "`tailscale.com/cap/x` is not a capability name: a domain of yours",
            ),
            (
                "[tailnet.logins]\n\"ada@example.net\" = \"amdin\"",
                "agent.toml:2:21: unknown role `amdin`, expected one of `viewer`, `operator`, `admin`; did you mean `admin`?",
            ),
            (
                "[tailnet]\ntags = { operator = \"viewer\" }",
                "agent.toml:2:10: `operator` is not a tag",
            ),
            (
                "[tailnet]\nlogins = { \"\" = \"viewer\" }",
                "is not a login",
            ),
            ("[tailnet]\nbind = { \"A d a\" = [] }", "agent.toml:2:10: "),
            (
                "[tailnet]\nbind = { ada = [] }",
                "agent.toml:2:10: `ada` is bound to nothing",
            ),
            (
                "[tailnet]\nbind = { ada = [\"desk.tail.test\"] }",
                "agent.toml:2:17: `desk.tail.test` is neither",
            ),
            ("roles = [", "agent.toml:1:"),
        ] {
            assert!(refused(text).contains(message), "{text}: {}", refused(text));
        }
    }

    #[test]
    fn noise_in_a_configuration_is_told_with_its_place() {
        const GOOD: &str = "roles = [\"tsidp\", \"proxmox\"]\n\n[policy]\n\
            image_repositories = [\"ghcr.io/siderolabs/*\", 'registry.lab:5000/tailscale']\n\
            bind_roots = [\"/srv/omni\"]\ndevices = [\"/dev/net/tun\"]\ncapabilities = [\"NET_ADMIN\"]\n\
            artifact_sources = [\"https://github.com/tailscale/\"]\nartifact_sha256 = []\n\n[sockets]\n\
            docker = \"/run/docker.sock\"\n";
        let pieces = [
            "",
            " ",
            "\n",
            "\"",
            "'",
            "[",
            "]",
            "[[",
            "{",
            "}",
            "=",
            ".",
            ",",
            "#",
            "\\",
            "\\u0000",
            "\"\"\"",
            "1e999",
            "0x",
            "inf",
            "true",
            "1979-05-27",
            "roles",
            "policy.",
            "tsidp",
            "omni",
            "/..",
            "*",
            "ü",
            "\u{0}",
        ];
        assert!(parse(GOOD, Path::new("agent.toml")).is_ok());
        let make = |dice: &mut Dice| {
            if dice.once_in(8) {
                thrown(dice, &pieces)
            } else {
                damaged_text(dice, GOOD, &pieces)
            }
        };
        hold_against("agent.toml", make, |text| {
            match parse(text, Path::new("agent.toml")) {
                Ok(config) => {
                    let both = [HostRole::Tsidp, HostRole::Omni];
                    assert!(!both.iter().all(|role| config.roles.contains(role)));
                }
                Err(error) => assert!(error.to_string().starts_with("agent.toml:"), "{error}"),
            }
        });
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,200}") {
            let _ = parse(&text, Path::new("agent.toml"));
        }
    }
}
