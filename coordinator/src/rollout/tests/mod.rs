//! The engine against a model of the agents: each story ends in the world of the undisturbed one,
//! or stops and says why.

mod client;
mod crashes;
mod faults;
mod happy;
mod leases;
mod machines;
mod refusals;
mod state;
mod undo;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{
    Engine, EngineError, Happening, Phase, RolloutEvents, RolloutResult, Settings, StopSignal,
    WallClock, observe, observe_settled,
};
use crate::agents::AgentError;
use crate::agents::fake::{FakeAgents, Seat};
use crate::journal::memory::{MemoryFiles, Moment};
use crate::journal::{Header, Journal, JournalLock, LockHolder, RolloutId, Story, read};
use crate::login::FakeIssuers;
use crate::plan::{Choices, Desired, Plan, Scope, examples, plan};

/// How a run ended for whoever watches it.
#[derive(Debug)]
pub(super) enum End {
    /// The engine returned.
    Result(Result<RolloutResult, EngineError>),
    /// The coordinator died.
    Crashed,
}

impl End {
    fn result(self) -> RolloutResult {
        match self {
            Self::Result(result) => result.unwrap(),
            Self::Crashed => panic!("the coordinator died"),
        }
    }
}

#[derive(Debug)]
struct FakeClock(FakeAgents);

impl WallClock for FakeClock {
    fn now_milliseconds(&self) -> i64 {
        self.0.now_milliseconds()
    }
}

/// Remembers what it is told.
#[derive(Debug, Default)]
pub(super) struct Listener {
    told: Mutex<Vec<Happening>>,
}

impl RolloutEvents for Listener {
    fn tell(&self, happening: Happening) {
        self.told.lock().unwrap().push(happening);
    }
}

impl Listener {
    fn told(&self) -> Vec<Happening> {
        self.told.lock().unwrap().clone()
    }
}

/// A machine from which an operator works: a disk, and a way to the agents.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    by: String,
    agents: FakeAgents,
    files: MemoryFiles,
    issuers: FakeIssuers,
    lease_wait: Duration,
    /// The number of its first rollout. No two desks ever begin the same one.
    first: u128,
}

/// The first rollout of the first desk of a story.
pub(super) const FIRST: u128 = 1;

impl Desk {
    pub(super) fn new(by: &str, agents: &FakeAgents) -> Self {
        Self {
            by: by.to_owned(),
            agents: agents.clone(),
            files: MemoryFiles::default(),
            issuers: FakeIssuers::default(),
            lease_wait: Duration::ZERO,
            first: if by == "ada@desk" { FIRST } else { 100 },
        }
    }

    fn clock(&self) -> Arc<dyn WallClock> {
        Arc::new(FakeClock(self.agents.clone()))
    }

    pub(super) async fn plan(&self, desired: &Desired) -> Plan {
        let clock = self.clock();
        let scope = Scope::of(desired);
        let observed = observe(&self.agents.seat(), clock.as_ref(), &scope).await;
        plan(desired, &observed, Choices::default()).unwrap()
    }

    /// As `apply` without a plan file does it, by somebody who knows no journal: waits for what
    /// still runs, then plans.
    pub(super) async fn settled_plan(&self, desired: &Desired) -> Result<Plan, AgentError> {
        let clock = self.clock();
        let scope = Scope::of(desired);
        let patience = Duration::from_secs(600);
        let observed = observe_settled(
            &self.agents.seat(),
            clock.as_ref(),
            &scope,
            &|_| false,
            patience,
            &super::Silence,
        )
        .await?;
        Ok(plan(desired, &observed, Choices::default()).unwrap())
    }

    fn lock(&self) -> JournalLock {
        let holder = LockHolder {
            by: self.by.clone(),
            process: 1,
            since: 0,
        };
        JournalLock::take(Arc::new(self.files.clone()), &holder).unwrap()
    }

    pub(super) fn engine(&self, seat: &Seat) -> Engine {
        let settings = Settings {
            by: self.by.clone(),
            lease_wait: self.lease_wait,
            running_wait: Duration::from_secs(600),
        };
        Engine::new(
            Arc::new(seat.clone()),
            Arc::new(self.issuers.clone()),
            self.clock(),
            settings,
        )
    }

    pub(super) fn begin(&self, plan: Plan, rollout: u128) -> Journal {
        let header = Header {
            deployment: plan.deployment(),
            rollout: RolloutId::new(uuid::Uuid::from_u128(rollout)),
            created: self.agents.now_milliseconds(),
            by: self.by.clone(),
            plan,
        };
        Journal::create(self.lock(), header).unwrap()
    }

    pub(super) fn open(&self, rollout: u128) -> Journal {
        let rollout = RolloutId::new(uuid::Uuid::from_u128(rollout));
        Journal::open(self.lock(), examples::desired().deployment, rollout).unwrap()
    }

