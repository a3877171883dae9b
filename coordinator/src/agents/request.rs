//! What agents are asked.

use std::time::Duration;

use omni_scale_proto::id::{DeploymentId, HostName, MachineName, ServiceName, Sha256, StackName};
use omni_scale_proto::operation::Target;
use omni_scale_proto::v1;
use serde::{Deserialize, Serialize};

/// A state that a target shall be in. Asking twice is harmless.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// The tsidp unit shall be so.
    ApplyUnit {
        /// What it shall be.
        configuration: v1::UnitConfiguration,
    },
    /// Services of a stack shall be so.
    ApplyStack {
        /// The whole stack, images by digest.
        stack: v1::Stack,
        /// The stack's name, checked.
        name: StackName,
        /// The services that are made so; the others stay as they are.
        services: Vec<ServiceName>,
        /// Ids of containers that no service names any more and that shall go.
        remove_orphans: Vec<String>,
    },
    /// Omni's client shall be registered, and its id and secret be on the host.
    ApplyClient {
        /// What it shall be.
        client: v1::Client,
    },
    /// A machine shall be there and run.
    ApplyMachine {
        /// The machine's name, checked.
        name: MachineName,
        /// The cluster.
        hypervisor: v1::Hypervisor,
        /// What it shall be.
        machine: Box<v1::Machine>,
    },
    /// The host that a machine becomes shall be enrolled, and what it was first booted with gone.
    EnrollHost {
        /// The machine's name, checked.
        name: MachineName,
        /// The cluster.
        hypervisor: v1::Hypervisor,
        /// The machine's UUID.
        uuid: String,
        /// The host that it becomes.
        host: HostName,
        /// What the host's agent must be set up for: exactly these.
        roles: Vec<String>,
        /// Whether it needs a certificate, and so somebody who has the authority's key.
        certificate: bool,
    },
}

impl Action {
    /// What it changes.
    pub fn target(&self) -> Target {
        match self {
            Self::ApplyUnit { .. } => Target::Unit,
            Self::ApplyStack { name, .. } => Target::Stack(name.clone()),
            Self::ApplyClient { .. } => Target::Client,
            Self::ApplyMachine { name, .. } | Self::EnrollHost { name, .. } => {
                Target::Machine(name.clone())
            }
        }
    }

    /// The word that goes into operation ids.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::ApplyUnit { .. } => "apply-unit",
            Self::ApplyStack { .. } => "apply-stack",
            Self::ApplyClient { .. } => "apply-client",
            Self::ApplyMachine { .. } => "apply-machine",
            Self::EnrollHost { .. } => "enroll-host",
        }
    }

    /// The host that needs a certificate for it, and so somebody who has the authority's key.
    pub const fn certificate_for(&self) -> Option<&HostName> {
        match self {
            Self::EnrollHost {
                host,
                certificate: true,
                ..
            } => Some(host),
            Self::EnrollHost { .. }
            | Self::ApplyMachine { .. }
            | Self::ApplyClient { .. }
            | Self::ApplyUnit { .. }
            | Self::ApplyStack { .. } => None,
        }
    }

    /// The sum of everything that is asked.
    pub fn digest(&self) -> Sha256 {
        let text = serde_json::to_vec(self).expect("messages have only text keys");
        Sha256::of(&text)
    }
}

/// Starting, stopping or restarting what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// The tsidp unit.
    Unit {
        /// What to do.
        action: v1::ControlAction,
    },
    /// Services of a stack.
    Stack {
        /// Which stack.
        name: StackName,
        /// Which services, in dependency order. Empty: all.
        services: Vec<ServiceName>,
        /// What to do.
        action: v1::ControlAction,
    },
    /// A machine.
    Machine {
        /// Its name, checked.
        name: MachineName,
        /// The cluster.
        hypervisor: v1::Hypervisor,
        /// Its UUID.
        uuid: String,
        /// What to do.
        action: v1::ControlAction,
    },
}

impl Control {
    /// What it changes.
    pub fn target(&self) -> Target {
        match self {
            Self::Unit { .. } => Target::Unit,
            Self::Stack { name, .. } => Target::Stack(name.clone()),
            Self::Machine { name, .. } => Target::Machine(name.clone()),
        }
    }
}

/// Who asks for a lease, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The deployment.
    pub deployment: DeploymentId,
    /// For people: `operator@machine`.
    pub holder: String,
    /// The rollout. The same one may take its lease again.
    pub rollout: String,
}

/// A lease that was granted.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseGrant {
    /// Rises with every grant. From 1.
    pub epoch: u64,
    /// The lease ends after this time unless it is renewed.
    pub time_to_live: Duration,
    /// Targets on which operations of earlier holders still run.
    pub running: Vec<v1::TargetStatus>,
}
