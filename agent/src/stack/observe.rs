//! What the Engine's containers mean for a stack. Pure.
//!
//! Ours is a container that carries our digest label; another one of the project is foreign and
//! is only reported. Of a service, the container that has the place counts; those that stand by
//! for it are leftovers of an interrupted change, which the next change settles.

use std::collections::BTreeMap;

use omni_scale_proto::id::{Sha256, StackName};
use omni_scale_proto::stack::service_digest;
use omni_scale_proto::v1;

use super::applied::AppliedStack;
use super::engine::ContainerDetails;
use super::labels::{self, Standby};

/// What is known beside the containers.
pub struct Evidence<'a> {
    /// The stack.
    pub name: &'a StackName,
    /// Every container of the project.
    pub containers: &'a [ContainerDetails],
    /// What was applied last, if that is on record.
    pub applied: Option<&'a AppliedStack>,
    /// Keyed digest of a secret's value as it is now.
    pub secret_digest: &'a dyn Fn(&str) -> Option<String>,
    /// Names at the Engine of the project's volumes.
    pub volumes: Vec<String>,
    /// The project's networks at the Engine.
    pub networks: Vec<v1::NetworkObservation>,
}

/// The stack as it is. Images and generation are left to the caller.
pub fn observation(evidence: Evidence<'_>) -> v1::StackObservation {
    let parts = Parts::of(evidence.containers);
    let known_service = |service: &str| {
        evidence.applied.is_none_or(|applied| {
            let mut services = applied.stack.services.iter();
            services.any(|other| other.name == service)
        })
    };
    let mut services = Vec::new();
    let mut orphans = Vec::new();
    for (service, container) in &parts.serving {
        if known_service(service) {
            services.push(service_observation(service, container, &parts, &evidence));
        } else {
            orphans.push(summary(container));
        }
    }
    v1::StackObservation {
        known: true,
        reason: String::new(),
        name: evidence.name.to_string(),
        services,
        orphans,
        foreign: parts.foreign.iter().copied().map(summary).collect(),
        volumes: evidence.volumes,
        images: Vec::new(),
        generation: 0,
        networks: evidence.networks,
    }
}

/// What could not be observed, and why.
pub fn unknown(name: &StackName, reason: String) -> v1::StackObservation {
    v1::StackObservation {
        known: false,
        reason,
        name: name.to_string(),
        ..v1::StackObservation::default()
    }
}

/// The containers of a project, by the part they play.
pub struct Parts<'a> {
    /// Those that have a service's place, by service.
    pub serving: BTreeMap<&'a str, &'a ContainerDetails>,
    /// Those that stand by for a place, with the name of the place.
    pub standing_by: Vec<(Standby, &'a str, &'a ContainerDetails)>,
    /// Those that we did not make.
    pub foreign: Vec<&'a ContainerDetails>,
}

impl<'a> Parts<'a> {
    /// Sorts out the containers of one project.
    pub fn of(containers: &'a [ContainerDetails]) -> Self {
        let mut parts = Self {
            serving: BTreeMap::new(),
            standing_by: Vec::new(),
            foreign: Vec::new(),
        };
        for container in containers {
            if container.labels.contains_key(labels::PROBE) {
                continue;
            }
            if !container.labels.contains_key(labels::DIGEST) {
                parts.foreign.push(container);
            } else if let Some((standby, place)) = Standby::of(&container.name) {
                parts.standing_by.push((standby, place, container));
            } else if let Some(service) = container.labels.get(labels::SERVICE) {
                parts.serving.insert(service, container);
            }
        }
        parts
    }
}

fn service_observation(
    service: &str,
    container: &ContainerDetails,
    parts: &Parts<'_>,
    evidence: &Evidence<'_>,
) -> v1::ServiceObservation {
    let digest = label(container, labels::DIGEST);
    let applied = evidence
        .applied
        .and_then(|applied| applied.services.get(service))
        .filter(|applied| service_digest(applied).as_str() == digest);
    let (namespace_of, namespace_live) = namespace(container, parts, applied);
    let used = labels::read_secret_digests(label(container, labels::SECRETS));
    let changed_secrets = used
        .into_iter()
        .filter(|(name, digest)| {
            // A secret that is gone cannot be given anew; that alone changes nothing.
            (evidence.secret_digest)(name).is_some_and(|now| now != *digest)
        })
        .map(|(name, _)| name)
        .collect();
    v1::ServiceObservation {
        service: service.to_owned(),
        // Only who looks at the whole asks the nodes.
        node_conditions: Vec::new(),
        container_id: container.id.clone(),
        container_name: container.name.clone(),
        state: container.state.into(),
        exit_code: container.exit_code,
        health: container.health.into(),
        digest: digest.to_owned(),
        applied: applied.cloned(),
        changed_secrets,
        image_digest: omni_scale_proto::stack::image_digest(&container.image)
            .unwrap_or_default()
            .to_owned(),
        namespace_of,
        namespace_live,
        started_at_milliseconds: container.started_at_milliseconds,
        restarts: container.restarts,
        resources: Some(resources(container)),
    }
}

