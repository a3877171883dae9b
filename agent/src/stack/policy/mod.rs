//! What this host allows a stack to ask for, whoever asks.
//!
//! Two kinds of refusal: what `agent.toml` does not list, which root may add there, and what no
//! host ever gives away. Every refusal of a stack is told at once. Bind sources are looked up on
//! the host, so that a symbolic link cannot lead out of the allowed directories; what the agent
//! cannot look at is refused.

mod binds;
mod images;

use std::fmt;

use omni_scale_proto::v1::{self, mount::Source, network_mode::Mode};

use super::labels;
use crate::config::Policy;

pub use images::{allows_image, repository};

/// Something that a service asks for and does not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The service.
    pub service: String,
    /// Field of the service.
    pub field: &'static str,
    /// What it asks for.
    pub value: String,
    /// The key of `agent.toml` that would allow it. Absent: nothing does.
    pub key: Option<&'static str>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            field,
            value,
            key,
        } = self;
        write!(formatter, "service `{service}`: {field} `{value}` ")?;
        match key {
            Some(key) => write!(formatter, "is not in `{key}` of agent.toml"),
            None => formatter.write_str("is refused on every host"),
        }
    }
}

/// Everything in the stack that this host refuses; empty when it may run. Blocks on the host's
/// file system.
pub fn refusals(stack: &v1::Stack, policy: &Policy) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for service in &stack.services {
        let mut refuse = |field, value: &str, key| {
            refusals.push(Refusal {
                service: service.name.clone(),
                field,
                value: value.to_owned(),
                key,
            });
        };
        if !allows_image(policy, &service.image) {
            let repository = repository(&service.image);
            refuse("image", &repository, Some("policy.image_repositories"));
        }
        never(service, &mut refuse);
        for device in &service.devices {
            if !policy.devices.contains(&device.source) {
                refuse("device", &device.source, Some("policy.devices"));
            }
        }
        for capability in &service.capabilities_add {
            let plain = plain_capability(capability);
            if plain == "ALL" {
                refuse("capability", capability, None);
            } else if !policy
                .capabilities
                .iter()
                .any(|allowed| plain_capability(allowed) == plain)
            {
                refuse("capability", capability, Some("policy.capabilities"));
            }
        }
        for mount in &service.mounts {
            let Some(Source::Bind(source)) = &mount.source else {
                continue;
            };
            match binds::judge(source, &policy.bind_roots) {
                binds::Verdict::Allowed => {}
                binds::Verdict::Outside => {
                    refuse("bind mount of", source, Some("policy.bind_roots"));
                }
                binds::Verdict::Never => refuse("bind mount of", source, None),
            }
        }
    }
    refusals
}

/// What no `agent.toml` can allow.
fn never(service: &v1::Service, refuse: &mut impl FnMut(&'static str, &str, Option<&'static str>)) {
    if service.privileged {
        refuse("field", "privileged", None);
    }
    if !service.pid_mode.is_empty() {
        refuse("pid mode", &service.pid_mode, None);
    }
    if !matches!(
        service.ipc_mode.as_str(),
        "" | "private" | "shareable" | "none"
    ) {
        refuse("ipc mode", &service.ipc_mode, None);
    }
    if let Some(Mode::Named(name)) = service
        .network_mode
        .as_ref()
        .and_then(|mode| mode.mode.as_ref())
        && !matches!(name.as_str(), "none" | "bridge")
    {
        refuse("network mode", name, None);
    }
    for option in &service.security_options {
        if !is_harmless(option) {
            refuse("security option", option, None);
        }
    }
    for label in service.labels.keys() {
        let reserved = labels::RESERVED_PREFIXES
            .iter()
            .any(|prefix| label.starts_with(prefix));
        if reserved {
            refuse("label", label, None);
        }
    }
}

/// Only options that take something away. The Engine accepts `=` and `:` as separators.
fn is_harmless(option: &str) -> bool {
    let (name, value) = option
        .split_once(['=', ':'])
        .map_or((option, None), |(name, value)| (name, Some(value)));
    match (name, value) {
        ("no-new-privileges", value) => matches!(value, None | Some("true")),
        ("seccomp", value) => value == Some("builtin"),
        ("apparmor", Some(profile)) => profile == "docker-default",
        _ => false,
    }
}

