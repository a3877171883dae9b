//! Making a stack so: the reconciler behind `ApplyStack`.
//!
//! It looks, works out the same difference that the plan showed, and removes it in start order.
//! It may be run at any time and any number of times: what an interrupted run left behind is
//! settled first. What it never does: touch a volume's contents or remove one, touch a container
//! that is not ours, or give up a container before the one that replaces it has started.

mod prepare;
mod pull;
mod settle;
mod sharers;
mod swap;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use omni_scale_proto::difference::{
    ServiceAction, ServiceChange, stack_difference, unlike_networks,
};
use omni_scale_proto::id::{ServiceName, StackName};
use omni_scale_proto::stack::{CheckedStack, service_digest};
use omni_scale_proto::v1::{self, DependencyCondition, FailureClass};
use tokio::time::Instant;

use super::conditions::Need;
use super::engine::{ContainerDetails, Engine, EngineError};
use super::observe::Parts;
use super::stacks::engine_failure as failure;
use super::{Stacks, container, labels};
use crate::operation::{Done, Failure, Reporter};
use crate::secrets::Secrets;

/// What is to be made so.
#[derive(Debug, Clone)]
pub struct Apply {
    /// The stack.
    pub stack: CheckedStack,
    /// The services to make so. Empty: all.
    pub services: Vec<ServiceName>,
    /// Orphans to remove, by container id.
    pub remove_orphans: Vec<String>,
    /// No wait lasts longer.
    pub deadline: Instant,
}

/// One run, and what it knows.
struct Run<'a> {
    stacks: &'a Stacks,
    engine: &'a Arc<dyn Engine>,
    secrets: &'a Arc<Secrets>,
    stack: &'a CheckedStack,
    deadline: Instant,
    reporter: &'a Reporter,
    /// The container that has each service's place now.
    serving: BTreeMap<String, ContainerDetails>,
    warnings: Vec<String>,
}

impl Stacks {
    /// Makes the stack so, telling `reporter` of the way.
    pub async fn apply(&self, apply: &Apply, reporter: &Reporter) -> Result<Done, Failure> {
        let applied = self.apply_unmasked(apply, reporter).await;
        applied.map_err(|failure| self.masked(failure))
    }

    async fn apply_unmasked(&self, apply: &Apply, reporter: &Reporter) -> Result<Done, Failure> {
        self.check_policy(&apply.stack).await?;
        for service in &apply.services {
            if apply.stack.service(service.as_str()).is_none() {
                let message = format!("the stack has no service `{service}`");
                return Err(Failure::new(FailureClass::Permanent, message));
            }
        }
        let _turn = self.turn(apply.stack.name()).lock_owned().await;
        let mut run = Run {
            stacks: self,
            engine: &self.engine,
            secrets: &self.secrets,
            stack: &apply.stack,
            deadline: apply.deadline,
            reporter,
            serving: BTreeMap::new(),
            warnings: Vec::new(),
        };
        run.settle().await?;
        let containers = run.look().await?;
        let observed = self.interpret(apply.stack.name(), &containers).await?;
        let changes = stack_difference(&apply.stack, &apply.services, &observed)
            .map_err(|error| Failure::from_error(FailureClass::Transient, &error))?;
        if let Some(unlike) = unlike_networks(&apply.stack, &observed).first() {
            let failure = Failure::from_error(FailureClass::Permanent, unlike);
            return Err(failure.with_hint(unlike.hint()));
        }
        run.prepare(&changes).await?;
        let (name, wire) = (apply.stack.name().clone(), apply.stack.as_wire().clone());
        self.keep(move |records| records.begin(&name, &wire))
            .await?;
        for change in &changes {
            run.make_so(change, &changes).await?;
        }
        run.remove_orphans(&apply.remove_orphans).await?;
        run.use_up_one_time_keys(&changes).await?;
        self.owe_no_more(apply.stack.name(), &changes).await?;
        Ok(Done {
            summary: summary(&changes),
            warnings: run.warnings,
        })
    }
}

impl Stacks {
    /// These services run as they should, whatever a start or restart left behind.
    async fn owe_no_more(&self, stack: &StackName, made: &[ServiceChange]) -> Result<(), Failure> {
        let stack = stack.clone();
        let made: Vec<String> = made
            .iter()
            .map(|change| change.service.to_string())
            .collect();
        self.keep(move |records| {
            records.update(&stack, |record| {
                record.owed.retain(|service| !made.contains(service));
            })
        })
        .await
    }
}

