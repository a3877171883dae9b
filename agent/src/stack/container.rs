//! From a service of the contract to what the Engine is told to create.
//!
//! Pure. What only the host knows (ids, values of secrets, inherited volumes) comes in as
//! [`Surroundings`]; nothing is looked up and nothing is decided here.

use std::collections::BTreeMap;
use std::time::Duration;

use omni_scale_proto::stack::{CheckedStack, service_digest};
use omni_scale_proto::v1::{self, DependencyCondition, mount::Source, network_mode::Mode};

use super::engine::{
    ContainerSpecification, EndpointSpecification, EnvironmentEntry, MountSpecification,
    NetworkAttachment, NetworkSpecification, VolumeSpecification, VolumeUse,
};
use super::labels;

/// What a service's container needs beside its description.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The name it is created with.
    pub name: String,
    /// `sha256:…` over the image's configuration.
    pub image_id: String,
    /// Every variable with its value.
    pub environment: Vec<EnvironmentEntry>,
    /// Keyed digests of the secrets whose values it gets, by name.
    pub secret_digests: BTreeMap<String, String>,
    /// Container whose network namespace it is to share.
    pub namespace_container: Option<String>,
    /// Volumes without a name of their own that the container before it had.
    pub inherited: Vec<VolumeUse>,
}

/// A service that no container can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// The Engine refuses files for a container whose root file system is read-only.
    #[error("service `{service}` is `read_only` and has files: the Engine cannot put files there")]
    FilesReadOnly {
        /// The service.
        service: String,
    },
    /// The file would land in the volume, or be hidden by the mount.
    #[error("service `{service}`: file `{file}` lies inside of the mount `{mount}`")]
    FileInMount {
        /// The service.
        service: String,
        /// Path of the file.
        file: String,
        /// Target of the mount.
        mount: String,
    },
    /// The container whose namespace is to be shared is not there.
    #[error("service `{service}` shares the namespace of `{owner}`, which has no container")]
    NoNamespace {
        /// The service.
        service: String,
        /// The service whose namespace it is.
        owner: String,
    },
}

/// What the Engine is told to create for `service` of `stack`.
pub fn specification(
    stack: &CheckedStack,
    service: &v1::Service,
    surroundings: Surroundings,
) -> Result<ContainerSpecification, ContainerError> {
    check(service)?;
    let network = network(stack, service, surroundings.namespace_container.as_deref())?;
    let mut mounts = mounts(stack, service);
    for volume in surroundings.inherited {
        let taken = service
            .mounts
            .iter()
            .any(|mount| mount.target == volume.target);
        if !taken {
            mounts.push(MountSpecification::Volume {
                name: volume.name,
                target: volume.target,
                read_only: false,
            });
        }
    }
    let mut labels = service.labels.clone();
    labels.extend(container_labels(
        stack,
        service,
        &surroundings.image_id,
        &surroundings.secret_digests,
    ));
    Ok(ContainerSpecification {
        name: surroundings.name,
        image: service.image.clone(),
        labels,
        entrypoint: service.entrypoint.clone().map(|words| words.values),
        command: service.command.clone().map(|words| words.values),
        environment: surroundings.environment,
        user: service.user.clone(),
        working_directory: service.working_directory.clone(),
        hostname: service.hostname.clone(),
        mounts,
        devices: service.devices.clone(),
        capabilities_add: service.capabilities_add.clone(),
        capabilities_drop: service.capabilities_drop.clone(),
        ports: service.ports.clone(),
        network,
        health_check: service.health_check.clone(),
        restart: service.restart(),
        restart_attempts: service.restart_attempts,
        logging: service.logging.clone(),
        stop_grace: service
            .stop_grace_milliseconds
            .map(|milliseconds| Duration::from_millis(milliseconds.into())),
        stop_signal: service.stop_signal.clone(),
        sysctls: service.sysctls.clone(),
        security_options: service.security_options.clone(),
        init: service.init,
        read_only: service.read_only,
        ipc_mode: service.ipc_mode.clone(),
        extra_hosts: service.extra_hosts.clone(),
        dns: service.dns.clone(),
        dns_search: service.dns_search.clone(),
        process_limit: None,
        memory_limit: None,
    })
}

/// What the Engine is told to create for a network of the stack.
pub fn network_specification(stack: &CheckedStack, network: &v1::Network) -> NetworkSpecification {
    NetworkSpecification {
        name: network.engine_name.clone(),
        labels: resource_labels(stack, labels::NETWORK, &network.name),
        internal: network.internal,
    }
}

/// What the Engine is told to create for a volume of the stack.
pub fn volume_specification(stack: &CheckedStack, volume: &v1::Volume) -> VolumeSpecification {
    let mut labels = volume.labels.clone();
    labels.extend(resource_labels(stack, labels::VOLUME, &volume.name));
    VolumeSpecification {
        name: volume.engine_name.clone(),
        labels,
    }
}