    pub(super) fn story(&self, rollout: u128) -> Story {
        let rollout = RolloutId::new(uuid::Uuid::from_u128(rollout));
        read(&self.files, examples::desired().deployment, rollout).unwrap()
    }

    pub(super) fn phase(&self) -> Phase {
        self.story(FIRST).state.phase().clone()
    }

    /// Runs a journal; the coordinator dies at a record, if asked.
    pub(super) async fn drive(&self, journal: Journal, crash: Option<(usize, Moment)>) -> End {
        let listener = Listener::default();
        self.drive_and_listen(journal, crash, &listener, &StopSignal::never())
            .await
    }

    pub(super) async fn drive_and_listen(
        &self,
        journal: Journal,
        crash: Option<(usize, Moment)>,
        listener: &Listener,
        stop: &StopSignal,
    ) -> End {
        let seat = self.agents.seat();
        let died = Arc::new(tokio::sync::Notify::new());
        if let Some((at, moment)) = crash {
            let (seat, died) = (seat.clone(), died.clone());
            self.files.crash(at, moment, move || {
                seat.die();
                died.notify_one();
            });
        }
        let engine = self.engine(&seat);
        tokio::select! {
            biased;
            () = died.notified() => End::Crashed,
            result = engine.run(journal, listener, stop) => {
                if crash.is_some() && matches!(result, Err(EngineError::Journal { .. })) {
                    return End::Crashed;
                }
                End::Result(result)
            }
        }
    }

    /// A new rollout of a plan.
    pub(super) async fn apply(&self, plan: Plan) -> RolloutResult {
        self.drive(self.begin(plan, self.first), None)
            .await
            .result()
    }

    pub(super) async fn resume(&self) -> RolloutResult {
        self.drive(self.open(FIRST), None).await.result()
    }
}

/// Hosts on which nothing was done.
pub(super) fn fresh() -> (Desired, FakeAgents) {
    let desired = examples::desired();
    let agents = FakeAgents::new(&desired);
    (desired, agents)
}

/// Hosts on which everything runs, and a deployment that wants other images for some services.
pub(super) fn running(changes: &[(&str, &str)]) -> (Desired, FakeAgents) {
    let (mut desired, agents) = fresh();
    agents.converge(&desired);
    for (service, image) in changes {
        let services = &mut desired.stack.stack.services;
        let found = services.iter_mut().find(|one| one.name == *service);
        (*image).clone_into(&mut found.unwrap().image);
        let sum = omni_scale_proto::id::Sha256::of(image.as_bytes());
        let resolved = format!("{image}@sha256:{sum}");
        let mut world = agents.world();
        let registry = &mut world.host("omni").registry;
        registry.insert((*image).to_owned(), resolved);
    }
    (desired, agents)
}

/// The same, where the client is registered on the way.
pub(super) fn with_client() -> (Desired, FakeAgents) {
    let desired = examples::with_client();
    let agents = FakeAgents::new(&desired);
    (desired, agents)
}

/// The machine of host `omni` does not exist.
pub(super) fn without_a_host() -> (Desired, FakeAgents) {
    let desired = examples::with_machines();
    let agents = FakeAgents::new(&desired);
    (desired, agents)
}

/// Everything runs but for the control planes.
pub(super) fn without_control_planes() -> (Desired, FakeAgents) {
    let desired = examples::with_control_planes();
    let agents = FakeAgents::new(&desired);
    agents.converge(&examples::desired());
    (desired, agents)
}

/// Whether what this plan is for is done: the rest of a plan that made hosts is another plan.
pub(super) fn is_done(story: &str, plan: &Plan) -> bool {
    plan.is_noop()
        || (story == "a host that does not exist" && plan.steps().all(|step| step.id.wave > 1))
}

/// What an image's container runs as, once it is resolved.
pub(super) fn resolved(image: &str) -> String {
    let sum = omni_scale_proto::id::Sha256::of(image.as_bytes());
    format!("{image}@sha256:{sum}")
}

/// The stories that are told with every disturbance.
pub(super) fn stories() -> Vec<(&'static str, (Desired, FakeAgents))> {
    vec![
        ("from nothing", fresh()),
        (
            "a newer sidecar",
            running(&[("omni-tailscale", "tailscale/tailscale:v1.104")]),
        ),
        ("a host that does not exist", without_a_host()),
        ("control planes", without_control_planes()),
        ("a client to register", with_client()),
    ]
}

/// The undisturbed end of a story, and the number of its records.
pub(super) async fn undisturbed(desired: &Desired, agents: &FakeAgents) -> (Vec<String>, usize) {
    let desk = Desk::new("ada@desk", agents);
    let plan = desk.plan(desired).await;
    assert_eq!(
        desk.apply(plan).await,
        RolloutResult::Done { changed: true }
    );
    (agents.portrait(), desk.story(FIRST).records.len())
}
