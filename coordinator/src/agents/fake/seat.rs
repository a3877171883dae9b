//! The port's methods: what a coordinator asks, and what comes back of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use omni_scale_proto::id::{HostName, StackName};
use omni_scale_proto::operation::{Operation, Target};
use omni_scale_proto::v1;
use tokio::sync::watch;
use tokio::time::Instant;

use super::faults::{Call, Fault};
use super::host::{FakeHost, LEASE_TIME_TO_LIVE, LeaseModel};
use super::operations::Admission;
use super::world::{Task, unreachable};
use super::{FakeAgents, checks};
use crate::agents::{
    Action, AgentError, Agents, Class, Control, LeaseGrant, LeaseRequest, ProgressSink, ReportSink,
};
use crate::plan::MachinesScope;

/// How long an operation works before its effect is there.
const WORK: Duration = Duration::from_secs(5);
/// How long an agent that died is away.
const AGENT_RESTART: Duration = Duration::from_secs(3);

/// One coordinator's connection to the agents.
#[derive(Debug, Clone)]
pub struct Seat {
    pub(super) agents: FakeAgents,
    pub(super) dead: Arc<AtomicBool>,
}

impl Seat {
    /// The coordinator dies.
    pub fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Begins a call: logs it, and takes the fault that is scripted for it.
    async fn call(
        &self,
        host: &HostName,
        call: Call,
        tried: &str,
    ) -> Result<Option<Fault>, AgentError> {
        // A real call is never over at once; without this, select! would starve other futures.
        tokio::task::yield_now().await;
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let fault = {
            let mut world = self.agents.world();
            world.log.push((host.clone(), call));
            world.script.next(host, call)
        };
        let host = host.clone();
        let tried = tried.to_owned();
        match fault {
            Some(Fault::Unreachable) => Err(unreachable(&host, &tried)),
            Some(Fault::LostRequest) => Err(unknown(&host, &tried)),
            Some(Fault::Refuse) => Err(AgentError::Refused {
                host,
                tried,
                message: "agent.toml does not allow it".to_owned(),
                hint: "ask root to allow it".to_owned(),
            }),
            Some(Fault::Unavailable) => Err(AgentError::Unavailable {
                host,
                tried,
                message: "the agent is stopping".to_owned(),
            }),
            // Only mutations have effects that a lost reply could hide.
            Some(Fault::LostReply) if !matches!(call, Call::Apply | Call::AcquireLease) => {
                Err(unknown(&host, &tried))
            }
            Some(Fault::Hang) if call != Call::Apply => std::future::pending().await,
            other => Ok(other),
        }
    }

    /// Waits for an answer, unless the coordinator dies meanwhile.
    async fn outcome(
        &self,
        host: &HostName,
        tried: &str,
        mut outcome: watch::Receiver<Option<v1::Outcome>>,
    ) -> Result<v1::Outcome, AgentError> {
        let mut cuts = self.agents.world().cuts.subscribe();
        let before = cuts.borrow().get(host).copied();
        let ended = tokio::select! {
            ended = outcome.wait_for(Option::is_some) => ended.ok().and_then(|outcome| outcome.clone()),
            _ = cuts.wait_for(|cuts| cuts.get(host).copied() != before) => None,
        };
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        ended.ok_or_else(|| unknown(host, tried))
    }

