//! What a container stands on at the Engine, volumes and networks, and what it should stand on.
//!
//! Names at the Engine are no part of a service's digest, so they are compared here. A volume is
//! never touched: a service that shall have one of another name gets another one, most often a new
//! and empty one, and its data stays where it is.

use std::collections::BTreeSet;
use std::fmt;

use crate::stack::CheckedStack;
use crate::v1::{self, mount::Source, network_mode::Mode};

/// A place in a service where another volume is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacedVolume {
    /// Absolute path in the container.
    pub target: String,
    /// Name at the Engine of the volume that is there.
    pub before: String,
    /// What is to be there.
    pub after: Successor,
}

/// What takes the place of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Successor {
    /// A volume that does not exist yet, by its name at the Engine.
    New(String),
    /// A volume of this stack that exists.
    Present(String),
    /// A volume that is somebody else's, whatever is in it.
    External(String),
    /// No volume.
    Nothing,
}

impl fmt::Display for ReplacedVolume {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            target,
            before,
            after,
        } = self;
        write!(formatter, "volume at `{target}`: `{before}` → ")?;
        match after {
            Successor::New(name) => write!(formatter, "`{name}`, which is NEW AND EMPTY"),
            Successor::Present(name) => write!(formatter, "`{name}`, with what that holds"),
            Successor::External(name) => {
                write!(
                    formatter,
                    "`{name}`, which is external, with what that holds"
                )
            }
            Successor::Nothing => formatter.write_str("none"),
        }?;
        write!(formatter, "; `{before}` stays as it is and is used no more")
    }
}

/// Where `service` is to have another volume than its container has.
pub fn replaced_volumes(
    stack: &CheckedStack,
    service: &v1::Service,
    observed: &v1::StackObservation,
) -> Vec<ReplacedVolume> {
    let Some(container) = container(service, observed) else {
        return Vec::new();
    };
    let volumes = container.resources.iter().flat_map(|there| &there.volumes);
    volumes
        .filter_map(|volume| {
            let after = match source(service, &volume.target) {
                Some(Source::Volume(key)) => {
                    let wanted = stack
                        .as_wire()
                        .volumes
                        .iter()
                        .find(|one| one.name == *key)?;
                    if wanted.engine_name == volume.engine_name {
                        return None;
                    }
                    successor(wanted, observed)
                }
                // A volume that the image asks for has no name of ours, and is inherited.
                _ if !had_named_volume(container, &volume.target) => return None,
                _ => Successor::Nothing,
            };
            Some(ReplacedVolume {
                target: volume.target.clone(),
                before: volume.engine_name.clone(),
                after,
            })
        })
        .collect()
}

fn successor(wanted: &v1::Volume, observed: &v1::StackObservation) -> Successor {
    let name = wanted.engine_name.clone();
    if wanted.external {
        Successor::External(name)
    } else if observed.volumes.contains(&name) {
        Successor::Present(name)
    } else {
        Successor::New(name)
    }
}

fn source<'a>(service: &'a v1::Service, target: &str) -> Option<&'a Source> {
    let same = |mount: &&v1::Mount| mount.target.trim_end_matches('/') == target;
    service.mounts.iter().find(same)?.source.as_ref()
}

fn had_named_volume(container: &v1::ServiceObservation, target: &str) -> bool {
    let before = container.applied.as_ref();
    let before = before.and_then(|applied| source(applied, target));
    matches!(before, Some(Source::Volume(_)))
}

/// Networks that `service` is to be attached to and its container is not, by their names at the
/// Engine. What somebody attached it to beside them does not count.
pub fn missing_networks(
    stack: &CheckedStack,
    service: &v1::Service,
    observed: &v1::StackObservation,
) -> Vec<String> {
    let there = container(service, observed).and_then(|one| one.resources.as_ref());
    let mode = service
        .network_mode
        .as_ref()
        .and_then(|mode| mode.mode.as_ref());
    let (Some(there), Some(Mode::Networks(wanted))) = (there, mode) else {
        return Vec::new();
    };
    let keys: BTreeSet<&str> = wanted
        .memberships
        .iter()
        .map(|membership| membership.network.as_str())
        .collect();
    let networks = stack.as_wire().networks.iter();
    networks
        .filter(|network| keys.contains(network.name.as_str()))
        .map(|network| network.engine_name.clone())
        .filter(|name| !there.networks.contains(name))
        .collect()
}

/// A network of the stack that exists, and is another kind than it should be. The Engine changes
/// no network, and one that containers stand on is not removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "network `{engine_name}` exists and is {}internal; the Engine cannot change that",
    if *internal { "" } else { "not " }
)]
pub struct UnlikeNetwork {
    /// Its name at the Engine.
    pub engine_name: String,
    /// Whether the one that exists is internal.
    pub internal: bool,
}

impl UnlikeNetwork {
    /// What to do about it.
    pub fn hint(&self) -> String {
        let name = &self.engine_name;
        format!(
            "give the network another `name`, and its containers move there; or remove its containers and then it (`docker network rm {name}`) on the host, which keeps the volumes, and apply again"
        )
    }
}

/// Networks of the stack that exist and are another kind than they should be.
pub fn unlike_networks(
    stack: &CheckedStack,
    observed: &v1::StackObservation,
) -> Vec<UnlikeNetwork> {
    let ours = stack.as_wire().networks.iter().filter(|one| !one.external);
    ours.filter_map(|wanted| {
        let mut there = observed.networks.iter();
        let there = there.find(|one| one.engine_name == wanted.engine_name)?;
        (there.internal != wanted.internal).then(|| UnlikeNetwork {
            engine_name: there.engine_name.clone(),
            internal: there.internal,
        })
    })
    .collect()
}