fn resource_labels(stack: &CheckedStack, kind: &str, name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (labels::PROJECT.to_owned(), stack.name().to_string()),
        (kind.to_owned(), name.to_owned()),
        (labels::VERSION.to_owned(), VERSION.to_owned()),
    ])
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn container_labels(
    stack: &CheckedStack,
    service: &v1::Service,
    image_id: &str,
    secret_digests: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let digest = service_digest(service);
    let pairs: [(&str, String); 12] = [
        (labels::PROJECT, stack.name().to_string()),
        (labels::SERVICE, service.name.clone()),
        (labels::ONE_OFF, "False".to_owned()),
        (labels::CONTAINER_NUMBER, "1".to_owned()),
        (labels::CONFIG_HASH, digest.to_string()),
        (labels::DEPENDS_ON, dependencies(service)),
        (labels::IMAGE, image_id.to_owned()),
        (labels::CONFIG_FILES, "omni-scale".to_owned()),
        (labels::WORKING_DIRECTORY, "/".to_owned()),
        (labels::VERSION, VERSION.to_owned()),
        (labels::DIGEST, digest.to_string()),
        (
            labels::SECRETS,
            labels::write_secret_digests(secret_digests),
        ),
    ];
    pairs
        .into_iter()
        .map(|(label, value)| (label.to_owned(), value))
        .collect()
}

/// As Compose writes it: `service:condition:restart`. A namespace's owner is a dependency too,
/// one that restarts.
fn dependencies(service: &v1::Service) -> String {
    let mut all: BTreeMap<&str, (&str, bool)> = service
        .depends_on
        .iter()
        .map(|dependency| {
            let condition = match dependency.condition() {
                DependencyCondition::Healthy => "service_healthy",
                DependencyCondition::CompletedSuccessfully => "service_completed_successfully",
                DependencyCondition::Started | DependencyCondition::Unspecified => {
                    "service_started"
                }
            };
            (dependency.service.as_str(), (condition, false))
        })
        .collect();
    if let Some(owner) = omni_scale_proto::stack::namespace_of(service) {
        all.entry(owner).or_insert(("service_started", true));
    }
    let entries: Vec<String> = all
        .into_iter()
        .map(|(service, (condition, restart))| format!("{service}:{condition}:{restart}"))
        .collect();
    entries.join(",")
}

fn network(
    stack: &CheckedStack,
    service: &v1::Service,
    namespace_container: Option<&str>,
) -> Result<NetworkAttachment, ContainerError> {
    let mode = service
        .network_mode
        .as_ref()
        .and_then(|mode| mode.mode.as_ref());
    match mode {
        Some(Mode::Service(owner)) => namespace_container
            .map(|id| NetworkAttachment::Container(id.to_owned()))
            .ok_or_else(|| ContainerError::NoNamespace {
                service: service.name.clone(),
                owner: owner.clone(),
            }),
        Some(Mode::Networks(networks)) => Ok(NetworkAttachment::Networks(
            networks
                .memberships
                .iter()
                .map(|membership| endpoint(stack, service, membership))
                .collect(),
        )),
        // The policy refuses `host` before anything is made.
        Some(Mode::Named(name)) if name == "bridge" => Ok(NetworkAttachment::DefaultBridge),
        Some(Mode::Named(_)) | None => Ok(NetworkAttachment::None),
    }
}

fn endpoint(
    stack: &CheckedStack,
    service: &v1::Service,
    membership: &v1::NetworkMembership,
) -> EndpointSpecification {
    let network = stack
        .as_wire()
        .networks
        .iter()
        .find(|network| network.name == membership.network);
    let mut aliases = vec![
        labels::container_name(stack.name().as_str(), service),
        service.name.clone(),
    ];
    for alias in &membership.aliases {
        if !aliases.contains(alias) {
            aliases.push(alias.clone());
        }
    }
    EndpointSpecification {
        network: network.map_or_else(
            || membership.network.clone(),
            |network| network.engine_name.clone(),
        ),
        aliases,
    }
}

fn mounts(stack: &CheckedStack, service: &v1::Service) -> Vec<MountSpecification> {
    service
        .mounts
        .iter()
        .filter_map(|mount| {
            let target = mount.target.clone();
            let read_only = mount.read_only;
            Some(match mount.source.as_ref()? {
                Source::Volume(name) => MountSpecification::Volume {
                    name: engine_volume(stack, name),
                    target,
                    read_only,
                },
                Source::Bind(source) => MountSpecification::Bind {
                    source: source.clone(),
                    target,
                    read_only,
                },
                Source::Temporary(temporary) => MountSpecification::Temporary {
                    target,
                    size: temporary.size,
                    mode: temporary.mode,
                },
            })
        })
        .collect()
}

/// The name at the Engine of a volume of the stack.
pub fn engine_volume(stack: &CheckedStack, name: &str) -> String {
    stack
        .as_wire()
        .volumes
        .iter()
        .find(|volume| volume.name == name)
        .map_or_else(|| name.to_owned(), |volume| volume.engine_name.clone())
}

