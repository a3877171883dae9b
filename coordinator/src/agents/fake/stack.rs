//! The model of a stack at an Engine.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::difference::{ServiceAction, stack_difference};
use omni_scale_proto::id::ServiceName;
use omni_scale_proto::stack::{
    CheckedStack, image_digest, namespace_of, secrets_of, service_digest,
};
use omni_scale_proto::v1::{self, ContainerState};

use super::secret::SecretModel;

/// Containers and volumes.
#[derive(Debug, Clone, Default)]
pub struct StackModel {
    /// Why the Engine does not answer. Empty: it does.
    pub engine_fault: String,
    /// By service.
    pub containers: BTreeMap<String, Container>,
    /// Names at the Engine. Never removed.
    pub volumes: BTreeSet<String>,
    /// By name at the Engine, whether they are internal. Never removed.
    pub networks: BTreeMap<String, bool>,
    /// Containers that others made.
    pub foreign: Vec<v1::ContainerSummary>,
    /// Services of the stack that was applied last.
    pub last_applied: BTreeSet<String>,
    /// How often containers were made, by service.
    pub created: BTreeMap<String, u32>,
    next_id: u64,
}

/// A container of ours.
#[derive(Debug, Clone)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// What it was made from.
    pub service: v1::Service,
    /// Whether it runs.
    pub state: ContainerState,
    /// Id of the container whose namespace it shares.
    pub namespace: Option<String>,
    /// The values that went into it, by secret.
    pub secrets: BTreeMap<String, u64>,
    /// Its volumes and networks.
    pub resources: v1::ContainerResources,
}

impl StackModel {
    pub(super) fn observe(
        &self,
        name: &str,
        secrets: &BTreeMap<String, SecretModel>,
        generation: u64,
    ) -> v1::StackObservation {
        if !self.engine_fault.is_empty() {
            return v1::StackObservation {
                reason: self.engine_fault.clone(),
                name: name.to_owned(),
                ..v1::StackObservation::default()
            };
        }
        let orphaned = |service: &String| !self.last_applied.contains(service);
        v1::StackObservation {
            known: true,
            name: name.to_owned(),
            services: self
                .containers
                .iter()
                .filter(|(service, _)| !orphaned(service))
                .map(|(_, container)| self.observe_container(name, container, secrets))
                .collect(),
            orphans: self
                .containers
                .iter()
                .filter(|(service, _)| orphaned(service))
                .map(|(service, container)| v1::ContainerSummary {
                    container_id: container.id.clone(),
                    container_name: format!("{name}-{service}-1"),
                    service: service.clone(),
                    state: "running".to_owned(),
                })
                .collect(),
            foreign: self.foreign.clone(),
            volumes: self.volumes.iter().cloned().collect(),
            networks: self
                .networks
                .iter()
                .map(|(name, internal)| v1::NetworkObservation {
                    engine_name: name.clone(),
                    internal: *internal,
                })
                .collect(),
            generation,
            ..v1::StackObservation::default()
        }
    }

    fn observe_container(
        &self,
        stack: &str,
        container: &Container,
        secrets: &BTreeMap<String, SecretModel>,
    ) -> v1::ServiceObservation {
        let service = &container.service;
        let running = container.state == ContainerState::Running;
        let health = match (&service.health_check, running) {
            (None, _) => v1::ContainerHealth::None,
            (Some(_), true) => v1::ContainerHealth::Healthy,
            (Some(_), false) => v1::ContainerHealth::Unhealthy,
        };
        v1::ServiceObservation {
            service: service.name.clone(),
            container_id: container.id.clone(),
            container_name: format!("{stack}-{}-1", service.name),
            state: container.state.into(),
            exit_code: i32::from(container.state == ContainerState::Exited),
            health: health.into(),
            digest: service_digest(service).into(),
            applied: Some(service.clone()),
            changed_secrets: container
                .secrets
                .iter()
                .filter(|(name, version)| {
                    secrets
                        .get(*name)
                        .is_some_and(|secret| secret.version != **version)
                })
                .map(|(name, _)| name.clone())
                .collect(),
            image_digest: image_digest(&service.image).unwrap_or_default().to_owned(),
            namespace_of: namespace_of(service).unwrap_or_default().to_owned(),
            namespace_live: self.namespace_is_live(container),
            resources: Some(container.resources.clone()),
            ..v1::ServiceObservation::default()
        }
    }

    fn namespace_is_live(&self, container: &Container) -> bool {
        let owner = namespace_of(&container.service).and_then(|owner| self.containers.get(owner));
        match (&container.namespace, owner) {
            (None, _) => true,
            (Some(id), Some(owner)) => owner.id == *id && owner.state == ContainerState::Running,
            (Some(_), None) => false,
        }
    }

    /// Whether a service runs, on the live namespace.
    pub fn runs(&self, service: &str) -> bool {
        self.containers.get(service).is_some_and(|container| {
            container.state == ContainerState::Running && self.namespace_is_live(container)
        })
    }