fn plain_capability(capability: &str) -> String {
    let upper = capability.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;
    use crate::stack::testing;

    fn policy() -> Policy {
        Policy {
            image_repositories: vec!["registry.example/*".to_owned()],
            bind_roots: vec![PathBuf::from("/srv")],
            devices: BTreeSet::from(["/dev/net/tun".to_owned()]),
            capabilities: BTreeSet::from(["NET_ADMIN".to_owned()]),
            ..Policy::default()
        }
    }

    /// What is refused of the sidecar after a change, in words.
    fn refused(change: impl FnOnce(&mut v1::Service)) -> Vec<String> {
        let mut stack = testing::stack();
        change(&mut stack.services[2]);
        refusals(&stack, &policy())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn bind(source: &str) -> v1::Mount {
        v1::Mount {
            target: "/mnt".to_owned(),
            source: Some(Source::Bind(source.to_owned())),
            ..v1::Mount::default()
        }
    }

    #[test]
    fn what_agent_toml_covers_is_allowed() {
        let refused = refused(|service| {
            service.devices = vec![v1::Device {
                source: "/dev/net/tun".to_owned(),
                target: "/dev/net/tun".to_owned(),
                permissions: "rwm".to_owned(),
            }];
            service.capabilities_add = vec!["CAP_NET_ADMIN".to_owned(), "net_admin".to_owned()];
            service.security_options = vec!["no-new-privileges:true".to_owned()];
        });
        assert_eq!(refused, Vec::<String>::new());
    }

    #[test]
    fn what_agent_toml_does_not_list_is_refused_with_its_key() {
        let refused = refused(|service| {
            service.image = testing::image("other.example/tailscale", '1');
            service.devices = vec![v1::Device {
                source: "/dev/sda".to_owned(),
                target: "/dev/sda".to_owned(),
                permissions: "r".to_owned(),
            }];
            service.capabilities_add = vec!["SYS_ADMIN".to_owned()];
            service.mounts = vec![bind("/home/ada")];
        });
        assert_eq!(
            refused,
            [
                "service `omni-tailscale`: image `other.example/tailscale` is not in `policy.image_repositories` of agent.toml",
                "service `omni-tailscale`: device `/dev/sda` is not in `policy.devices` of agent.toml",
                "service `omni-tailscale`: capability `SYS_ADMIN` is not in `policy.capabilities` of agent.toml",
                "service `omni-tailscale`: bind mount of `/home/ada` is not in `policy.bind_roots` of agent.toml",
            ]
        );
    }

    #[test]
    fn some_things_are_refused_on_every_host() {
        type Change = fn(&mut v1::Service);
        let cases: [(Change, &str); 12] = [
            (|service| service.privileged = true, "privileged"),
            (
                |service| service.pid_mode = "host".to_owned(),
                "pid mode `host`",
            ),
            (
                |service| service.ipc_mode = "host".to_owned(),
                "ipc mode `host`",
            ),
            (
                |service| {
                    service.network_mode = Some(v1::NetworkMode {
                        mode: Some(Mode::Named("host".to_owned())),
                    });
                },
                "network mode `host`",
            ),
            (
                |service| service.mounts = vec![bind("/var/run/docker.sock")],
                "docker.sock",
            ),
            (
                |service| service.mounts = vec![bind("/run")],
                "bind mount of `/run`",
            ),
            (
                |service| service.mounts = vec![bind("/")],
                "bind mount of `/`",
            ),
            (
                |service| service.security_options = vec!["seccomp=unconfined".to_owned()],
                "seccomp=unconfined",
            ),
            (
                |service| service.security_options = vec!["apparmor:unconfined".to_owned()],
                "apparmor:unconfined",
            ),
            (
                |service| service.security_options = vec!["systempaths=unconfined".to_owned()],
                "systempaths=unconfined",
            ),
            (
                |service| service.capabilities_add = vec!["all".to_owned()],
                "capability `all`",
            ),
            (
                |service| {
                    service
                        .labels
                        .insert("omni-scale.digest".to_owned(), "x".to_owned());
                },
                "label `omni-scale.digest`",
            ),
        ];
        for (change, expected) in cases {
            let refused = refused(change);
            assert_eq!(refused.len(), 1, "{refused:?}");
            assert!(
                refused[0].contains(expected) && refused[0].ends_with("is refused on every host"),
                "{refused:?}"
            );
        }
    }
}