    /// Works on an operation as an agent does: whoever asked may be gone.
    fn work(
        &self,
        host: HostName,
        operation: Operation,
        task: Task,
        fault: Option<Fault>,
        sender: watch::Sender<Option<v1::Outcome>>,
    ) {
        let agents = self.agents.clone();
        tokio::spawn(async move {
            let target = task.target().to_string();
            if fault == Some(Fault::AgentDies) {
                agents.kill_agent(&host, &target);
                tokio::time::sleep(AGENT_RESTART).await;
                agents.world().host(host.as_str()).reachable = true;
                return;
            }
            tokio::time::sleep(match fault {
                Some(Fault::Slow) => WORK + LEASE_TIME_TO_LIVE,
                _ => WORK,
            })
            .await;
            let mut world = agents.world();
            let failure = match fault {
                Some(Fault::Lies) => None,
                Some(Fault::NotSeen) => {
                    let message = "outcome unknown: not done within the deadline".to_owned();
                    let done = world.perform(&host, &task, usize::MAX);
                    Some((Class::Transient, done.err().unwrap_or(message)))
                }
                Some(Fault::Fails(class)) => Some((class, "it did not work".to_owned())),
                Some(Fault::FailsHalfWay(class)) => {
                    let half = world.perform(&host, &task, 1);
                    let message = half
                        .err()
                        .unwrap_or_else(|| "it stopped half way".to_owned());
                    Some((class, message))
                }
                _ => {
                    let done = world.perform(&host, &task, usize::MAX);
                    done.err().map(|message| (Class::Permanent, message))
                }
            };
            let outcome = v1::Outcome {
                operation_id: operation.id.to_string(),
                generation: operation.generation,
                summary: "made so".to_owned(),
                failure: failure.map(|(class, message)| v1::Failure {
                    failure_class: wire(class).into(),
                    message,
                    outcome_unknown: fault == Some(Fault::NotSeen),
                    ..v1::Failure::default()
                }),
                ..v1::Outcome::default()
            };
            let ledger = world.host(host.as_str()).targets.entry(target).or_default();
            ledger.end(outcome.clone());
            // Nobody may be listening any more.
            let _ = sender.send(Some(outcome));
        });
    }
}

impl Seat {
    /// Begins an operation or attaches to it, as the ledger says, and waits for its end.
    async fn operate(
        &self,
        host: &HostName,
        operation: &Operation,
        task: Task,
        fault: Option<Fault>,
        tried: String,
    ) -> Result<v1::Outcome, AgentError> {
        let target = task.target();
        let admission = {
            let mut world = self.agents.world();
            let model = world.at(host, &tried)?;
            if !model.is_leased_under(operation.lease_epoch) {
                return Err(lease_lost(model, &tried));
            }
            let ledger = model.targets.entry(target.to_string()).or_default();
            ledger.admit(operation)
        };
        let outcome = match admission {
            Admission::Known(outcome) => return Ok(*outcome),
            Admission::Attached(outcome) => outcome,
            Admission::Begun(sender, outcome) => {
                self.work(host.clone(), operation.clone(), task, fault.clone(), sender);
                outcome
            }
            Admission::Busy(running) => {
                return Err(AgentError::Unavailable {
                    host: host.clone(),
                    tried,
                    message: format!("operation {running} is running on {target}"),
                });
            }
            Admission::Stale { current } => {
                return Err(AgentError::Refused {
                    host: host.clone(),
                    tried,
                    message: format!(
                        "generation {} of {target} is out of date: it is {current}",
                        operation.generation
                    ),
                    hint: String::new(),
                });
            }
        };
        match fault {
            Some(Fault::LostReply) => Err(unknown(host, &tried)),
            Some(Fault::Hang) => std::future::pending().await,
            _ => self.outcome(host, &tried, outcome).await,
        }
    }
}

impl FakeAgents {
    /// The agent dies: what it worked on is left without an end. Leases get their full time.
    fn kill_agent(&self, host: &HostName, target: &str) {
        let mut world = self.world();
        let host = world.host(host.as_str());
        host.reachable = false;
        host.targets
            .entry(target.to_owned())
            .or_default()
            .interrupt();
        if let Some(lease) = &mut host.lease {
            lease.until = Instant::now() + AGENT_RESTART + LEASE_TIME_TO_LIVE;
        }
    }
}

#[async_trait]
impl Agents for Seat {
    async fn describe(&self, host: &HostName) -> Result<v1::DescribeResponse, AgentError> {
        let tried = "describe";
        self.call(host, Call::Describe, tried).await?;
        let mut world = self.agents.world();
        let now = world.now_milliseconds();
        Ok(world.at(host, tried)?.describe(now))
    }

