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
mod seat;
mod secret;
mod stack;
mod unit;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use omni_scale_proto::id::HostName;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Action;
use crate::plan::{Desired, DesiredIdentity, Plan, Purpose};
pub use client::ClientModel;
pub use faults::{Call, Fault};
use faults::{Script, Scripted};
pub use host::{FakeHost, LEASE_TIME_TO_LIVE, LeaseModel};
pub use machines::{MachineModel, MachinesModel};
pub use operations::{Running, TargetModel};
pub use seat::Seat;
pub use secret::SecretModel;
pub use stack::{Container, StackModel};
pub use unit::UnitModel;
pub use world::World;

/// The agents of a deployment.
#[derive(Debug, Clone)]
pub struct FakeAgents {
    world: Arc<Mutex<World>>,
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