fn container<'a>(
    service: &v1::Service,
    observed: &'a v1::StackObservation,
) -> Option<&'a v1::ServiceObservation> {
    let mut services = observed.services.iter();
    services.find(|container| container.service == service.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::difference::{ServiceAction, ServiceChange, stack_difference};
    use crate::effect::Effect;
    use crate::stack::{examples, service_digest};

    /// A stack of one service on a network and a volume.
    fn stack() -> v1::Stack {
        let mut service = examples::service("omni");
        service.mounts = vec![v1::Mount {
            target: "/_out/".to_owned(),
            source: Some(Source::Volume("data".to_owned())),
            ..v1::Mount::default()
        }];
        service.network_mode = Some(v1::NetworkMode {
            mode: Some(Mode::Networks(v1::NetworkMemberships {
                memberships: vec![v1::NetworkMembership {
                    network: "default".to_owned(),
                    ..v1::NetworkMembership::default()
                }],
            })),
        });
        v1::Stack {
            name: "omni".to_owned(),
            services: vec![service],
            volumes: vec![v1::Volume {
                name: "data".to_owned(),
                engine_name: "omni_data".to_owned(),
                ..v1::Volume::default()
            }],
            networks: vec![v1::Network {
                name: "default".to_owned(),
                engine_name: "omni_default".to_owned(),
                ..v1::Network::default()
            }],
        }
    }

    /// That stack, as it runs.
    fn running() -> v1::StackObservation {
        let service = stack().services.remove(0);
        v1::StackObservation {
            known: true,
            services: vec![v1::ServiceObservation {
                service: "omni".to_owned(),
                state: v1::ContainerState::Running.into(),
                digest: service_digest(&service).into(),
                applied: Some(service),
                namespace_live: true,
                resources: Some(v1::ContainerResources {
                    volumes: vec![v1::MountedVolume {
                        target: "/_out".to_owned(),
                        engine_name: "omni_data".to_owned(),
                    }],
                    networks: vec!["bridge2".to_owned(), "omni_default".to_owned()],
                }),
                ..v1::ServiceObservation::default()
            }],
            volumes: vec!["omni_data".to_owned(), "omni_old".to_owned()],
            networks: vec![v1::NetworkObservation {
                engine_name: "omni_default".to_owned(),
                internal: false,
            }],
            ..v1::StackObservation::default()
        }
    }

    fn difference(
        change: impl FnOnce(&mut v1::Stack),
        observed: &v1::StackObservation,
    ) -> ServiceChange {
        let mut stack = stack();
        change(&mut stack);
        let stack = CheckedStack::try_from(stack).unwrap();
        stack_difference(&stack, &[], observed).unwrap().remove(0)
    }

    #[test]
    fn what_stands_where_it_should_is_kept() {
        assert_eq!(difference(|_| {}, &running()).action, ServiceAction::Keep);
        // An agent that does not tell is no reason to recreate everything.
        let mut silent = running();
        silent.services[0].resources = None;
        let renamed = |stack: &mut v1::Stack| "x".clone_into(&mut stack.volumes[0].engine_name);
        assert_eq!(difference(renamed, &silent).action, ServiceAction::Keep);
    }

    #[test]
    fn another_volume_is_another_identity_and_said_to_be_empty() {
        let renamed = |to: &'static str, external: bool| {
            move |stack: &mut v1::Stack| {
                to.clone_into(&mut stack.volumes[0].engine_name);
                stack.volumes[0].external = external;
            }
        };
        for (change, words) in [
            (
                renamed("omni_new", false),
                "`omni_new`, which is NEW AND EMPTY",
            ),
            (
                renamed("omni_old", false),
                "`omni_old`, with what that holds",
            ),
            (renamed("theirs", true), "`theirs`, which is external"),
        ] {
            let change = difference(change, &running());
            assert_eq!(
                (change.action, change.effect),
                (ServiceAction::Recreate, Effect::Identity)
            );
            assert_eq!(change.reasons.len(), 1, "{change:?}");
            assert!(change.reasons[0].contains(words), "{change:?}");
            assert!(change.reasons[0].ends_with("`omni_data` stays as it is and is used no more"));
        }
    }

    #[test]
    fn a_volume_that_is_taken_away_is_another_identity() {
        let change = difference(|stack| stack.services[0].mounts.clear(), &running());
        assert_eq!(change.effect, Effect::Identity);
        assert!(
            change
                .reasons
                .iter()
                .any(|reason| reason.contains("→ none"))
        );
        // One that only the image asked for is inherited.
        let mut inherited = running();
        inherited.services[0].resources.as_mut().unwrap().volumes[0].target = "/cache".to_owned();
        assert_eq!(difference(|_| {}, &inherited).action, ServiceAction::Keep);
    }

    #[test]
    fn another_network_recreates() {
        let renamed = |stack: &mut v1::Stack| "x".clone_into(&mut stack.networks[0].engine_name);
        let change = difference(renamed, &running());
        assert_eq!(
            (change.action, change.effect),
            (ServiceAction::Recreate, Effect::Recreate)
        );
        assert_eq!(change.reasons, ["network `x` is to be joined"]);
    }

    #[test]
    fn a_network_of_another_kind_is_told_and_not_recreated() {
        let internal = |stack: &mut v1::Stack| stack.networks[0].internal = true;
        assert_eq!(difference(internal, &running()).action, ServiceAction::Keep);
        let mut wanted = stack();
        internal(&mut wanted);
        let unlike = unlike_networks(&CheckedStack::try_from(wanted).unwrap(), &running());
        assert_eq!(
            unlike[0].to_string(),
            "network `omni_default` exists and is not internal; the Engine cannot change that"
        );
        let same = CheckedStack::try_from(stack()).unwrap();
        assert_eq!(unlike_networks(&same, &running()), []);
    }
}
