//! What an engine is told to make: complete, nothing left to look up.

use std::collections::BTreeMap;
use std::time::Duration;

use omni_scale_proto::v1;

use crate::secrets::SecretValue;

/// A container to create.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpecification {
    /// Its name.
    pub name: String,
    /// Image reference, by digest.
    pub image: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Absent: the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Absent: the image's.
    pub command: Option<Vec<String>>,
    /// Beside the image's own.
    pub environment: Vec<EnvironmentEntry>,
    /// Empty: the image's.
    pub user: String,
    /// Empty: the image's.
    pub working_directory: String,
    /// Empty: the Engine's choice.
    pub hostname: String,
    /// What is mounted where.
    pub mounts: Vec<MountSpecification>,
    /// Devices of the host.
    pub devices: Vec<v1::Device>,
    /// Without `CAP_`.
    pub capabilities_add: Vec<String>,
    /// Without `CAP_`.
    pub capabilities_drop: Vec<String>,
    /// Ports of the host.
    pub ports: Vec<v1::PublishedPort>,
    /// Its network.
    pub network: NetworkAttachment,
    /// Absent: the image's.
    pub health_check: Option<v1::HealthCheck>,
    /// What happens when it ends.
    pub restart: v1::RestartPolicy,
    /// Only with `OnFailure`; 0: no limit.
    pub restart_attempts: u32,
    /// Absent: the Engine's default.
    pub logging: Option<v1::Logging>,
    /// Between the stop signal and SIGKILL. Absent: the Engine's default.
    pub stop_grace: Option<Duration>,
    /// Empty: the image's.
    pub stop_signal: String,
    /// Of the namespaces it has for itself.
    pub sysctls: BTreeMap<String, String>,
    /// In the Engine's own words.
    pub security_options: Vec<String>,
    /// A small init as process 1. Absent: the Engine's default.
    pub init: Option<bool>,
    /// No writing to the root file system.
    pub read_only: bool,
    /// Empty, `private` or `shareable`.
    pub ipc_mode: String,
    /// `name:address`.
    pub extra_hosts: Vec<String>,
    /// Name servers. Empty: the Engine's.
    pub dns: Vec<String>,
    /// Search domains. Empty: the Engine's.
    pub dns_search: Vec<String>,
    /// Most processes. Absent: no limit.
    pub process_limit: Option<u32>,
    /// Most memory in bytes. Absent: no limit.
    pub memory_limit: Option<u64>,
}

/// A variable of a container's environment. Its value may be a secret.
#[derive(Debug, Clone)]
pub struct EnvironmentEntry {
    /// Its name.
    pub name: String,
    /// UTF-8 without NUL.
    pub value: SecretValue,
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSpecification {
    /// A volume of the Engine.
    Volume {
        /// Name at the Engine.
        name: String,
        /// Absolute path in the container.
        target: String,
        /// No writing.
        read_only: bool,
    },
    /// A file or directory of the host, which must exist.
    Bind {
        /// Absolute path on the host.
        source: String,
        /// Absolute path in the container.
        target: String,
        /// No writing.
        read_only: bool,
    },
    /// Memory.
    Temporary {
        /// Absolute path in the container.
        target: String,
        /// Bytes. 0: the Engine's default.
        size: u64,
        /// Permission bits. 0: the Engine's default.
        mode: u32,
    },
}

/// Where a container's network namespace comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NetworkAttachment {
    /// One of its own, without any network.
    #[default]
    None,
    /// One of its own, on the Engine's default bridge.
    DefaultBridge,
    /// One of its own, on these networks. Never empty.
    Networks(Vec<EndpointSpecification>),
    /// That of the container with this id.
    Container(String),
}

/// A container's place on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSpecification {
    /// The network's name at the Engine.
    pub network: String,
    /// Names it answers to there.
    pub aliases: Vec<String>,
}

/// A network to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpecification {
    /// Name at the Engine.
    pub name: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Without a way out.
    pub internal: bool,
}

/// A volume to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpecification {
    /// Name at the Engine.
    pub name: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
}

/// A container that runs once, reads its input and says something.
#[derive(Debug, Clone)]
pub struct OneShot {
    /// The container.
    pub container: ContainerSpecification,
    /// Its standard input, which then ends.
    pub input: Vec<u8>,
    /// From creation to the end.
    pub bound: Duration,
}
