//! What an engine knows of a container and of an image.

use std::collections::BTreeMap;

use omni_scale_proto::v1::{ContainerHealth, ContainerState, PortProtocol, RestartPolicy};

/// A container as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerDetails {
    /// 64 hex digits.
    pub id: String,
    /// Without the Engine's leading slash.
    pub name: String,
    /// All of them.
    pub labels: BTreeMap<String, String>,
    /// The image reference it was created with.
    pub image: String,
    /// Id of the image, `sha256:…` over its configuration.
    pub image_id: String,
    /// What it does.
    pub state: ContainerState,
    /// Of the last run; 0 while it runs.
    pub exit_code: i32,
    /// The last run was ended for using too much memory.
    pub out_of_memory: bool,
    /// Why the Engine could not start it. Empty: nothing is wrong.
    pub error: String,
    /// What its own health check says.
    pub health: ContainerHealth,
    /// Milliseconds since the Unix epoch. 0: never started.
    pub started_at_milliseconds: i64,
    /// Restarts by its restart policy.
    pub restarts: u32,
    /// What the Engine does by itself with it once it has ended.
    pub restart: RestartPolicy,
    /// `container:ID`, `host`, `none`, or the name of a network.
    pub network_mode: String,
    /// Names of the networks that it is attached to, sorted.
    pub networks: Vec<String>,
    /// Volumes of the Engine that are mounted.
    pub volumes: Vec<VolumeUse>,
    /// Ports of the host that it holds.
    pub held_ports: Vec<HeldPort>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkDetails {
    /// Name at the Engine.
    pub name: String,
    /// It leads nowhere but to its own containers.
    pub internal: bool,
}

/// A volume in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUse {
    /// Name at the Engine.
    pub name: String,
    /// Absolute path in the container.
    pub target: String,
}

/// A port of the host that a running container holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPort {
    /// IP literal.
    pub address: String,
    /// Port of the host.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: PortProtocol,
}

impl ContainerDetails {
    /// The container whose network namespace this one was given.
    pub fn namespace_container(&self) -> Option<&str> {
        self.network_mode.strip_prefix("container:")
    }

    /// It runs, as far as the Engine can tell.
    pub fn is_running(&self) -> bool {
        self.state == ContainerState::Running
    }
}

/// An image that the host holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDetails {
    /// `sha256:…` over its configuration.
    pub id: String,
    /// `repository@sha256:…`, one for each registry it is known to be in.
    pub repository_digests: Vec<String>,
    /// The user it runs as: `uid`, `uid:gid`, names, or empty for root.
    pub user: String,
}