    async fn observe_unit(&self, host: &HostName) -> Result<v1::UnitObservation, AgentError> {
        let tried = "observe the unit";
        self.call(host, Call::ObserveUnit, tried).await?;
        let mut world = self.agents.world();
        let host = world.at(host, tried)?;
        let ledger = host.targets.get(&Target::Unit.to_string());
        Ok(host
            .unit
            .observe(ledger.map_or(0, |target| target.generation)))
    }

    async fn observe_stack(
        &self,
        host: &HostName,
        stack: &StackName,
        images: &[String],
    ) -> Result<v1::StackObservation, AgentError> {
        let tried = "observe the stack";
        self.call(host, Call::ObserveStack, tried).await?;
        let mut world = self.agents.world();
        let host = world.at(host, tried)?;
        let ledger = host.targets.get(&Target::Stack(stack.clone()).to_string());
        let generation = ledger.map_or(0, |target| target.generation);
        let mut observed = host
            .stack
            .observe(stack.as_str(), &host.secrets, generation);
        observed.images = images
            .iter()
            .map(|reference| {
                let resolved = host.registry.get(reference).cloned();
                v1::ImageResolution {
                    reference: reference.clone(),
                    failure: match &resolved {
                        Some(_) => String::new(),
                        None => "manifest unknown".to_owned(),
                    },
                    resolved: resolved.unwrap_or_default(),
                    present: false,
                }
            })
            .collect();
        Ok(observed)
    }

    async fn observe_client(
        &self,
        host: &HostName,
        client: &v1::Client,
    ) -> Result<v1::ClientObservation, AgentError> {
        let tried = "observe Omni's client";
        self.call(host, Call::ObserveClient, tried).await?;
        let mut world = self.agents.world();
        let host = world.at(host, tried)?;
        let ledger = host.targets.get(&Target::Client.to_string());
        let generation = ledger.map_or(0, |target| target.generation);
        Ok(host.client.observe(client, &host.secrets, generation))
    }

    async fn observe_machines(
        &self,
        host: &HostName,
        asked: &MachinesScope,
    ) -> Result<v1::MachinesObservation, AgentError> {
        let tried = "observe the machines";
        self.call(host, Call::ObserveMachines, tried).await?;
        let mut world = self.agents.world();
        let host = world.at(host, tried)?;
        let generation = |name: &str| {
            let target = host.targets.get(&format!("machine/{name}"));
            target.map_or(0, |target| target.generation)
        };
        let deployment = host.deployment.expect("an agent that answers is enrolled");
        Ok(host.machines.observe(asked, deployment, generation))
    }

    async fn list_secrets(&self, host: &HostName) -> Result<Vec<v1::SecretStatus>, AgentError> {
        let tried = "list the secrets";
        self.call(host, Call::ListSecrets, tried).await?;
        let mut world = self.agents.world();
        Ok(world.at(host, tried)?.list_secrets())
    }

    async fn run_checks(
        &self,
        host: &HostName,
        checks: &[v1::Check],
        reports: ReportSink<'_>,
    ) -> Result<Vec<v1::CheckReport>, AgentError> {
        let tried = "run checks";
        self.call(host, Call::RunChecks, tried).await?;
        let mut world = self.agents.world();
        world.at(host, tried)?;
        let asked = |id: &String| checks.iter().any(|check| check.check_id == *id);
        let ending = world.ends_when_asked.iter().position(|(id, _)| asked(id));
        if let Some(ending) = ending {
            let (_, service) = world.ends_when_asked.remove(ending);
            let stack = &mut world.host(host.as_str()).stack;
            if let Some(container) = stack.containers.get_mut(&service) {
                container.state = v1::ContainerState::Exited;
            }
        }
        let world = &*world;
        let model = world
            .hosts
            .get(host)
            .ok_or_else(|| unreachable(host, tried))?;
        let answered = checks.iter().map(|check| {
            let mut report = checks::answer(&world.hosts, &world.issuers, model, check);
            let mut failing = world.failing_checks.iter();
            if failing.any(|start| check.check_id.starts_with(start)) {
                report.set_status(v1::CheckStatus::Failed);
                "it is broken".clone_into(&mut report.summary);
            }
            reports(report.clone());
            report
        });
        Ok(answered.collect())
    }

