//! The port to the agents: what a rollout needs of a host, in domain words.
//!
//! Presentation-free, and free of tonic: the adapter lives beside this file and is the only one
//! that knows how an agent is reached. Nothing here retries: the callers do, where it is journalled.
//!
//! Invariant: an error says for certain whether the request can have had an effect
//! ([`AgentError::Unknown`]) or not (every other variant).

mod error;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
pub mod grpc;
mod request;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use omni_scale_proto::id::{HostName, StackName};
use omni_scale_proto::operation::Operation;
use omni_scale_proto::v1;

use crate::plan::MachinesScope;

pub use error::{AgentError, Cause, Class, Holder};
pub use request::{Action, Control, LeaseGrant, LeaseRequest};

/// Where the progress of an operation goes. Called often; must not block.
pub type ProgressSink<'a> = &'a (dyn Fn(v1::Progress) + Send + Sync);

/// Where the reports of checks go as they come, `WAITING` ones included. Must not block.
pub type ReportSink<'a> = &'a (dyn Fn(v1::CheckReport) + Send + Sync);

/// All agents of a deployment, by host name.
#[async_trait]
pub trait Agents: fmt::Debug + Send + Sync {
    /// Facts about the host and its agent. Answers also when nobody holds the lease.
    async fn describe(&self, host: &HostName) -> Result<v1::DescribeResponse, AgentError>;

    /// The tsidp unit as it is. `known: false` is an answer, not an error.
    async fn observe_unit(&self, host: &HostName) -> Result<v1::UnitObservation, AgentError>;

    /// A stack as it is, and what the host's Engine says that `images` are.
    async fn observe_stack(
        &self,
        host: &HostName,
        stack: &StackName,
        images: &[String],
    ) -> Result<v1::StackObservation, AgentError>;

    /// Omni's client as it is on the host, and what its issuer says of it.
    async fn observe_client(
        &self,
        host: &HostName,
        client: &v1::Client,
    ) -> Result<v1::ClientObservation, AgentError>;

    /// A cluster, and what there is of these machines. `known: false` is an answer, not an error.
    async fn observe_machines(
        &self,
        host: &HostName,
        asked: &MachinesScope,
    ) -> Result<v1::MachinesObservation, AgentError>;

    /// Names, times and keyed digests of the host's secrets.
    async fn list_secrets(&self, host: &HostName) -> Result<Vec<v1::SecretStatus>, AgentError>;

    /// Runs checks side by side until each has passed or its own bound has ended. The result
    /// holds the last report of every check that was reported on, in no particular order.
    async fn run_checks(
        &self,
        host: &HostName,
        checks: &[v1::Check],
        reports: ReportSink<'_>,
    ) -> Result<Vec<v1::CheckReport>, AgentError>;

    /// Takes the lease. [`AgentError::Held`] when another rollout holds it.
    async fn acquire_lease(
        &self,
        host: &HostName,
        request: &LeaseRequest,
    ) -> Result<LeaseGrant, AgentError>;

    /// Keeps the lease; returns for how long. [`AgentError::LeaseLost`] when `epoch` is over.
    async fn renew_lease(
        &self,
        host: &HostName,
        request: &LeaseRequest,
        epoch: u64,
    ) -> Result<Duration, AgentError>;

    /// Gives the lease back. Giving back one that is lost already is no error.
    async fn release_lease(
        &self,
        host: &HostName,
        request: &LeaseRequest,
        epoch: u64,
    ) -> Result<(), AgentError>;

    /// Makes a target so, and follows the work to its outcome. Asking again with the same
    /// operation re-attaches to the work, or returns its stored outcome. An outcome with a
    /// failure is an `Ok`: the agent has answered.
    async fn apply(
        &self,
        host: &HostName,
        operation: &Operation,
        action: &Action,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError>;

    /// Starts, stops or restarts, outside of a plan.
    async fn control(
        &self,
        host: &HostName,
        operation: &Operation,
        control: &Control,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError>;
}
