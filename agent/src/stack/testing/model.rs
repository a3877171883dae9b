//! What the model of an engine remembers.

use std::collections::{BTreeMap, VecDeque};

use omni_scale_proto::v1::{ContainerHealth, ContainerState, RestartPolicy};

use crate::stack::engine::{
    ContainerDetails, ContainerEvent, ContainerSpecification, EngineError, EventKind, ImageDetails,
    LogPiece, MountSpecification, NetworkAttachment, NetworkSpecification, VolumeUse,
};
use crate::stack::labels;

/// How the program in a service's containers behaves once it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Runs; a health check passes a second later.
    Healthy,
    /// Runs; a health check fails a second later.
    Unhealthy,
    /// Runs; a health check never comes to a result.
    Silent,
    /// Ends at once.
    Exits(i32),
    /// Cannot be started by the Engine.
    DoesNotStart,
}

/// An image that a registry has.
#[derive(Debug, Clone, Default)]
pub struct FakeImage {
    /// The user it runs as.
    pub user: String,
    /// Files of it that can be read: `/etc/passwd`.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Short ids of its layers.
    pub layers: Vec<String>,
}

/// A container, and what it was made from.
#[derive(Debug, Clone)]
pub(super) struct FakeContainer {
    pub(super) details: ContainerDetails,
    pub(super) specification: ContainerSpecification,
    pub(super) archives: Vec<Vec<u8>>,
    pub(super) log: Vec<LogPiece>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) away: bool,
    pub(super) containers: BTreeMap<String, FakeContainer>,
    pub(super) held_images: BTreeMap<String, ImageDetails>,
    pub(super) registry: BTreeMap<String, FakeImage>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) networks: BTreeMap<String, NetworkSpecification>,
    pub(super) volumes: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) behaviours: BTreeMap<String, Behaviour>,
    pub(super) failures: VecDeque<(String, EngineError)>,
    pub(super) lost_answers: Vec<String>,
    pub(super) hanging: Vec<String>,
    pub(super) answers: BTreeMap<String, (i64, String)>,
    pub(super) calls: Vec<String>,
    pub(super) history: Vec<ContainerEvent>,
    pub(super) clock: i64,
    pub(super) made: u64,
    pub(super) changes_left: Option<usize>,
}

/// Calls that change something.
const CHANGES: [&str; 10] = [
    "create ",
    "put ",
    "start ",
    "stop ",
    "restart-policy ",
    "rename ",
    "remove ",
    "pull ",
    "network ",
    "volume ",
];

impl Model {
    /// Whether this call is the one that never returns.
    pub(super) fn hangs_at(&mut self, call: &str) -> bool {
        if let Some(position) = self.hanging.iter().position(|hangs| hangs == call) {
            self.hanging.remove(position);
            return true;
        }
        if !CHANGES.iter().any(|change| call.starts_with(change)) {
            return false;
        }
        match &mut self.changes_left {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    /// A moment later than all before.
    pub(super) fn tick(&mut self) -> i64 {
        self.clock += 1_000;
        1_700_000_000_000 + self.clock
    }

    pub(super) fn find(&self, container: &str) -> Option<&FakeContainer> {
        self.containers.get(container).or_else(|| {
            self.containers
                .values()
                .find(|other| other.details.name == container)
        })
    }

    pub(super) fn find_mut(&mut self, container: &str) -> Option<&mut FakeContainer> {
        let id = self.find(container)?.details.id.clone();
        self.containers.get_mut(&id)
    }

    pub(super) fn event(&mut self, container: &str, kind: EventKind) -> Option<ContainerEvent> {
        let time = self.tick();
        let labels = &self.find(container)?.details.labels;
        let event = ContainerEvent {
            container: container.to_owned(),
            service: labels.get(labels::SERVICE).cloned().unwrap_or_default(),
            kind,
            time_nanoseconds: time * 1_000_000,
        };
        self.history.push(event.clone());
        Some(event)
    }

    /// Makes a container as the Engine would; the caller has checked the name.
    pub(super) fn insert(
        &mut self,
        specification: &ContainerSpecification,
        image: &ImageDetails,
    ) -> String {
        self.made += 1;
        let id = format!("{:064x}", self.made);
        let network_mode = match &specification.network {
            NetworkAttachment::None => "none".to_owned(),
            NetworkAttachment::DefaultBridge => "bridge".to_owned(),
            NetworkAttachment::Networks(endpoints) => endpoints[0].network.clone(),
            NetworkAttachment::Container(other) => format!("container:{other}"),
        };
        let networks = match &specification.network {
            NetworkAttachment::Networks(endpoints) => {
                let names = endpoints.iter().map(|endpoint| endpoint.network.clone());
                names.collect()
            }
            NetworkAttachment::Container(_) => Vec::new(),
            NetworkAttachment::None | NetworkAttachment::DefaultBridge => {
                vec![network_mode.clone()]
            }
        };
        let mut volumes = Vec::new();
        for mount in &specification.mounts {
            if let MountSpecification::Volume { name, target, .. } = mount {
                // The Engine makes a volume that is not there.
                self.volumes.entry(name.clone()).or_default();
                volumes.push(VolumeUse {
                    name: name.clone(),
                    target: target.clone(),
                });
            }
        }
        let details = ContainerDetails {
            id: id.clone(),
            name: specification.name.clone(),
            labels: specification.labels.clone(),
            image: specification.image.clone(),
            image_id: image.id.clone(),
            state: ContainerState::Created,
            exit_code: 0,
            out_of_memory: false,
            error: String::new(),
            health: ContainerHealth::None,
            started_at_milliseconds: 0,
            restarts: 0,
            restart: match specification.restart {
                RestartPolicy::Unspecified => RestartPolicy::No,
                policy => policy,
            },
            network_mode,
            networks,
            volumes,
            held_ports: Vec::new(),
        };
        let container = FakeContainer {
            details,
            specification: specification.clone(),
            archives: Vec::new(),
            log: Vec::new(),
        };
        self.containers.insert(id.clone(), container);
        id
    }
}