fn resources(container: &ContainerDetails) -> v1::ContainerResources {
    let volumes = container.volumes.iter();
    v1::ContainerResources {
        volumes: volumes
            .map(|volume| v1::MountedVolume {
                target: volume.target.clone(),
                engine_name: volume.name.clone(),
            })
            .collect(),
        networks: container.networks.clone(),
    }
}

/// Whose namespace a container was given, and whether it still is that service's.
fn namespace(
    container: &ContainerDetails,
    parts: &Parts<'_>,
    applied: Option<&v1::Service>,
) -> (String, bool) {
    let Some(id) = container.namespace_container() else {
        return (String::new(), true);
    };
    let owner = parts.serving.iter().find(|(_, owner)| owner.id == id);
    if let Some((service, owner)) = owner {
        // A container joins the namespace when it starts. One that does not run has none to lose,
        // and joins the right one with its next start.
        let live = !container.is_running()
            || (owner.is_running()
                && owner.started_at_milliseconds <= container.started_at_milliseconds);
        ((*service).to_owned(), live)
    } else {
        let service = applied.and_then(omni_scale_proto::stack::namespace_of);
        (service.unwrap_or_default().to_owned(), false)
    }
}

/// A container in a few words.
pub fn summary(container: &ContainerDetails) -> v1::ContainerSummary {
    v1::ContainerSummary {
        container_id: container.id.clone(),
        container_name: container.name.clone(),
        service: label(container, labels::SERVICE).to_owned(),
        state: state_word(container.state).to_owned(),
    }
}

/// The Engine's word for a state.
pub const fn state_word(state: v1::ContainerState) -> &'static str {
    match state {
        v1::ContainerState::Unspecified => "unknown",
        v1::ContainerState::Created => "created",
        v1::ContainerState::Running => "running",
        v1::ContainerState::Paused => "paused",
        v1::ContainerState::Restarting => "restarting",
        v1::ContainerState::Exited => "exited",
        v1::ContainerState::Removing => "removing",
        v1::ContainerState::Dead => "dead",
    }
}

/// The Engine's word for a health.
pub const fn health_word(health: v1::ContainerHealth) -> &'static str {
    match health {
        v1::ContainerHealth::Unspecified => "unknown",
        v1::ContainerHealth::None => "running",
        v1::ContainerHealth::Starting => "starting",
        v1::ContainerHealth::Healthy => "healthy",
        v1::ContainerHealth::Unhealthy => "unhealthy",
    }
}

/// The digest that a container was made with, when it is one of ours.
pub fn made_with(container: &ContainerDetails) -> Option<Sha256> {
    label(container, labels::DIGEST).parse().ok()
}

