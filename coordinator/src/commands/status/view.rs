//! What is known of one host, and how it was learned.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use omni_scale_proto::id::{HostName, StackName};
use omni_scale_proto::v1;

use crate::agents::grpc::{GrpcAgents, Health};
use crate::agents::{AgentError, Agents as _};
use crate::plan::{Desired, DesiredIdentity, MachinesScope};
use crate::rollout::chain;

/// Something that an agent is asked about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen<T> {
    /// There was no answer yet.
    Waiting,
    /// The last answer; nothing has contradicted it.
    Known(T),
    /// There is no answer: why.
    Lost(String),
}

/// A service of the stack, and what its health is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceView {
    pub(super) name: String,
    pub(super) health_name: String,
}

/// The stack that belongs on a host.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StackView {
    pub(super) name: StackName,
    pub(super) services: Vec<ServiceView>,
    pub(super) observation: Seen<v1::StackObservation>,
}

/// The machines on the cluster that a host's agent reaches.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MachinesView {
    pub(super) scope: MachinesScope,
    pub(super) observation: Seen<v1::MachinesObservation>,
}

/// One host.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HostView {
    pub(super) host: HostName,
    pub(super) describe: Seen<v1::DescribeResponse>,
    /// None: the unit does not belong here.
    pub(super) unit: Option<Seen<v1::UnitObservation>>,
    /// None: the stack does not belong here.
    pub(super) stack: Option<StackView>,
    /// None: the agent reaches no cluster.
    pub(super) machines: Option<MachinesView>,
    /// By name. A name that is missing is unknown.
    pub(super) health: BTreeMap<String, Health>,
}

/// The health name of the cluster.
pub(super) const HYPERVISOR_HEALTH: &str = "proxmox";
/// The health name of the unit.
pub(super) const UNIT_HEALTH: &str = "tsidp";

impl HostView {
    /// Nothing is known yet; what belongs on the host is.
    pub(super) fn new(host: &HostName, desired: &Desired) -> Self {
        let has_unit = matches!(
            &desired.identity,
            DesiredIdentity::Tsidp { host: of_unit, .. } if of_unit == host
        );
        let stack = (desired.stack.host == *host)
            .then(|| desired.stack.stack.name.parse().ok())
            .flatten()
            .map(|name| StackView {
                name,
                services: services(desired),
                observation: Seen::Waiting,
            });
        let machines = desired.machines.as_ref();
        let machines = machines.filter(|machines| machines.host == *host);
        Self {
            host: host.clone(),
            describe: Seen::Waiting,
            unit: has_unit.then_some(Seen::Waiting),
            stack,
            machines: machines.map(|machines| MachinesView {
                scope: machines.scope(),
                observation: Seen::Waiting,
            }),
            health: BTreeMap::new(),
        }
    }

    /// The names whose health matters here.
    pub(super) fn health_names(&self) -> Vec<String> {
        let unit = self.unit.iter().map(|_| UNIT_HEALTH.to_owned());
        let stack = self.stack.iter().flat_map(|stack| &stack.services);
        let cluster = self.machines.iter().map(|_| HYPERVISOR_HEALTH.to_owned());
        unit.chain(stack.map(|service| service.health_name.clone()))
            .chain(cluster)
            .collect()
    }

    /// Whether the agent did not answer.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.describe, Seen::Lost(_))
            || matches!(self.unit, Some(Seen::Lost(_)))
            || self
                .stack
                .as_ref()
                .is_some_and(|stack| matches!(stack.observation, Seen::Lost(_)))
            || self
                .machines
                .as_ref()
                .is_some_and(|machines| matches!(machines.observation, Seen::Lost(_)))
    }

    /// Asks the agent everything once, side by side.
    pub(super) async fn look(mut self, agents: &GrpcAgents) -> Self {
        self.describe = seen(agents.describe(&self.host).await);
        if matches!(self.describe, Seen::Lost(_)) {
            // What cannot be reached is not asked again for each of its parts.
            let reason = || "its agent does not answer".to_owned();
            self.unit = self.unit.map(|_| Seen::Lost(reason()));
            if let Some(stack) = &mut self.stack {
                stack.observation = Seen::Lost(reason());
            }
            if let Some(machines) = &mut self.machines {
                machines.observation = Seen::Lost(reason());
            }
            return self;
        }
        let names = self.health_names();
        let host = &self.host;
        let unit = async {
            match &self.unit {
                Some(_) => Some(seen(agents.observe_unit(host).await)),
                None => None,
            }
        };
        let stack = async {
            match &self.stack {
                Some(stack) => Some(seen(agents.observe_stack(host, &stack.name, &[]).await)),
                None => None,
            }
        };
        let machines = async {
            match &self.machines {
                Some(machines) => Some(seen(agents.observe_machines(host, &machines.scope).await)),
                None => None,
            }
        };
        let health = join_all(names.iter().map(|name| agents.health(host, name)));
        let (unit, stack, machines, health) = tokio::join!(unit, stack, machines, health);
        self.unit = unit;
        if let (Some(view), Some(observation)) = (&mut self.stack, stack) {
            view.observation = observation;
        }
        if let (Some(view), Some(observation)) = (&mut self.machines, machines) {
            view.observation = observation;
        }
        self.health = names
            .into_iter()
            .zip(health)
            .map(|(name, health)| (name, health.unwrap_or(Health::Unknown)))
            .collect();
        self
    }
}

/// An answer, or the reason why there is none.
pub(super) fn seen<T>(answer: Result<T, AgentError>) -> Seen<T> {
    match answer {
        Ok(answer) => Seen::Known(answer),
        Err(error) => Seen::Lost(reason(&error)),
    }
}

/// Why there is no answer, without what the table says already: which host, and what was asked.
pub(super) fn reason(error: &AgentError) -> String {
    match error {
        AgentError::Unreachable { source, .. } | AgentError::Unknown { source, .. } => {
            chain(source.as_ref())
        }
        AgentError::NotEnrolled { .. } => "its agent is not enrolled".to_owned(),
        AgentError::Refused { message, .. }
        | AgentError::Unavailable { message, .. }
        | AgentError::Faulty { message, .. } => message.clone(),
        AgentError::LeaseLost { .. } | AgentError::Held { .. } => chain(error),
    }
}

fn services(desired: &Desired) -> Vec<ServiceView> {
    let stack = &desired.stack;
    stack
        .stack
        .services
        .iter()
        .map(|service| {
            let name = service.name.clone();
            let plays = |part: &omni_scale_proto::id::ServiceName| part.as_str() == name;
            let health_name = if plays(&stack.omni) {
                "omni".to_owned()
            } else {
                // Also of the provider: agents know the name `provider` for the built-in one only.
                format!("omni/{name}")
            };
            ServiceView { name, health_name }
        })
        .collect()
}