impl Run<'_> {
    /// Looks at all containers of the project, and keeps those that serve.
    async fn look(&mut self) -> Result<Vec<ContainerDetails>, Failure> {
        let project = self.stack.name().as_str();
        let containers = self.engine.project_containers(project).await;
        let containers = containers.map_err(|error| failure(&error))?;
        self.serving = Parts::of(&containers)
            .serving
            .into_iter()
            .map(|(service, container)| (service.to_owned(), container.clone()))
            .collect();
        Ok(containers)
    }

    async fn make_so(
        &mut self,
        change: &ServiceChange,
        changes: &[ServiceChange],
    ) -> Result<(), Failure> {
        let name = change.service.as_str();
        let service = self
            .stack
            .service(name)
            .ok_or_else(|| Failure::new(FailureClass::Bug, format!("no service `{name}`")))?;
        if change.action != ServiceAction::Keep {
            for dependency in &service.depends_on {
                self.wait_for(&dependency.service, dependency.condition(), name)
                    .await?;
            }
        }
        match change.action {
            ServiceAction::Keep => {}
            ServiceAction::Start => self.start_again(service, changes).await?,
            ServiceAction::Create | ServiceAction::Recreate => {
                self.swap_in(service, changes).await?;
                return self.write_down(service).await;
            }
        }
        // An agent that was killed after the start of a new container had not written it down yet.
        let record = self.stacks.record(self.stack.name());
        let written = record.and_then(|record| record.services.get(name).map(service_digest));
        if written == Some(service_digest(service)) {
            return Ok(());
        }
        self.write_down(service).await
    }

    /// Writes down what the container of a service was made from.
    async fn write_down(&self, service: &v1::Service) -> Result<(), Failure> {
        let (stack, service) = (self.stack.name().clone(), service.clone());
        self.stacks
            .keep(move |records| {
                records.update(&stack, |record| {
                    record.services.insert(service.name.clone(), service);
                })
            })
            .await
    }

    /// Starts a container that is the right one.
    async fn start_again(
        &mut self,
        service: &v1::Service,
        changes: &[ServiceChange],
    ) -> Result<(), Failure> {
        let Some(container) = self.serving.get(&service.name).cloned() else {
            let message = format!("the container of `{}` is gone", service.name);
            return Err(Failure::new(FailureClass::Transient, message));
        };
        let stopped = self.stop_sharers(&service.name, changes).await?;
        self.reporter.stage(&service.name, "starting");
        // A paused container, or one in a restart loop, must be stopped to be started.
        let started = match self.engine.stop(&container.id, None).await {
            Ok(()) => {
                let (policy, attempts) = (service.restart(), service.restart_attempts);
                let set = self.engine.set_restart(&container.id, policy, attempts);
                match set.await {
                    Ok(()) => self.engine.start(&container.id).await,
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            let evidence = self.stacks.evidence(&container.id).await;
            self.start_sharers(&stopped).await;
            return Err(failure(&error).with_evidence(evidence));
        }
        self.refresh(&service.name, &container.id).await
    }

    /// Takes a new look at the container that serves.
    async fn refresh(&mut self, service: &str, id: &str) -> Result<(), Failure> {
        let details = self.engine.container(id).await;
        if let Some(details) = details.map_err(|error| failure(&error))? {
            self.serving.insert(service.to_owned(), details);
        }
        Ok(())
    }

    /// Waits for what `whom` needs of another service.
    async fn wait_for(
        &self,
        service: &str,
        condition: DependencyCondition,
        whom: &str,
    ) -> Result<(), Failure> {
        let Some(container) = self.serving.get(service) else {
            let message = format!("service `{whom}` needs `{service}`, which has no container");
            return Err(Failure::new(FailureClass::Permanent, message)
                .with_hint(format!("apply `{service}` first, or both together")));
        };
        let need = Need {
            stack: self.stack.name(),
            service,
            container: &container.id,
            condition,
            deadline: self.deadline,
        };
        self.stacks.wait_for(whom, &need, self.reporter).await
    }

    /// Removes those containers that were named, if they are orphans.
    async fn remove_orphans(&mut self, ids: &[String]) -> Result<(), Failure> {
        if ids.is_empty() {
            return Ok(());
        }
        let containers = self.look().await?;
        for id in ids {
            // One that is gone needs no removing.
            let Some(container) = containers.iter().find(|container| container.id == *id) else {
                continue;
            };
            let service = container
                .labels
                .get(labels::SERVICE)
                .map_or("", String::as_str);
            let ours = container.labels.contains_key(labels::DIGEST);
            if !ours || self.stack.service(service).is_some() {
                let message = format!(
                    "container `{}` is no orphan of this stack and is not removed",
                    container.name
                );
                return Err(Failure::new(FailureClass::Refused, message));
            }
            self.reporter.stage(service, "removing the orphan");
            self.discard(id).await.map_err(|error| failure(&error))?;
        }
        Ok(())
    }

    /// Stops and removes a container.
    async fn discard(&self, id: &str) -> Result<(), EngineError> {
        self.engine.stop(id, None).await?;
        self.engine.remove(id).await
    }

    /// A node that has logged in needs its one-time key no more. That its own health check passes
    /// is the evidence: it does so only once the node is on the tailnet.
    async fn use_up_one_time_keys(&self, changes: &[ServiceChange]) -> Result<(), Failure> {
        for change in changes {
            let name = change.service.as_str();
            let Some(service) = self.stack.service(name) else {
                continue;
            };
            let keys = prepare::one_time_keys(service);
            let held: Vec<_> = keys
                .into_iter()
                .filter(|key| self.secrets.get(key).is_some())
                .collect();
            if held.is_empty() || service.health_check.is_none() {
                continue;
            }
            self.wait_for(name, DependencyCondition::Healthy, name)
                .await?;
            for key in held {
                self.reporter
                    .stage(name, format!("`{key}` has done its work and is removed"));
                self.stacks.consume(key).await?;
            }
        }
        Ok(())
    }
}

/// One line for people.
fn summary(changes: &[ServiceChange]) -> String {
    let named = |action: ServiceAction| -> Vec<&str> {
        changes
            .iter()
            .filter(|change| change.action == action)
            .map(|change| change.service.as_str())
            .collect()
    };
    let parts: Vec<String> = [
        ("created", ServiceAction::Create),
        ("recreated", ServiceAction::Recreate),
        ("started", ServiceAction::Start),
    ]
    .into_iter()
    .map(|(word, action)| (word, named(action)))
    .filter(|(_, names)| !names.is_empty())
    .map(|(word, names)| format!("{word} {}", names.join(", ")))
    .collect();
    if parts.is_empty() {
        "nothing to do".to_owned()
    } else {
        parts.join("; ")
    }
}
