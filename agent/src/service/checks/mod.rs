//! Questions that have an answer: preflight checks and the gates of waves.
//!
//! Each kind of check is asked once by a small function; waiting and repeating are in one loop, in `run`. What only the
//! stacks, the unit, the machines or Omni's client of a host know is asked through [`StackChecks`],
//! [`UnitChecks`], [`MachineChecks`] and [`ClientChecks`].

mod ask;
mod host;
mod run;
mod vantage;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use omni_scale_probe::{ProbeReport, ProbeRequest};

pub use vantage::{HostNetwork, HostVantage};

use crate::host_roots::HostRoots;
use crate::secrets::Secrets;
use crate::tailnet::Tailnet;
use omni_scale_proto::id::{ServiceName, StackName};
use omni_scale_proto::v1;

/// The answer to one check, asked once. Waiting and repeating are the dispatcher's.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// `PASSED`, `FAILED`, `WARNING` or `UNKNOWN`.
    pub status: v1::CheckStatus,
    /// What was found, in one line.
    pub summary: String,
    /// What to do. Empty: nothing to do.
    pub hint: String,
    /// More lines, masked.
    pub evidence: Vec<String>,
    /// Whether asking again may bring another answer. False ends a wait early.
    pub may_change: bool,
    /// When the answer can be another one at the earliest, where that is known: what must hold for a while has held
    /// then.
    pub ripe_in: Option<Duration>,
}

impl Finding {
    /// As it should be.
    pub fn passed(summary: impl Into<String>) -> Self {
        Self::new(v1::CheckStatus::Passed, summary)
    }

    /// Not as it should be; asking again may bring another answer.
    pub fn failed(summary: impl Into<String>) -> Self {
        Self::new(v1::CheckStatus::Failed, summary)
    }

    /// No answer could be had.
    pub fn unknown(summary: impl Into<String>) -> Self {
        Self::new(v1::CheckStatus::Unknown, summary)
    }

    /// A finding of a status, without hint and evidence.
    pub fn new(status: v1::CheckStatus, summary: impl Into<String>) -> Self {
        Self {
            status,
            summary: summary.into(),
            hint: String::new(),
            evidence: Vec::new(),
            may_change: true,
            ripe_in: None,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Adds lines.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Vec<String>) -> Self {
        self.evidence = evidence;
        self
    }

    /// Says when asking again is worth while.
    #[must_use]
    pub fn ripe_in(mut self, time: Duration) -> Self {
        self.ripe_in = Some(time);
        self
    }

    /// Says that asking again cannot bring another answer.
    #[must_use]
    pub fn finally(mut self) -> Self {
        self.may_change = false;
        self
    }
}

/// When a service's container was started, for checks that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStart {
    /// The container.
    pub container_id: String,
    /// Milliseconds since the Unix epoch.
    pub started_at_milliseconds: i64,
    /// Restarts so far.
    pub restarts: u32,
}

/// Checks that the stacks of this host can answer. Each is asked once and bounded by the implementation.
#[async_trait]
pub trait StackChecks: Send + Sync {
    /// Whether containers can use /dev/net/tun.
    async fn tun(&self) -> Finding;
    /// Whether the Engine answers with an API version that we speak.
    async fn engine(&self) -> Finding;
    /// Whether a service runs, on the live namespace, with one start time since `hold_seconds`.
    async fn service(&self, check: &v1::ServiceCheck) -> Finding;
    /// Whether the sidecar's node has exactly this name.
    async fn sidecar_name(&self, check: &v1::SidecarNameCheck) -> Finding;
    /// Whether `agent.toml` covers this stack.
    async fn stack_policy(&self, check: &v1::StackPolicyCheck) -> Finding;
    /// Whether a container of this stack holds the port.
    async fn holds_port(&self, stack: &str, check: &v1::PortFreeCheck) -> bool;
    /// Takes the probe inside the network namespace of a service's container. An error says why it could not.
    async fn probe_in_namespace(
        &self,
        stack: &StackName,
        service: &ServiceName,
        request: ProbeRequest,
    ) -> Result<ProbeReport, Finding>;
    /// When a service's container was started. An error says why it is not known, or that it does not run.
    async fn service_start(
        &self,
        stack: &StackName,
        service: &ServiceName,
    ) -> Result<ServiceStart, Finding>;
    /// The Engine's versions, for `Describe`. Absent: it does not answer.
    async fn engine_version(&self) -> Option<v1::EngineVersion>;
}

/// Checks that the unit of this host can answer.
#[async_trait]
pub trait UnitChecks: Send + Sync {
    /// Whether `agent.toml` covers this configuration.
    async fn unit_policy(&self, check: &v1::UnitPolicyCheck) -> Finding;
    /// systemd's version, for `Describe`. Absent: the bus does not answer.
    async fn systemd_version(&self) -> Option<String>;
}

/// Checks that the machines of this host's clusters can answer.
#[async_trait]
pub trait MachineChecks: Send + Sync {
    /// Whether a cluster will do for machines: everything that is missing, at once.
    async fn hypervisor(&self, check: &v1::HypervisorCheck) -> Finding;
}

/// Checks that Omni's client can answer.
#[async_trait]
pub trait ClientChecks: Send + Sync {
    /// Whether a login with the client gives what Omni needs. Final: a code is good for one try.
    async fn login(&self, check: &v1::LoginCheck) -> Finding;
}

/// Answers to checks: this host's own, and those of the parts that its roles have.
pub struct Checks {
    /// `None`: this host has no stacks.
    pub stacks: Option<Arc<dyn StackChecks>>,
    /// `None`: this host has no unit.
    pub unit: Option<Arc<dyn UnitChecks>>,
    /// `None`: this host looks after no machines.
    pub machines: Option<Arc<dyn MachineChecks>>,
    /// `None`: this host has no client.
    pub client: Option<Arc<dyn ClientChecks>>,
    /// The host's own node.
    pub tailnet: Arc<dyn Tailnet>,
    /// The host's secrets.
    pub secrets: Arc<Secrets>,
    /// Whom this host trusts.
    pub roots: HostRoots,
    /// Products as this host sees them.
    pub vantage: Arc<dyn HostVantage>,
}

impl Checks {
    /// systemd's version. Absent: this host has no unit, or the bus does not answer.
    pub async fn systemd_version(&self) -> Option<String> {
        self.unit.as_ref()?.systemd_version().await
    }

    /// The Engine's versions. Absent: this host has no stacks, or the Engine does not answer.
    pub async fn engine_version(&self) -> Option<v1::EngineVersion> {
        self.stacks.as_ref()?.engine_version().await
    }
}
