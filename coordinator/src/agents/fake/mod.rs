//! Agents for tests: a model of hosts with state, the contract's true rules of idempotency,
//! scripted faults and a log of calls. No network, no time but tokio's, which tests pause.
//!
//! A coordinator sits at a [`Seat`]. A seat can die with its coordinator: nothing it asks is ever
//! answered after that, while work that the agents have begun goes on.

mod checks;
mod client;
mod faults;
mod host;
mod machines;
mod operations;
mod stack;
mod unit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use omni_scale_proto::id::{HostName, StackName};
use omni_scale_proto::operation::{Operation, Target};
use omni_scale_proto::v1;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{
    Action, AgentError, Agents, Class, Control, LeaseGrant, LeaseRequest, ProgressSink, ReportSink,
};
use crate::plan::{Desired, DesiredIdentity, MachinesScope, Plan, Purpose};
pub use client::ClientModel;
pub use faults::{Call, Fault};
use faults::{Script, Scripted};
pub use host::{FakeHost, LEASE_TIME_TO_LIVE, LeaseModel, SecretModel};
pub use machines::{MachineModel, MachinesModel};
use operations::Admission;
pub use operations::{Running, TargetModel};
pub use stack::{Container, StackModel};
pub use unit::UnitModel;

/// How long an operation works before its effect is there.
const WORK: Duration = Duration::from_secs(5);
/// How long an agent that died is away.
const AGENT_RESTART: Duration = Duration::from_secs(3);
/// Where the models' clocks begin, in milliseconds since the Unix epoch.
const EPOCH_MILLISECONDS: i64 = 1_800_000_000_000;

/// All hosts.
#[derive(Debug)]
pub struct World {
    /// By name.
    pub hosts: BTreeMap<HostName, FakeHost>,
    /// Issuers of others that answer.
    pub issuers: Vec<String>,
    /// Images whose containers exit at once.
    pub bad_images: BTreeSet<String>,
    /// Sums of programs that do not stay up.
    pub bad_programs: BTreeSet<String>,
    /// Services whose containers end, by themselves, when the check with this id is asked next.
    pub ends_when_asked: Vec<(String, String)>,
    /// Checks, by the beginning of their id, that fail whatever the model says.
    pub failing_checks: Vec<String>,
    /// Every call, in order.
    pub log: Vec<(HostName, Call)>,
    script: Script,
    /// Rises when a host's connections are cut: who waits for an answer loses it.
    cuts: watch::Sender<BTreeMap<HostName, u64>>,
    began: Instant,
}

/// The agents of a deployment.
#[derive(Debug, Clone)]
pub struct FakeAgents {
    world: Arc<Mutex<World>>,
}

/// What an operation does.
#[derive(Debug, Clone)]
enum Task {
    Apply(Box<Action>),
    Control(Control),
}

impl Task {
    fn target(&self) -> Target {
        match self {
            Self::Apply(action) => action.target(),
            Self::Control(control) => control.target(),
        }
    }
}

/// One coordinator's connection to the agents.
#[derive(Debug, Clone)]
pub struct Seat {
    agents: FakeAgents,
    dead: Arc<AtomicBool>,
}