    async fn acquire_lease(
        &self,
        host: &HostName,
        request: &LeaseRequest,
    ) -> Result<LeaseGrant, AgentError> {
        let tried = "take the lease";
        let fault = self.call(host, Call::AcquireLease, tried).await?;
        let mut world = self.agents.world();
        let since_milliseconds = world.now_milliseconds();
        let model = world.at(host, tried)?;
        if let Some(lease) = model.current_lease()
            && lease.rollout != request.rollout
        {
            return Err(AgentError::Held {
                host: host.clone(),
                tried: tried.to_owned(),
                holder: lease.as_holder(),
            });
        }
        model.last_epoch += 1;
        model.lease = Some(LeaseModel {
            holder: request.holder.clone(),
            rollout: request.rollout.clone(),
            epoch: model.last_epoch,
            since_milliseconds,
            until: Instant::now() + LEASE_TIME_TO_LIVE,
        });
        if fault == Some(Fault::LostReply) {
            return Err(unknown(host, tried));
        }
        let targets = model.targets.iter();
        Ok(LeaseGrant {
            epoch: model.last_epoch,
            time_to_live: LEASE_TIME_TO_LIVE,
            running: targets
                .filter(|(_, target)| target.running.is_some())
                .map(|(name, target)| target.status(name))
                .collect(),
        })
    }

    async fn renew_lease(
        &self,
        host: &HostName,
        _: &LeaseRequest,
        epoch: u64,
    ) -> Result<Duration, AgentError> {
        let tried = "renew the lease";
        self.call(host, Call::RenewLease, tried).await?;
        let mut world = self.agents.world();
        let model = world.at(host, tried)?;
        if !model.is_leased_under(epoch) {
            return Err(lease_lost(model, tried));
        }
        if let Some(lease) = &mut model.lease {
            lease.until = Instant::now() + LEASE_TIME_TO_LIVE;
        }
        Ok(LEASE_TIME_TO_LIVE)
    }

    async fn release_lease(
        &self,
        host: &HostName,
        _: &LeaseRequest,
        epoch: u64,
    ) -> Result<(), AgentError> {
        let tried = "release the lease";
        self.call(host, Call::ReleaseLease, tried).await?;
        let mut world = self.agents.world();
        let model = world.at(host, tried)?;
        if model
            .lease
            .as_ref()
            .is_some_and(|lease| lease.epoch == epoch)
        {
            model.lease = None;
        }
        Ok(())
    }

    async fn apply(
        &self,
        host: &HostName,
        operation: &Operation,
        action: &Action,
        _: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let tried = format!("apply {}", action.target());
        let fault = self.call(host, Call::Apply, &tried).await?;
        let task = Task::Apply(Box::new(action.clone()));
        self.operate(host, operation, task, fault, tried).await
    }

    async fn control(
        &self,
        host: &HostName,
        operation: &Operation,
        control: &Control,
        _: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let tried = format!("control {}", control.target());
        let fault = self.call(host, Call::Control, &tried).await?;
        let task = Task::Control(control.clone());
        self.operate(host, operation, task, fault, tried).await
    }
}

fn unknown(host: &HostName, tried: &str) -> AgentError {
    AgentError::Unknown {
        host: host.clone(),
        tried: tried.to_owned(),
        source: "connection reset".into(),
    }
}

const fn wire(class: Class) -> v1::FailureClass {
    match class {
        Class::Transient => v1::FailureClass::Transient,
        Class::Refused => v1::FailureClass::Refused,
        Class::Permanent => v1::FailureClass::Permanent,
        Class::Bug => v1::FailureClass::Bug,
    }
}

fn lease_lost(host: &FakeHost, tried: &str) -> AgentError {
    AgentError::LeaseLost {
        host: host.name.clone(),
        tried: tried.to_owned(),
        holder: host.current_lease().map(LeaseModel::as_holder),
    }
}
