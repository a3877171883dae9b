//! Starting, stopping and restarting services whose containers are there.
//!
//! Nothing is created, removed or changed here. Who shares the network namespace of a service that
//! stops loses its network, so sharers are stopped with it and started again after it: a container
//! that is started joins the namespace that its owner has then. What ran before is written down
//! first: one that was broken off is ended by the next one.

mod plan;

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::id::{OperationId, ServiceName, StackName};
use omni_scale_proto::stack::CheckedStack;
use omni_scale_proto::v1::{self, FailureClass};
use tokio::time::Instant;

use super::Stacks;
use super::applied::{AppliedStack, Controlled};
use super::conditions::Need;
use super::engine::ContainerDetails;
use super::observe::Parts;
use super::stacks::engine_failure;
use crate::operation::{Done, Failure, Reporter};
use plan::{Before, Plan};

/// What is to be done with services.
#[derive(Debug, Clone)]
pub struct Control {
    /// Which operation: under the same one, nothing is restarted twice.
    pub operation: OperationId,
    /// The stack.
    pub name: StackName,
    /// What.
    pub action: ControlAction,
    /// With which services. Empty: all.
    pub services: Vec<ServiceName>,
    /// No wait lasts longer.
    pub deadline: Instant,
}

/// What can be done with services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlAction {
    /// Make them run.
    Start,
    /// Make them not run.
    Stop,
    /// Make them run from the beginning.
    Restart,
}

impl ControlAction {
    /// The word on the command line and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

impl Stacks {
    /// Starts, stops or restarts services, telling `reporter` of the way.
    pub async fn control(&self, control: &Control, reporter: &Reporter) -> Result<Done, Failure> {
        let controlled = self.control_unmasked(control, reporter).await;
        controlled.map_err(|failure| self.masked(failure))
    }

    async fn control_unmasked(
        &self,
        control: &Control,
        reporter: &Reporter,
    ) -> Result<Done, Failure> {
        let stack = self.known_stack(&control.name)?;
        let _turn = self.turn(&control.name).lock_owned().await;
        let before = self.before(control);
        let containers = self.engine.project_containers(control.name.as_str()).await;
        let containers = containers.map_err(|error| engine_failure(&error))?;
        let serving: BTreeMap<String, ContainerDetails> = Parts::of(&containers)
            .serving
            .into_iter()
            .map(|(service, container)| (service.to_owned(), container.clone()))
            .collect();
        let scope = scope(&stack, &serving, control)?;
        let order: Vec<&str> = stack
            .start_order()
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        let plan = plan::plan(&order, &serving, control.action, &scope, &before);
        let mut started = before.started;
        for service in &plan.start {
            if let Some(container) = serving.get(service) {
                let time = container.started_at_milliseconds;
                started.entry(service.clone()).or_insert(time);
            }
        }
        let intended = Controlled {
            operation: control.operation.clone(),
            started,
        };
        // Before the first stop: what runs then can be seen no more if this is broken off.
        let owed = plan.owed.clone();
        self.write_down(&control.name, move |record| {
            record.owed = owed;
            record.control = Some(intended);
        })
        .await?;
        self.carry_out(&stack, &serving, &plan, control, reporter)
            .await?;
        if control.action != ControlAction::Stop {
            self.write_down(&control.name, |record| record.owed.clear())
                .await?;
        }
        Ok(Done::new(plan.summary(control.action)))
    }

    /// What is on record of the starts, stops and restarts before this one.
    fn before(&self, control: &Control) -> Before {
        let Some(record) = self.record(&control.name) else {
            return Before::default();
        };
        let same = record
            .control
            .filter(|controlled| controlled.operation == control.operation);
        Before {
            owed: record.owed,
            started: same.map(|same| same.started).unwrap_or_default(),
        }
    }

    async fn write_down(
        &self,
        stack: &StackName,
        change: impl FnOnce(&mut AppliedStack) + Send + 'static,
    ) -> Result<(), Failure> {
        let stack = stack.clone();
        self.keep(move |records| records.update(&stack, change))
            .await
    }

    /// What was applied last under this name.
    fn known_stack(&self, name: &StackName) -> Result<CheckedStack, Failure> {
        let record = self.record(name).ok_or_else(|| {
            let message = format!("no stack `{name}` was applied on this host");
            Failure::new(FailureClass::Permanent, message).with_hint("omni-scale apply")
        })?;
        CheckedStack::try_from(record.stack)
            .map_err(|error| Failure::from_error(FailureClass::Permanent, &error))
    }

    async fn carry_out(
        &self,
        stack: &CheckedStack,
        serving: &BTreeMap<String, ContainerDetails>,
        plan: &Plan,
        control: &Control,
        reporter: &Reporter,
    ) -> Result<(), Failure> {
        for (service, reason) in &plan.along {
            reporter.stage(service, reason);
        }
        for service in &plan.stop {
            let Some(container) = serving.get(service) else {
                continue;
            };
            reporter.stage(service, "stopping");
            let stopped = self.engine.stop(&container.id, None).await;
            stopped.map_err(|error| engine_failure(&error))?;
        }
        for service in &plan.start {
            let Some(container) = serving.get(service) else {
                continue;
            };
            let dependencies = stack
                .service(service)
                .map(|service| service.depends_on.as_slice());
            for dependency in dependencies.unwrap_or_default() {
                let Some(needed) = serving.get(&dependency.service) else {
                    continue;
                };
                let need = Need {
                    stack: &control.name,
                    service: &dependency.service,
                    container: &needed.id,
                    condition: dependency.condition(),
                    deadline: control.deadline,
                };
                self.wait_for(service, &need, reporter).await?;
            }
            reporter.stage(service, "starting");
            let started = self.engine.start(&container.id).await;
            started.map_err(|error| {
                engine_failure(&error).with_hint(
                    "a container whose namespace is gone must be made anew: `omni-scale apply`",
                )
            })?;
        }
        Ok(())
    }
}

/// The services that are meant; each must have a container.
fn scope(
    stack: &CheckedStack,
    serving: &BTreeMap<String, ContainerDetails>,
    control: &Control,
) -> Result<BTreeSet<String>, Failure> {
    if control.services.is_empty() {
        let all = stack
            .as_wire()
            .services
            .iter()
            .map(|service| service.name.clone());
        return Ok(all.filter(|name| serving.contains_key(name)).collect());
    }
    let mut scope = BTreeSet::new();
    for name in &control.services {
        if !serving.contains_key(name.as_str()) {
            let message = format!(
                "service `{name}` of stack `{}` has no container",
                control.name
            );
            return Err(
                Failure::new(FailureClass::Permanent, message).with_hint("omni-scale apply")
            );
        }
        scope.insert(name.to_string());
    }
    Ok(scope)
}

impl TryFrom<v1::ControlAction> for ControlAction {
    type Error = UnknownAction;

    fn try_from(wire: v1::ControlAction) -> Result<Self, UnknownAction> {
        match wire {
            v1::ControlAction::Start => Ok(Self::Start),
            v1::ControlAction::Stop => Ok(Self::Stop),
            v1::ControlAction::Restart => Ok(Self::Restart),
            v1::ControlAction::Unspecified => Err(UnknownAction),
        }
    }
}

/// An action that this agent does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the action is not `start`, `stop` or `restart`")]
pub struct UnknownAction;

#[cfg(test)]
mod tests;