/// Whether a container can be made of a service at all.
pub fn check(service: &v1::Service) -> Result<(), ContainerError> {
    if service.read_only && !service.files.is_empty() {
        return Err(ContainerError::FilesReadOnly {
            service: service.name.clone(),
        });
    }
    for file in &service.files {
        for mount in &service.mounts {
            let below = file
                .path
                .strip_prefix(mount.target.trim_end_matches('/'))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if below {
                return Err(ContainerError::FileInMount {
                    service: service.name.clone(),
                    file: file.path.clone(),
                    mount: mount.target.clone(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::testing::{self, literal};

    fn made(service: &str, change: impl FnOnce(&mut v1::Stack)) -> ContainerSpecification {
        let mut stack = testing::stack();
        change(&mut stack);
        let stack = CheckedStack::try_from(stack).unwrap();
        let service = stack.service(service).unwrap();
        let surroundings = Surroundings {
            name: labels::container_name("omni", service),
            image_id: "sha256:beef".to_owned(),
            namespace_container: Some("c1".to_owned()),
            secret_digests: BTreeMap::from([("client".to_owned(), "ab".to_owned())]),
            ..Surroundings::default()
        };
        specification(&stack, service, surroundings).unwrap()
    }

    #[test]
    fn a_container_carries_every_label_that_compose_looks_for() {
        let made = made("omni", |_| {});
        let label = |name: &str| made.labels[name].as_str();
        assert_eq!(label(labels::PROJECT), "omni");
        assert_eq!(label(labels::SERVICE), "omni");
        assert_eq!(label(labels::ONE_OFF), "False");
        assert_eq!(label(labels::CONTAINER_NUMBER), "1");
        assert_eq!(label(labels::IMAGE), "sha256:beef");
        assert_eq!(
            label(labels::DEPENDS_ON),
            "omni-tailscale:service_healthy:false"
        );
        assert_eq!(label(labels::CONFIG_HASH), label(labels::DIGEST));
        assert_eq!(label(labels::SECRETS), "client=ab");
        assert_eq!(made.name, "omni-omni-1");
    }

    #[test]
    fn an_owner_that_is_only_a_namespace_is_a_dependency_that_restarts() {
        let made = made("omni", |stack| stack.services[1].depends_on.clear());
        assert_eq!(
            made.labels[labels::DEPENDS_ON],
            "omni-tailscale:service_started:true"
        );
    }

    #[test]
    fn a_sharer_has_no_network_of_its_own() {
        let made = made("omni", |_| {});
        assert_eq!(made.network, NetworkAttachment::Container("c1".to_owned()));
    }

    #[test]
    fn networks_and_volumes_go_by_their_names_at_the_engine() {
        let made = made("omni-tailscale", |_| {});
        let NetworkAttachment::Networks(endpoints) = made.network else {
            panic!("{:?}", made.network);
        };
        assert_eq!(endpoints[0].network, "omni_default");
        assert_eq!(
            endpoints[0].aliases,
            ["omni-omni-tailscale-1", "omni-tailscale", "side"]
        );
        assert_eq!(
            made.mounts,
            [MountSpecification::Volume {
                name: "omni_state".to_owned(),
                target: "/state".to_owned(),
                read_only: false,
            }]
        );
    }

    #[test]
    fn a_nameless_volume_is_inherited_unless_its_place_is_taken() {
        let stack = CheckedStack::try_from(testing::stack()).unwrap();
        let service = stack.service("omni-tailscale").unwrap();
        let volume = |name: &str, target: &str| VolumeUse {
            name: name.to_owned(),
            target: target.to_owned(),
        };
        let surroundings = Surroundings {
            inherited: vec![volume("aaaa", "/var/lib/x"), volume("bbbb", "/state")],
            ..Surroundings::default()
        };
        let made = specification(&stack, service, surroundings).unwrap();
        let targets: Vec<_> = made
            .mounts
            .iter()
            .filter_map(|mount| match mount {
                MountSpecification::Volume { name, target, .. } => {
                    Some((name.as_str(), target.as_str()))
                }
                _ => None,
            })
            .collect();
        assert_eq!(targets, [("omni_state", "/state"), ("aaaa", "/var/lib/x")]);
    }

    #[test]
    fn files_go_neither_into_mounts_nor_under_a_read_only_root() {
        let refused = |change: fn(&mut v1::Service)| {
            let mut stack = testing::stack();
            stack.services[2].files = vec![v1::File {
                path: "/state/key".to_owned(),
                content: Some(literal("x")),
                ..v1::File::default()
            }];
            change(&mut stack.services[2]);
            let stack = CheckedStack::try_from(stack).unwrap();
            let service = stack.service("omni-tailscale").unwrap();
            specification(&stack, service, Surroundings::default()).unwrap_err()
        };
        assert!(matches!(
            refused(|_| {}),
            ContainerError::FileInMount { .. }
        ));
        assert!(matches!(
            refused(|service| {
                service.mounts.clear();
                service.read_only = true;
            }),
            ContainerError::FilesReadOnly { .. }
        ));
    }
}
