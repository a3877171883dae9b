//! Where a rollout is: a fold of its events.
//!
//! Pure. The engine asks it before each record whether the record may follow, and reading a
//! journal asks the same, so what cannot have happened is refused in both. Display, `status` and
//! `resume` look at nothing else.

mod transition;

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::id::{HostName, OperationId};
use omni_scale_proto::operation::Target;

use super::event::{Event, FailedCheck, Refusal, StepFailure};
use crate::plan::{Plan, StepId, Wave};

/// An event that cannot follow what happened before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{event}` cannot follow: {reason}")]
pub struct IllegalEvent {
    /// The event's name.
    pub event: &'static str,
    /// Why it cannot.
    pub reason: String,
}

/// Where the rollout as a whole is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has happened.
    New,
    /// Leases, basis and preflight checks. Nothing is changed.
    Preparing,
    /// Steps and gates, in order.
    Running,
    /// A step or a gate of this wave has failed; what becomes of it is to be decided.
    Failing {
        /// The wave.
        wave: Wave,
    },
    /// What this wave has done is being undone.
    Undoing {
        /// The wave.
        wave: Wave,
    },
    /// Stopped in a known state; can be resumed.
    Held {
        /// Why.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// The end: it never began.
    Refused(Refusal),
    /// The end: what the failed wave had done is undone.
    Undone,
    /// The end: an undo has failed.
    Stuck,
    /// The end: given up by an operator.
    Aborted {
        /// Who.
        by: String,
    },
    /// The end: all is done.
    Finished,
}

impl Phase {
    /// Whether nothing can follow.
    pub const fn is_end(&self) -> bool {
        match self {
            Self::New
            | Self::Preparing
            | Self::Running
            | Self::Failing { .. }
            | Self::Undoing { .. }
            | Self::Held { .. } => false,
            Self::Refused(_)
            | Self::Undone
            | Self::Stuck
            | Self::Aborted { .. }
            | Self::Finished => true,
        }
    }

    /// The word for people.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Failing { .. } => "failing",
            Self::Undoing { .. } => "undoing",
            Self::Held { .. } => "held",
            Self::Refused(_) => "refused",
            Self::Undone => "undone",
            Self::Stuck => "stuck",
            Self::Aborted { .. } => "aborted",
            Self::Finished => "finished",
        }
    }
}

/// An operation that was, or is about to be, sent, and whose outcome is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// From 1.
    pub attempt: u32,
    /// The operation's id.
    pub operation: OperationId,
    /// The generation that it asks for.
    pub generation: u64,
    /// An answer to it was lost already.
    pub reply_lost: bool,
}

/// Where one step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// Nothing was tried.
    Waiting,
    /// An operation is in flight.
    Running(InFlight),
    /// An attempt has failed, and another one follows.
    Retrying {
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        failure: StepFailure,
    },
    /// Done and verified.
    Succeeded {
        /// One line for people.
        summary: String,
    },
    /// Its goal was found to hold.
    Adopted,
    /// Failed for good.
    Failed {
        /// The last attempt.
        attempt: u32,
        /// Why.
        failure: StepFailure,
    },
    /// An operation that goes back is in flight.
    Undoing(InFlight),
    /// An attempt to go back has failed, and another one follows.
    UndoRetrying {
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        failure: StepFailure,
    },
    /// What was there before is there again.
    Undone,
    /// Going back has failed.
    UndoFailed {
        /// Why.
        failure: StepFailure,
    },
}

/// What is known of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepProgress {
    /// Where it is.
    pub state: StepState,
    /// Whether an operation of it is known to have begun: there may be something to undo.
    pub touched: bool,
    wave: Wave,
    host: HostName,
    target: Target,
}

/// Where a rollout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutState {
    phase: Phase,
    steps: BTreeMap<StepId, StepProgress>,
    /// Waves with a gate, in order. The first is the preflight wave.
    waves: Vec<Wave>,
    passed: BTreeSet<Wave>,
    failed_checks: Vec<FailedCheck>,
    generations: BTreeMap<(HostName, Target), u64>,
    epochs: BTreeMap<HostName, u64>,
}

impl RolloutState {
    /// Before the first event.
    pub fn new(plan: &Plan) -> Self {
        let steps = plan
            .waves()
            .iter()
            .flat_map(|wave| wave.steps.iter().map(|step| (wave.wave, step)))
            .map(|(wave, step)| {
                let progress = StepProgress {
                    state: StepState::Waiting,
                    touched: false,
                    wave,
                    host: step.host.clone(),
                    target: step.target(),
                };
                (step.id, progress)
            })
            .collect();
        let generations = plan
            .basis()
            .hosts
            .iter()
            .flat_map(|(host, basis)| {
                let targets = basis.generations.iter();
                targets.map(|(target, generation)| ((host.clone(), target.clone()), *generation))
            })
            .collect();
        Self {
            phase: Phase::New,
            steps,
            waves: plan.waves().iter().map(|wave| wave.wave).collect(),
            passed: BTreeSet::new(),
            failed_checks: Vec::new(),
            generations,
            epochs: BTreeMap::new(),
        }
    }

    /// Replays events.
    pub fn replay<'a>(
        plan: &Plan,
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<Self, IllegalEvent> {
        events
            .into_iter()
            .try_fold(Self::new(plan), |state, event| state.next(event))
    }

    /// The state after an event.
    pub fn next(&self, event: &Event) -> Result<Self, IllegalEvent> {
        let mut next = self.clone();
        transition::advance(&mut next, event)?;
        Ok(next)
    }

    /// Where the rollout as a whole is.
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What is known of each step, in order.
    pub const fn steps(&self) -> &BTreeMap<StepId, StepProgress> {
        &self.steps
    }

    /// What is known of one step.
    pub fn step(&self, step: StepId) -> Option<&StepProgress> {
        self.steps.get(&step)
    }

    /// Whether a wave's gate has passed.
    pub fn has_passed(&self, wave: Wave) -> bool {
        self.passed.contains(&wave)
    }

    /// The checks of the gate that failed last.
    pub fn failed_checks(&self) -> &[FailedCheck] {
        &self.failed_checks
    }

    /// A target's generation, as far as is known. Operations in flight do not count.
    pub fn generation(&self, host: &HostName, target: &Target) -> u64 {
        let key = (host.clone(), target.clone());
        self.generations.get(&key).copied().unwrap_or_default()
    }

    /// The highest generation that a target can have by this rollout's own doing.
    pub fn generation_bound(&self, host: &HostName, target: &Target) -> u64 {
        let own = self
            .steps
            .values()
            .filter(|step| step.host == *host && step.target == *target);
        own.filter_map(|step| match &step.state {
            StepState::Running(flight) | StepState::Undoing(flight) => Some(flight.generation),
            _ => None,
        })
        .chain([self.generation(host, target)])
        .max()
        .unwrap_or_default()
    }

    /// The epochs of the leases that were taken last.
    pub const fn epochs(&self) -> &BTreeMap<HostName, u64> {
        &self.epochs
    }
}