impl FakeAgents {
    /// The hosts of a deployment, enrolled, with every secret set that people set, and every tag known, and
    /// nothing done yet.
    pub fn new(desired: &Desired) -> Self {
        let mut hosts: BTreeMap<HostName, FakeHost> = BTreeMap::new();
        for (name, wanted) in &desired.hosts {
            let host = FakeHost::new(
                name,
                wanted.roles.clone(),
                &wanted.dns_name,
                desired.deployment,
            );
            hosts.insert(name.clone(), host);
        }
        let client = desired.client.as_ref().map(|client| &client.client);
        let brought = |name: &str| {
            client.is_some_and(|client| {
                [&client.id_secret, &client.secret_secret].contains(&&name.to_owned())
            })
        };
        for secret in &desired.secrets {
            if let Some(host) = hosts.get_mut(&secret.host)
                && !brought(secret.name.as_str())
            {
                host.set_secret(secret.name.as_str());
            }
        }
        if let Some(host) = hosts.get_mut(&desired.stack.host) {
            for service in &desired.stack.stack.services {
                let sum = omni_scale_proto::id::Sha256::of(service.image.as_bytes());
                let resolved = format!("{}@sha256:{sum}", service.image);
                host.registry.insert(service.image.clone(), resolved);
            }
        }
        let groups = desired.machines.iter().flat_map(|wanted| &wanted.groups);
        for group in groups {
            if let Purpose::Host(name) = &group.purpose
                && let Some(host) = hosts.get_mut(name)
            {
                host.is_yet_to_be_made();
            }
        }
        let issuers = match &desired.identity {
            DesiredIdentity::External { issuer } => vec![issuer.clone()],
            DesiredIdentity::Tsidp { .. } => Vec::new(),
        };
        let world = World {
            hosts,
            issuers,
            bad_images: BTreeSet::new(),
            bad_programs: BTreeSet::new(),
            ends_when_asked: Vec::new(),
            failing_checks: Vec::new(),
            log: Vec::new(),
            script: Script::default(),
            cuts: watch::Sender::new(BTreeMap::new()),
            began: Instant::now(),
        };
        Self {
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// Makes everything as the deployment wants it, at once.
    pub fn converge(&self, desired: &Desired) {
        let mut world = self.world();
        world.make_machines(desired);
        if let DesiredIdentity::Tsidp {
            host,
            configuration,
            ..
        } = &desired.identity
        {
            let action = Action::ApplyUnit {
                configuration: configuration.clone(),
            };
            world.carry_out(host, &action);
        }
        let mut stack = desired.stack.stack.clone();
        let host = desired.stack.host.clone();
        if let Some(client) = &desired.client {
            let client = client.client.clone();
            world.carry_out(&host, &Action::ApplyClient { client });
        }
        let registry = world.host(host.as_str()).registry.clone();
        for service in &mut stack.services {
            if let Some(resolved) = registry.get(&service.image) {
                service.image.clone_from(resolved);
            }
        }
        let action = Action::ApplyStack {
            name: stack.name.parse().expect("tests use valid names"),
            stack,
            services: Vec::new(),
            remove_orphans: Vec::new(),
        };
        world.carry_out(&host, &action);
    }

    /// Does what a plan says, at once and without any of the rollout's care.
    pub fn carry_out(&self, plan: &Plan) {
        let mut world = self.world();
        for step in plan.steps() {
            world.carry_out(&step.host, &step.action);
        }
    }

    /// The world, to look at and to change.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection for one coordinator.
    pub fn seat(&self) -> Seat {
        Seat {
            agents: self.clone(),
            dead: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Lets the next `times` calls of a kind go wrong.
    pub fn script(&self, host: &str, call: Call, fault: Fault, times: u32) {
        let host = host.parse().expect("tests use valid names");
        let scripted = Scripted {
            host,
            call,
            fault,
            times,
        };
        self.world().script.faults.push(scripted);
    }

    /// Cuts the connections to a host: whoever waits for an answer loses it.
    pub fn cut(&self, host: &str) {
        let host: HostName = host.parse().expect("tests use valid names");
        let world = self.world();
        world
            .cuts
            .send_modify(|cuts| *cuts.entry(host).or_default() += 1);
    }

    /// How often a call was made.
    pub fn calls(&self, host: &str, call: Call) -> usize {
        let world = self.world();
        let log = world.log.iter();
        log.filter(|(of, kind)| of.as_str() == host && *kind == call)
            .count()
    }

    /// Milliseconds since the Unix epoch by everybody's clock.
    pub fn now_milliseconds(&self) -> i64 {
        self.world().now_milliseconds()
    }

    /// The end of a story, one line per fact, without what may differ between two ways there:
    /// ids, generations, epochs, times.
    pub fn portrait(&self) -> Vec<String> {
        let world = self.world();
        let mut lines = Vec::new();
        for (name, host) in &world.hosts {
            let unit = &host.unit;
            lines.push(format!(
                "{name} unit: active={} starts={} applied={:?}",
                unit.active,
                unit.starts,
                unit.applied
                    .as_ref()
                    .map(|unit| (&unit.artifact, &unit.arguments, &unit.issuer)),
            ));
            for (service, container) in &host.stack.containers {
                lines.push(format!(
                    "{name} {service}: {} {:?} runs={} made={}",
                    container.service.image,
                    container.state,
                    host.stack.runs(service),
                    host.stack.created.get(service).copied().unwrap_or_default(),
                ));
            }
            lines.push(format!("{name} clients: {}", host.client.at_issuer.len()));
            lines.extend(host.machines.portrait());
            lines.push(format!("{name} volumes: {:?}", host.stack.volumes));
            for (secret, model) in &host.secrets {
                lines.push(format!("{name} secret {secret}: {model:?}"));
            }
            let running = host
                .targets
                .values()
                .filter(|target| target.running.is_some());
            lines.push(format!("{name} still running: {}", running.count()));
        }
        lines
    }
}

impl World {
    /// A host.
    pub fn host(&mut self, name: &str) -> &mut FakeHost {
        self.hosts
            .iter_mut()
            .find(|(host, _)| host.as_str() == name)
            .map(|(_, host)| host)
            .expect("tests name hosts of the deployment")
    }

    /// Makes every machine, and enrols the hosts that they become.
    fn make_machines(&mut self, desired: &Desired) {
        let Some(wanted) = &desired.machines else {
            return;
        };
        let cluster = &mut self.host(wanted.host.as_str()).machines;
        cluster.converge(wanted, desired.deployment);
        for group in &wanted.groups {
            if let Purpose::Host(name) = &group.purpose {
                let host = self.host(name.as_str());
                host.reachable = true;
                host.deployment = Some(desired.deployment);
            }
        }
    }

    /// Sets every host's clock by another one.
    pub fn skew_to(&mut self, clock: &dyn crate::rollout::WallClock) {
        let offset = clock.now_milliseconds() - self.now_milliseconds();
        for host in self.hosts.values_mut() {
            host.clock_offset_milliseconds = offset;
        }
    }

    fn now_milliseconds(&self) -> i64 {
        let elapsed = i64::try_from(self.began.elapsed().as_millis());
        EPOCH_MILLISECONDS + elapsed.unwrap_or(i64::MAX / 2)
    }

    fn at(&mut self, host: &HostName, tried: &str) -> Result<&mut FakeHost, AgentError> {
        let found = self.hosts.get_mut(host).filter(|found| found.reachable);
        let found = found.ok_or_else(|| unreachable(host, tried))?;
        if found.deployment.is_none() {
            return Err(AgentError::NotEnrolled {
                host: host.clone(),
                tried: tried.to_owned(),
            });
        }
        Ok(found)
    }

    fn carry_out(&mut self, host: &HostName, action: &Action) {
        self.perform(host, &Task::Apply(Box::new(action.clone())), usize::MAX)
            .expect("the story can be told");
        let targets = &mut self.host(host.as_str()).targets;
        let target = targets.entry(action.target().to_string()).or_default();
        target.generation += 1;
        target.unfinished = None;
    }

    /// Does the work of an operation. `limit` bounds how much of it.
    fn perform(&mut self, host: &HostName, task: &Task, limit: usize) -> Result<(), String> {
        match task {
            Task::Apply(action) => match action.as_ref() {
                Action::EnrollHost {
                    name, host: new, ..
                } => self.enroll(host, name.as_str(), new, limit),
                action => self.apply(host, action, limit),
            },
            Task::Control(_) if limit < usize::MAX => Ok(()),
            Task::Control(Control::Unit { action }) => {
                let host = self.hosts.get_mut(host).ok_or("no such host")?;
                host.unit.control(*action)
            }
            Task::Control(Control::Stack {
                services, action, ..
            }) => {
                let host = self.hosts.get_mut(host).ok_or("no such host")?;
                host.stack.control(services, *action, &self.bad_images)
            }
            Task::Control(Control::Machine { name, action, .. }) => {
                let host = self.hosts.get_mut(host).ok_or("no such host")?;
                host.machines.control(name.as_str(), *action)
            }
        }
    }

    /// The host that a machine becomes is enrolled, and its first boot finished.
    fn enroll(
        &mut self,
        made_by: &HostName,
        machine: &str,
        new: &HostName,
        limit: usize,
    ) -> Result<(), String> {
        let made_by = self.hosts.get_mut(made_by).ok_or("no such host")?;
        let deployment = made_by.deployment;
        if limit == usize::MAX {
            made_by.machines.finish_first_boot(machine)?;
        }
        let new = self.hosts.get_mut(new).ok_or("no such host")?;
        if !new.reachable {
            return Err("its agent does not answer".to_owned());
        }
        new.deployment = deployment;
        Ok(())
    }

    fn apply(&mut self, host: &HostName, action: &Action, limit: usize) -> Result<(), String> {
        let bad_images = self.bad_images.clone();
        let bad_programs = self.bad_programs.clone();
        let host = self.hosts.get_mut(host).ok_or("no such host")?;
        match action {
            Action::ApplyUnit { .. } | Action::ApplyClient { .. } if limit == 0 => Ok(()),
            Action::ApplyUnit { configuration } => {
                let bad = configuration
                    .artifact
                    .as_ref()
                    .is_some_and(|artifact| bad_programs.contains(&artifact.sha256));
                host.unit.apply(configuration, bad)?;
                if let Some(secret) = host.secrets.get_mut(&configuration.auth_key_secret) {
                    secret.consumed = true;
                }
                Ok(())
            }
            Action::ApplyMachine { machine, .. } => {
                host.machines.apply(machine, limit < usize::MAX)?;
                let boots = limit == usize::MAX && machine.kind() == v1::MachineKind::Host;
                let mut others = self.hosts.iter_mut();
                if boots
                    && let Some((_, new)) = others.find(|(host, _)| host.as_str() == machine.name)
                {
                    new.reachable = true;
                }
                Ok(())
            }
            Action::EnrollHost { .. } => Err("it is no work of one host".to_owned()),
            Action::ApplyClient { client } => {
                host.client
                    .apply(client, &mut host.secrets, limit < usize::MAX)
            }
            Action::ApplyStack {
                stack,
                services,
                remove_orphans,
                ..
            } => host.stack.apply(
                stack,
                services,
                remove_orphans,
                &mut host.secrets,
                &bad_images,
                limit,
            ),
        }
    }
}

fn unreachable(host: &HostName, tried: &str) -> AgentError {
    AgentError::Unreachable {
        host: host.clone(),
        tried: tried.to_owned(),
        source: "no route to host".into(),
    }
}

fn unknown(host: &HostName, tried: &str) -> AgentError {
    AgentError::Unknown {
        host: host.clone(),
        tried: tried.to_owned(),
        source: "connection reset".into(),
    }
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
            Some(Fault::LostReply) if call != Call::Apply => Err(unknown(&host, &tried)),
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
            tokio::time::sleep(WORK).await;
            let mut world = agents.world();
            let failure = match fault {
                Some(Fault::Lies) => None,
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

const fn wire(class: Class) -> v1::FailureClass {
    match class {
        Class::Transient => v1::FailureClass::Transient,
        Class::Refused => v1::FailureClass::Refused,
        Class::Permanent => v1::FailureClass::Permanent,
        Class::Bug => v1::FailureClass::Bug,
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
        self.call(host, Call::AcquireLease, tried).await?;
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

fn lease_lost(host: &FakeHost, tried: &str) -> AgentError {
    AgentError::LeaseLost {
        host: host.name.clone(),
        tried: tried.to_owned(),
        holder: host.current_lease().map(LeaseModel::as_holder),
    }
}
