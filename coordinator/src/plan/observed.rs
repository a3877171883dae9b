//! What the hosts are like: the planner's right-hand side.
//!
//! Data only. [`crate::rollout::observe`] asks the agents for it.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::id::{HostName, SecretName, StackName};
use omni_scale_proto::operation::Target;
use omni_scale_proto::role::HostRole;
use omni_scale_proto::stack::image_digest;
use omni_scale_proto::v1;
use serde::{Deserialize, Serialize};

use super::Desired;
use super::desired::DesiredIdentity;
use super::machines::MachinesScope;

/// What must be asked so that a plan can be made, and asked again before it is run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Every host, and what is asked there.
    pub hosts: BTreeMap<HostName, HostScope>,
}

/// What is asked of one host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostScope {
    /// The tsidp unit.
    pub unit: bool,
    /// A stack, and the images that its Engine shall resolve.
    pub stack: Option<StackScope>,
    /// Omni's client at the issuer, as it shall be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<v1::Client>,
    /// Machines on the cluster that its agent reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machines: Option<MachinesScope>,
    /// The secrets that the plan builds on.
    pub secrets: BTreeSet<SecretName>,
}

/// A stack that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackScope {
    /// Its name.
    pub name: StackName,
    /// Image references that are not pinned by a digest yet, as the deployment gives them.
    pub images: BTreeSet<String>,
}

impl Scope {
    /// What a deployment makes it necessary to ask. A stack with an unusable name is not asked
    /// for: the planner refuses it.
    pub fn of(desired: &Desired) -> Self {
        let mut hosts: BTreeMap<HostName, HostScope> = desired
            .hosts
            .keys()
            .map(|host| (host.clone(), HostScope::default()))
            .collect();
        if let DesiredIdentity::Tsidp { host, .. } = &desired.identity {
            hosts.entry(host.clone()).or_default().unit = true;
        }
        let stack = &desired.stack;
        hosts.entry(stack.host.clone()).or_default().stack =
            stack.stack.name.parse().ok().map(|name| StackScope {
                name,
                images: stack
                    .stack
                    .services
                    .iter()
                    .map(|service| service.image.clone())
                    .filter(|image| image_digest(image).is_none())
                    .collect(),
            });
        if let Some(client) = &desired.client {
            let host = hosts.entry(stack.host.clone()).or_default();
            host.client = Some(client.client.clone());
        }
        if let Some(machines) = &desired.machines {
            let host = hosts.entry(machines.host.clone()).or_default();
            host.machines = Some(machines.scope());
        }
        for secret in &desired.secrets {
            let host = hosts.entry(secret.host.clone()).or_default();
            host.secrets.insert(secret.name.clone());
        }
        Self { hosts }
    }

    /// The same without these hosts: they do not exist yet.
    pub(super) fn without(mut self, missing: &BTreeSet<HostName>) -> Self {
        self.hosts.retain(|host, _| !missing.contains(host));
        self
    }
}

/// Every host of the deployment as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// By name. A host that is missing here counts as unreachable.
    pub hosts: BTreeMap<HostName, HostObservation>,
}

/// One host as it was found.
#[derive(Debug, Clone, PartialEq)]
pub enum HostObservation {
    /// Its agent answered every question.
    Reached(Box<HostFacts>),
    /// Its agent did not answer, or not all of it.
    Unreachable {
        /// The whole chain of causes.
        reason: String,
    },
    /// Its agent answers, and does not tell what was asked.
    Silent {
        /// The whole chain of causes.
        reason: String,
    },
    /// Its agent has no certificate of this deployment.
    NotEnrolled,
}

/// What an agent answered.
#[derive(Debug, Clone, PartialEq)]
pub struct HostFacts {
    /// About the host and its agent.
    pub describe: v1::DescribeResponse,
    /// The host's clock minus the coordinator's, in milliseconds, at the time of asking. Not
    /// corrected for the time that the answer took.
    pub clock_skew_milliseconds: i64,
    /// The tsidp unit. None: not asked, since the agent has no such role.
    pub unit: Option<v1::UnitObservation>,
    /// The stack. None: not asked, since the agent has no such role.
    pub stack: Option<v1::StackObservation>,
    /// Omni's client. None: not asked.
    pub client: Option<v1::ClientObservation>,
    /// The machines. None: not asked, since the agent has no such role.
    pub machines: Option<v1::MachinesObservation>,
    /// The host's secrets, without values.
    pub secrets: Vec<v1::SecretStatus>,
}

impl Observed {
    /// The facts about a host that answered.
    pub fn facts(&self, host: &HostName) -> Option<&HostFacts> {
        match self.hosts.get(host)? {
            HostObservation::Reached(facts) => Some(facts),
            HostObservation::Unreachable { .. }
            | HostObservation::Silent { .. }
            | HostObservation::NotEnrolled => None,
        }
    }
}

impl HostFacts {
    /// Whether the agent looks after this.
    pub fn has_role(&self, role: HostRole) -> bool {
        self.describe.roles.iter().any(|name| name == role.as_str())
    }

    /// The generation of a target; 0 when it was never touched.
    pub fn generation(&self, target: &Target) -> u64 {
        self.target(target).map_or(0, |status| status.generation)
    }

    /// What the agent has done to a target, if anything.
    pub fn target(&self, target: &Target) -> Option<&v1::TargetStatus> {
        let name = target.to_string();
        self.describe
            .targets
            .iter()
            .find(|status| status.target == name)
    }

    /// A machine of the cluster that its agent reaches.
    pub fn machine(&self, name: &str) -> Option<&v1::MachineObservation> {
        let observed = self.machines.as_ref().filter(|observed| observed.known)?;
        observed
            .machines
            .iter()
            .find(|machine| machine.name == name)
    }

    /// A secret of the host.
    pub fn secret(&self, name: &str) -> Option<&v1::SecretStatus> {
        self.secrets.iter().find(|secret| secret.name == name)
    }
}
