//! The port to a container engine: what a stack needs of it, in the words of a stack.
//!
//! Four narrow traits, and [`Engine`] for those who need all. There is no way here to remove a
//! volume or a network, to run something with a terminal, or to reach a container that was not
//! named. Implementations neither decide nor retry.
//!
//! Invariants: every call is bounded in time by the implementation, streams excepted; a thing
//! that does not exist is `None` where a question was asked, and [`EngineError::NotFound`] where
//! something was to be done with it.

mod details;
mod error;
mod event;
mod output;
mod specification;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use omni_scale_proto::v1;

pub use details::{ContainerDetails, HeldPort, ImageDetails, NetworkDetails, VolumeUse};
pub use error::EngineError;
pub use event::{ContainerEvent, EventKind};
pub use output::{CommandOutput, LogOptions, LogPiece};
pub use specification::{
    ContainerSpecification, EndpointSpecification, EnvironmentEntry, MountSpecification,
    NetworkAttachment, NetworkSpecification, OneShot, VolumeSpecification,
};

/// Everything an engine does for a stack.
pub trait Engine: Containers + Images + Resources + Activity {}

impl<T: Containers + Images + Resources + Activity> Engine for T {}

/// Containers, one by one.
#[async_trait]
pub trait Containers: Send + Sync {
    /// Every container that carries the Compose label of `project`, in any state, ours or not.
    async fn project_containers(&self, project: &str)
    -> Result<Vec<ContainerDetails>, EngineError>;

    /// The ids of all containers with `label`, in any state.
    async fn labelled_containers(&self, label: &str) -> Result<Vec<String>, EngineError>;

    /// One container by id or name.
    async fn container(&self, container: &str) -> Result<Option<ContainerDetails>, EngineError>;

    /// Creates a container, connected to all its networks and not started; returns its id.
    async fn create(&self, specification: &ContainerSpecification) -> Result<String, EngineError>;

    /// Unpacks a tar archive at `/` of a container that was not started yet.
    async fn put_archive(&self, container: &str, archive: Vec<u8>) -> Result<(), EngineError>;

    /// One regular file of a container's file system, at most 1 MiB of it.
    async fn read_file(&self, container: &str, path: &str) -> Result<Option<Vec<u8>>, EngineError>;

    /// Starts a container. One that runs stays as it is.
    async fn start(&self, container: &str) -> Result<(), EngineError>;

    /// Stops a container: its stop signal, then SIGKILL after `grace` (absent: its own grace,
    /// 10 s unless it was created with another). One that does not run stays as it is.
    async fn stop(&self, container: &str, grace: Option<Duration>) -> Result<(), EngineError>;

    /// What the Engine does by itself with a container that has ended, from now on.
    /// `attempts` counts for [`v1::RestartPolicy::OnFailure`] only; 0: without end.
    async fn set_restart(
        &self,
        container: &str,
        policy: v1::RestartPolicy,
        attempts: u32,
    ) -> Result<(), EngineError>;

    /// Gives a container another name.
    async fn rename(&self, container: &str, name: &str) -> Result<(), EngineError>;

    /// Removes a container that does not run. Its volumes stay, the nameless ones as well.
    async fn remove(&self, container: &str) -> Result<(), EngineError>;

    /// Runs a command inside a running container and collects what it prints, at most 1 MiB.
    async fn execute(
        &self,
        container: &str,
        command: &[&str],
        bound: Duration,
    ) -> Result<CommandOutput, EngineError>;

    /// Creates a container, feeds it, waits for its end, and removes it whatever happened.
    async fn run_to_end(&self, one_shot: &OneShot) -> Result<CommandOutput, EngineError>;
}

/// Images.
#[async_trait]
pub trait Images: Send + Sync {
    /// The image that the host holds under this reference or id.
    async fn image(&self, reference: &str) -> Result<Option<ImageDetails>, EngineError>;

    /// What `reference`'s registry says its digest is now: `sha256:…`. Pulls nothing.
    async fn registry_digest(&self, reference: &str) -> Result<String, EngineError>;

    /// Pulls `reference`, telling of each layer's progress.
    async fn pull(
        &self,
        reference: &str,
        progress: &(dyn Fn(v1::PullProgress) + Send + Sync),
    ) -> Result<(), EngineError>;

    /// Makes `repository:tag` from a tar archive of its root file system.
    async fn import(
        &self,
        repository: &str,
        tag: &str,
        label: &str,
        archive: Vec<u8>,
    ) -> Result<(), EngineError>;

    /// Removes the name of an image, and the image with its last name. One that a container uses
    /// stays and is an error; one that is not there is none.
    async fn forget_image(&self, reference: &str) -> Result<(), EngineError>;

    /// Every name of images with `label`.
    async fn labelled_images(&self, label: &str) -> Result<Vec<String>, EngineError>;
}

/// What containers stand on. It is made, and never removed.
#[async_trait]
pub trait Resources: Send + Sync {
    /// Makes a network unless it is there; true when it was made.
    async fn ensure_network(&self, network: &NetworkSpecification) -> Result<bool, EngineError>;

    /// Makes a volume unless it is there; true when it was made.
    async fn ensure_volume(&self, volume: &VolumeSpecification) -> Result<bool, EngineError>;

    /// Whether a network of this name is there.
    async fn network_exists(&self, name: &str) -> Result<bool, EngineError>;

    /// Whether a volume of this name is there.
    async fn volume_exists(&self, name: &str) -> Result<bool, EngineError>;

    /// Names of the volumes that carry the Compose label of `project`, sorted.
    async fn project_volumes(&self, project: &str) -> Result<Vec<String>, EngineError>;

    /// The networks that carry the Compose label of `project`, sorted by name.
    async fn project_networks(&self, project: &str) -> Result<Vec<NetworkDetails>, EngineError>;
}

/// What happens, and what was said.
#[async_trait]
pub trait Activity: Send + Sync {
    /// The Engine's version; an answer means that we speak a version it accepts.
    async fn version(&self) -> Result<v1::EngineVersion, EngineError>;

    /// Events of containers of `project`, from `since` on (nanoseconds since the Unix epoch;
    /// absent: from now on). The stream ends, with an error or without, when the connection does.
    async fn events(
        &self,
        project: &str,
        since: Option<i64>,
    ) -> Result<BoxStream<'static, Result<ContainerEvent, EngineError>>, EngineError>;

    /// What a container wrote, in the order it did. With `follow`, until it stops.
    async fn logs(
        &self,
        container: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, Result<LogPiece, EngineError>>, EngineError>;
}