fn label<'a>(container: &'a ContainerDetails, name: &str) -> &'a str {
    container.labels.get(name).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use omni_scale_proto::v1::{ContainerHealth, ContainerState};

    use super::*;
    use crate::stack::testing;

    fn container(service: &str, id: &str, started: i64) -> ContainerDetails {
        let stack = testing::stack();
        let spec = stack.services.iter().find(|other| other.name == service);
        let digest = spec.map(|spec| service_digest(spec).to_string());
        let labels = [
            (labels::PROJECT, "omni".to_owned()),
            (labels::SERVICE, service.to_owned()),
            (labels::DIGEST, digest.unwrap_or_else(|| "0".repeat(64))),
            (labels::SECRETS, "client=aa,gone=bb".to_owned()),
        ];
        let sharer = service != "omni-tailscale";
        ContainerDetails {
            id: id.to_owned(),
            name: format!("omni-{service}-1"),
            labels: labels.map(|(name, value)| (name.to_owned(), value)).into(),
            image: testing::image("registry.example/x:v1", 'a'),
            image_id: "sha256:1".to_owned(),
            state: ContainerState::Running,
            exit_code: 0,
            out_of_memory: false,
            error: String::new(),
            health: ContainerHealth::None,
            started_at_milliseconds: started,
            restarts: 0,
            network_mode: if sharer {
                "container:side".to_owned()
            } else {
                "omni_default".to_owned()
            },
            volumes: Vec::new(),
            networks: Vec::new(),
            held_ports: Vec::new(),
            restart: v1::RestartPolicy::Always,
        }
    }

    fn applied() -> AppliedStack {
        let directory = tempfile::tempdir().unwrap();
        let records = crate::stack::applied::AppliedStacks::open(directory.path());
        let name: StackName = "omni".parse().unwrap();
        records.begin(&name, &testing::stack()).unwrap();
        records.get(&name).unwrap()
    }

    fn observed(
        containers: &[ContainerDetails],
        applied: Option<&AppliedStack>,
    ) -> v1::StackObservation {
        observation(Evidence {
            name: &"omni".parse().unwrap(),
            containers,
            applied,
            secret_digest: &|name| (name == "client").then(|| "aa".to_owned()),
            volumes: vec!["omni_state".to_owned()],
            networks: Vec::new(),
        })
    }

    fn service<'a>(observed: &'a v1::StackObservation, name: &str) -> &'a v1::ServiceObservation {
        observed
            .services
            .iter()
            .find(|service| service.service == name)
            .unwrap()
    }

    #[test]
    fn a_sharer_lives_as_long_as_the_start_of_its_namespace() {
        let live = |sidecar: ContainerDetails, omni: ContainerDetails| {
            let observed = observed(&[sidecar, omni], None);
            let omni = service(&observed, "omni");
            (omni.namespace_of.clone(), omni.namespace_live)
        };
        let sidecar = container("omni-tailscale", "side", 10);
        let omni = container("omni", "omni", 20);
        let of_sidecar = |live| ("omni-tailscale".to_owned(), live);
        assert_eq!(live(sidecar.clone(), omni.clone()), of_sidecar(true));
        let restarted = container("omni-tailscale", "side", 30);
        assert_eq!(live(restarted, omni.clone()), of_sidecar(false));
        let mut stopped = sidecar.clone();
        stopped.state = ContainerState::Exited;
        assert_eq!(live(stopped, omni.clone()), of_sidecar(false));
        let replaced = container("omni-tailscale", "side-2", 10);
        assert_eq!(live(replaced, omni.clone()), (String::new(), false));
        let mut waiting = omni;
        waiting.state = ContainerState::Exited;
        let restarted = container("omni-tailscale", "side", 30);
        assert_eq!(live(restarted, waiting), of_sidecar(true));
        drop(sidecar);
    }

    #[test]
    fn containers_are_sorted_by_whose_they_are() {
        let applied = applied();
        let mut foreign = container("omni", "f", 1);
        foreign.labels.remove(labels::DIGEST);
        foreign.name = "omni-omni-2".to_owned();
        let mut leftover = container("omni", "l", 1);
        leftover.name = Standby::Previous.name("omni-omni-1", "0123456789ab");
        let orphan = container("migrate", "m", 1);
        let all = [foreign, leftover, orphan, container("omni", "omni", 20)];
        let with_record = observed(&all, Some(&applied));
        let ids = |list: &[v1::ContainerSummary]| -> Vec<String> {
            list.iter().map(|one| one.container_id.clone()).collect()
        };
        assert_eq!(ids(&with_record.foreign), ["f"]);
        assert_eq!(ids(&with_record.orphans), ["m"]);
        assert_eq!(with_record.services.len(), 1);
        assert_eq!(service(&with_record, "omni").container_id, "omni");
        // Without a record nobody can say what is an orphan.
        let without = observed(&all, None);
        assert!(without.orphans.is_empty());
        assert_eq!(without.services.len(), 2);
    }

    #[test]
    fn only_a_secret_with_another_value_has_changed() {
        let mut changed = container("omni", "omni", 20);
        changed
            .labels
            .insert(labels::SECRETS.to_owned(), "client=old,gone=bb".to_owned());
        let all = [changed, container("omni-tailscale", "side", 10)];
        let observed = observed(&all, None);
        assert_eq!(service(&observed, "omni").changed_secrets, ["client"]);
        assert!(
            service(&observed, "omni-tailscale")
                .changed_secrets
                .is_empty()
        );
    }

    #[test]
    fn a_record_counts_only_while_it_fits_the_container() {
        let mut applied = applied();
        let omni = testing::stack().services[1].clone();
        applied.services.insert("omni".to_owned(), omni.clone());
        let all = [container("omni", "omni", 20)];
        assert_eq!(
            service(&observed(&all, Some(&applied)), "omni").applied,
            Some(omni)
        );
        applied.services.get_mut("omni").unwrap().user = "1000".to_owned();
        assert_eq!(
            service(&observed(&all, Some(&applied)), "omni").applied,
            None
        );
        assert!(
            service(&observed(&all, None), "omni")
                .image_digest
                .starts_with("sha256:aaa")
        );
    }
}
