//! What the deployment asks for, rendered: the planner's left-hand side.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::id::{DeploymentId, HostName, SecretName, ServiceName};
use omni_scale_proto::role::HostRole;
use omni_scale_proto::v1;
use serde::{Deserialize, Serialize};

use super::machines::DesiredMachines;

/// The waves of a rollout, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wave {
    /// 0: checks only.
    Preflight,
    /// 1: machines for hosts that do not exist yet.
    #[serde(rename = "host-machines")]
    HostMachines,
    /// 2: the OIDC issuer.
    Identity,
    /// 3: Omni's client at the issuer.
    Client,
    /// 4: the tailnet node of the stack.
    Sidecar,
    /// 5: Omni itself.
    Omni,
    /// 6: the infrastructure provider.
    Provider,
    /// 7: machines that join Omni.
    Machines,
}

impl Wave {
    /// Every wave, in order.
    pub const ALL: [Self; 8] = [
        Self::Preflight,
        Self::HostMachines,
        Self::Identity,
        Self::Client,
        Self::Sidecar,
        Self::Omni,
        Self::Provider,
        Self::Machines,
    ];

    /// Its number in documents and step ids.
    pub const fn number(self) -> u8 {
        match self {
            Self::Preflight => 0,
            Self::HostMachines => 1,
            Self::Identity => 2,
            Self::Client => 3,
            Self::Sidecar => 4,
            Self::Omni => 5,
            Self::Provider => 6,
            Self::Machines => 7,
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::HostMachines => "host-machines",
            Self::Identity => "identity",
            Self::Client => "client",
            Self::Sidecar => "sidecar",
            Self::Omni => "omni",
            Self::Provider => "provider",
            Self::Machines => "machines",
        }
    }
}

impl std::fmt::Display for Wave {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "wave {} ({})", self.number(), self.as_str())
    }
}

/// Everything a deployment wants, with nothing left to decide but images' digests.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Whose it is.
    pub deployment: DeploymentId,
    /// Every host, enrolled or to be.
    pub hosts: BTreeMap<HostName, DesiredHost>,
    /// Who says who a user is.
    pub identity: DesiredIdentity,
    /// The Omni stack.
    pub stack: DesiredStack,
    /// Omni's client at the issuer. Absent: it is registered by hand.
    pub client: Option<DesiredClient>,
    /// The machines. Absent: none are declared.
    pub machines: Option<DesiredMachines>,
    /// Secrets that hosts must hold, and from when on.
    pub secrets: Vec<DesiredSecret>,
    /// PEM certificates trusted beside each host's own.
    pub extra_roots_pem: String,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredHost {
    /// What its agent looks after.
    pub roles: BTreeSet<HostRole>,
    /// Its node's name on the tailnet, fully qualified, without the trailing dot.
    pub dns_name: String,
}

/// Where identities come from.
#[derive(Debug, Clone, PartialEq)]
pub enum DesiredIdentity {
    /// A tsidp of ours.
    Tsidp {
        /// The host it runs on; never the stack's.
        host: HostName,
        /// What its unit shall be; carries the issuer.
        configuration: v1::UnitConfiguration,
        /// Its own node's name, fully qualified, without the trailing dot.
        dns_name: String,
    },
    /// Somebody else's issuer. Wave 2 is its gate alone.
    External {
        /// https, no trailing slash.
        issuer: String,
    },
}

/// The stack, and which of its services play which part.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredStack {
    /// The host it runs on.
    pub host: HostName,
    /// The stack as rendered; an image may still be a tag here.
    pub stack: v1::Stack,
    /// The service that is the tailnet node.
    pub sidecar: ServiceName,
    /// The service that is Omni.
    pub omni: ServiceName,
    /// The service that is the provider. Absent: no provider is declared.
    pub provider: Option<ServiceName>,
    /// The sidecar's name on the tailnet, fully qualified, without the trailing dot.
    pub dns_name: String,
    /// Where Omni's `/healthz` is, seen from inside the namespace: `http://127.0.0.1:8080/healthz`.
    pub health_url: String,
}

/// Omni's client at a tsidp of ours, which the stack's host registers.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredClient {
    /// What it shall be.
    pub client: v1::Client,
    /// Whom Omni lets in first.
    pub expected_emails: Vec<String>,
    /// Omni takes e-mail addresses that the issuer does not call verified.
    pub unverified_email_accepted: bool,
}

/// A secret that must be on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredSecret {
    /// Where it must be.
    pub host: HostName,
    /// Its name there.
    pub name: SecretName,
    /// What it is used for, and so how it is checked.
    pub usage: v1::SecretUse,
    /// The first wave that needs it.
    pub wave: Wave,
    /// A key for one login: needed only while the node is unknown, and used up by it.
    pub one_time: bool,
}
