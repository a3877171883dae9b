//! What an engine tells of by itself.

use omni_scale_proto::v1::ContainerHealth;

/// Something happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    /// 64 hex digits.
    pub container: String,
    /// Value of the Compose service label; empty without one.
    pub service: String,
    /// What happened.
    pub kind: EventKind,
    /// Nanoseconds since the Unix epoch.
    pub time_nanoseconds: i64,
}

/// What can happen to a container that is of interest here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was made.
    Created,
    /// It began to run.
    Started,
    /// It ended, by itself or not.
    Died {
        /// Of its first process.
        exit_code: i32,
    },
    /// It was stopped on request.
    Stopped,
    /// Its processes were frozen.
    Paused,
    /// Its processes go on.
    Resumed,
    /// It was removed.
    Destroyed,
    /// It used too much memory.
    OutOfMemory,
    /// Its health check came to another result.
    Health(ContainerHealth),
}