    /// Makes services so, at most `limit` of them. `Err` says why they are not.
    pub(super) fn apply(
        &mut self,
        stack: &v1::Stack,
        services: &[ServiceName],
        remove: &[String],
        secrets: &mut BTreeMap<String, SecretModel>,
        bad_images: &BTreeSet<String>,
        limit: usize,
    ) -> Result<(), String> {
        let stack = CheckedStack::try_from(stack.clone()).map_err(|error| error.to_string())?;
        let names = stack.as_wire().services.iter();
        self.last_applied = names.map(|service| service.name.clone()).collect();
        let observed = self.observe(stack.name().as_str(), secrets, 0);
        let changes =
            stack_difference(&stack, services, &observed).map_err(|error| error.to_string())?;
        let acting = changes
            .into_iter()
            .filter(|change| change.action != ServiceAction::Keep);
        for change in acting.take(limit) {
            let service = stack
                .service(change.service.as_str())
                .ok_or("a change names a service of the stack")?;
            match change.action {
                ServiceAction::Keep => {}
                ServiceAction::Start => self.start(&service.name, bad_images)?,
                ServiceAction::Create | ServiceAction::Recreate => {
                    self.create(&stack, service, secrets)?;
                    self.start(&service.name, bad_images)?;
                    consume(service, secrets);
                }
            }
        }
        self.containers
            .retain(|_, container| !remove.contains(&container.id));
        Ok(())
    }

    /// Starts, stops or restarts services. None named: all. `Err` says why that cannot be.
    pub(super) fn control(
        &mut self,
        services: &[ServiceName],
        action: v1::ControlAction,
        bad_images: &BTreeSet<String>,
    ) -> Result<(), String> {
        let mut names: Vec<String> = match services {
            [] => self.containers.keys().cloned().collect(),
            named => named.iter().map(ToString::to_string).collect(),
        };
        // Whoever owns a namespace comes before those in it.
        names.sort_by_key(|name| {
            let container = self.containers.get(name);
            container.is_some_and(|container| container.namespace.is_some())
        });
        for name in names {
            let container = self
                .containers
                .get_mut(&name)
                .ok_or_else(|| format!("`{name}` has no container"))?;
            if action != v1::ControlAction::Start {
                container.state = ContainerState::Exited;
            }
            if action != v1::ControlAction::Stop {
                self.start(&name, bad_images)?;
            }
        }
        Ok(())
    }

    fn create(
        &mut self,
        stack: &CheckedStack,
        service: &v1::Service,
        secrets: &BTreeMap<String, SecretModel>,
    ) -> Result<(), String> {
        let mut used = BTreeMap::new();
        for name in secrets_of(service) {
            let secret = secrets
                .get(name)
                .ok_or_else(|| format!("secret `{name}` is not set"))?;
            used.insert(name.to_owned(), secret.version);
        }
        let namespace = match namespace_of(service) {
            None => None,
            Some(owner) => Some(
                self.containers
                    .get(owner)
                    .filter(|owner| owner.state == ContainerState::Running)
                    .ok_or_else(|| format!("`{owner}` does not run"))?
                    .id
                    .clone(),
            ),
        };
        let resources = self.ensure_resources(stack.as_wire(), service);
        self.next_id += 1;
        *self.created.entry(service.name.clone()).or_default() += 1;
        let container = Container {
            id: format!("container-{}", self.next_id),
            service: service.clone(),
            state: ContainerState::Created,
            namespace,
            secrets: used,
            resources,
        };
        self.containers.insert(service.name.clone(), container);
        Ok(())
    }

    /// What a container of this service stands on, which is made when it is not there.
    fn ensure_resources(
        &mut self,
        stack: &v1::Stack,
        service: &v1::Service,
    ) -> v1::ContainerResources {
        let mut resources = v1::ContainerResources::default();
        for mount in &service.mounts {
            let Some(v1::mount::Source::Volume(key)) = &mount.source else {
                continue;
            };
            for volume in stack.volumes.iter().filter(|volume| volume.name == *key) {
                self.volumes.insert(volume.engine_name.clone());
                resources.volumes.push(v1::MountedVolume {
                    target: mount.target.clone(),
                    engine_name: volume.engine_name.clone(),
                });
            }
        }
        let mode = service
            .network_mode
            .as_ref()
            .and_then(|mode| mode.mode.as_ref());
        if let Some(v1::network_mode::Mode::Networks(wanted)) = mode {
            let member = |network: &&v1::Network| {
                let mut wanted = wanted.memberships.iter();
                wanted.any(|membership| membership.network == network.name)
            };
            for network in stack.networks.iter().filter(member) {
                let there = self.networks.entry(network.engine_name.clone());
                there.or_insert(network.internal);
                resources.networks.push(network.engine_name.clone());
            }
        }
        resources
    }

    fn start(&mut self, service: &str, bad_images: &BTreeSet<String>) -> Result<(), String> {
        let Some(container) = self.containers.get_mut(service) else {
            return Err(format!("`{service}` has no container"));
        };
        if bad_images.contains(&container.service.image) {
            container.state = ContainerState::Exited;
            return Err(format!("`{service}` has exited with code 1"));
        }
        container.state = ContainerState::Running;
        Ok(())
    }
}

/// A one-time key is gone once the node has logged in.
fn consume(service: &v1::Service, secrets: &mut BTreeMap<String, SecretModel>) {
    let one_time = service.files.iter().filter(|file| file.one_time);
    let segments = one_time.flat_map(|file| file.content.iter().flat_map(|text| &text.segments));
    for segment in segments {
        if let Some(v1::segment::Part::Secret(used)) = &segment.part
            && let Some(secret) = secrets.get_mut(&used.name)
        {
            secret.consumed = true;
        }
    }
}
