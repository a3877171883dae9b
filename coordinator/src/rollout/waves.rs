//! The waves in order, each with its gate, and what becomes of a rollout when one fails.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use omni_scale_proto::id::HostName;
use omni_scale_proto::operation::Target;

use super::event::{Event, StepFailure};
use super::result::RolloutResult;
use super::run::{Halt, Run};
use super::state::{Phase, RolloutState, StepState};
use super::step::Direction;
use super::target::look;
use crate::agents::Class;
use crate::plan::{PlannedWave, Recovery, Step, Wave};

/// How often what was done, and is gone when the gate does not pass, is done again. An Engine that
/// was killed ends containers when it comes back, and may never start one of them for good.
const DONE_AGAIN: u32 = 1;

impl Run<'_> {
    /// Runs what is left of the plan.
    pub(super) async fn waves(&self) -> Result<RolloutResult, Halt> {
        if let Phase::Failing { wave } | Phase::Undoing { wave } = *self.recorder.state().phase() {
            return self.after_failure(wave).await;
        }
        for wave in self.plan.waves() {
            if self.recorder.state().has_passed(wave.wave) {
                continue;
            }
            let mut again = DONE_AGAIN;
            // What an earlier run has done may be gone since.
            let mut look_first = self.is_done(wave);
            let answers = loop {
                if look_first && again > 0 && self.find_gone(wave).await? {
                    again -= 1;
                }
                self.steps(wave).await?;
                if *self.recorder.state().phase() != Phase::Running {
                    return self.after_failure(wave.wave).await;
                }
                let answers = self.ask(wave).await?;
                if answers.failed.is_empty() || again == 0 || !self.find_gone(wave).await? {
                    break answers;
                }
                again -= 1;
                look_first = false;
            };
            if answers.failed.is_empty() {
                self.recorder.record(Event::GatePassed {
                    wave: wave.wave,
                    warnings: answers.warnings,
                })?;
                continue;
            }
            self.recorder.record(Event::GateFailed {
                wave: wave.wave,
                failed: answers.failed,
            })?;
            return self.after_failure(wave.wave).await;
        }
        self.recorder.record(Event::Finished)?;
        Ok(RolloutResult::Done { changed: true })
    }

    /// Whether every step of a wave is done, as far as it was written down.
    fn is_done(&self, wave: &PlannedWave) -> bool {
        let state = self.recorder.state();
        let done = |step: &Step| {
            let progress = state.step(step.id).map(|progress| &progress.state);
            matches!(
                progress,
                Some(StepState::Succeeded { .. } | StepState::Adopted)
            )
        };
        !wave.steps.is_empty() && wave.steps.iter().all(done)
    }

    /// Looks whether what the steps of a wave have done is still there, and writes down what is not.
    /// True: something is gone.
    async fn find_gone(&self, wave: &PlannedWave) -> Result<bool, Halt> {
        if !self.is_done(wave) {
            return Ok(false);
        }
        let mut gone = Vec::new();
        for step in &wave.steps {
            let look = look(self.agents, &step.host, &step.action);
            // Who cannot be asked is asked by the gate, and by the next act.
            let Ok(view) = self.unless_stopped(look).await? else {
                continue;
            };
            if !view.missing.is_empty() && view.running.is_empty() {
                gone.push((step.id, view.missing.join("; ")));
            }
        }
        for (step, missing) in &gone {
            self.recorder.record(Event::StepGone {
                step: *step,
                failure: StepFailure {
                    class: Class::Transient,
                    message: format!("what it had done is gone: {missing}"),
                    hint: String::new(),
                    evidence: Vec::new(),
                    operation_spent: false,
                },
            })?;
        }
        Ok(!gone.is_empty())
    }

    /// The steps of a wave: targets side by side, the steps of one target in order.
    async fn steps(&self, wave: &PlannedWave) -> Result<(), Halt> {
        let mut targets: BTreeMap<(&HostName, Target), Vec<&Step>> = BTreeMap::new();
        for step in &wave.steps {
            let target = (&step.host, step.target());
            targets.entry(target).or_default().push(step);
        }
        let driven = targets.into_values().map(|steps| async move {
            for step in steps {
                let going_on = *self.recorder.state().phase() == Phase::Running;
                if !going_on || !self.drive(step, &step.action, Direction::Forward).await? {
                    break;
                }
            }
            Ok(())
        });
        worst(join_all(driven).await)
    }

    /// Decides between holding and undoing, and does it.
    async fn after_failure(&self, wave: Wave) -> Result<RolloutResult, Halt> {
        let Some(planned) = self.plan.wave(wave) else {
            return self.hold(format!("{wave} failed"), String::new());
        };
        // What was in flight when a coordinator died may have had its effect.
        for step in &planned.steps {
            let state = self.recorder.state();
            let progress = state.step(step.id).map(|progress| &progress.state);
            if matches!(progress, Some(StepState::Running(_))) {
                self.drive(step, &step.action, Direction::Forward).await?;
            }
        }
        let state = self.recorder.state();
        let (reason, advice) = why(&state, planned);
        let touched: Vec<&Step> = planned
            .steps
            .iter()
            .filter(|step| state.step(step.id).is_some_and(|progress| progress.touched))
            .collect();
        let undone: Option<Vec<_>> = touched
            .iter()
            .rev()
            .map(|step| match &step.recovery {
                Recovery::Undo { action, .. } => Some((*step, action)),
                Recovery::Hold { .. } => None,
            })
            .collect();
        let Some(undone) = undone.filter(|steps| !steps.is_empty()) else {
            return self.hold(reason, advice);
        };
        for (step, action) in undone {
            match self.drive(step, action, Direction::Back).await {
                Ok(true) => {}
                Ok(false) => return self.stuck(),
                // Nothing may follow an undo whose effect is not known.
                Err(Halt::Unknown { step, reason }) => {
                    let failure = super::event::StepFailure::unknown(reason);
                    self.recorder.record(Event::UndoFailed { step, failure })?;
                    return self.stuck();
                }
                Err(halt) => return Err(halt),
            }
        }
        self.recorder.record(Event::Undone)?;
        Ok(RolloutResult::Undone { reason })
    }

    /// Stops here, in a known state.
    pub(super) fn hold(&self, reason: String, advice: String) -> Result<RolloutResult, Halt> {
        let failed = self.recorder.state().failed_checks().to_vec();
        let advice = if advice.is_empty() {
            "put right what it says, then `omni-scale resume`".to_owned()
        } else {
            advice
        };
        self.recorder.record(Event::Held {
            reason: reason.clone(),
            advice: advice.clone(),
        })?;
        Ok(RolloutResult::Held {
            reason,
            advice,
            failed,
        })
    }

    fn stuck(&self) -> Result<RolloutResult, Halt> {
        self.recorder.record(Event::Stuck)?;
        Ok(stuck(&self.recorder.state()))
    }
}

/// What to say of a rollout whose undo has failed.
pub(super) fn stuck(state: &RolloutState) -> RolloutResult {
    let failed = state
        .steps()
        .iter()
        .find_map(|(id, step)| match &step.state {
            StepState::UndoFailed { failure } => Some((id, failure)),
            _ => None,
        });
    RolloutResult::Stuck {
        reason: failed.map_or_else(String::new, |(id, failure)| {
            format!("undoing step {id} failed: {}", failure.message)
        }),
        advice: "look at the host, put it right by hand, then plan again".to_owned(),
    }
}

/// Why a wave has failed, and what to do.
fn why(state: &RolloutState, wave: &PlannedWave) -> (String, String) {
    let failed = wave
        .steps
        .iter()
        .find_map(|step| match &state.step(step.id)?.state {
            StepState::Failed { failure, .. } => Some((step, failure)),
            _ => None,
        });
    let held = |step: &Step| match &step.recovery {
        Recovery::Hold { advice } => advice.clone(),
        Recovery::Undo { .. } => String::new(),
    };
    if let Some((step, failure)) = failed {
        let advice = if failure.hint.is_empty() {
            held(step)
        } else {
            failure.hint.clone()
        };
        let reason = format!(
            "step {} on host `{}` failed: {}",
            step.id, step.host, failure.message
        );
        return (reason, advice);
    }
    let checks = state.failed_checks();
    let reason = checks.first().map_or_else(
        || format!("{} failed", wave.wave),
        |check| {
            format!(
                "the gate of {} has not passed: on host `{}`: {}: {}",
                wave.wave, check.host, check.title, check.summary
            )
        },
    );
    let hint = checks
        .iter()
        .map(|check| check.hint.clone())
        .find(|hint| !hint.is_empty());
    let advice = hint.unwrap_or_else(|| wave.steps.first().map(held).unwrap_or_default());
    (reason, advice)
}

/// The one of several ends that matters most.
fn worst(ends: Vec<Result<(), Halt>>) -> Result<(), Halt> {
    let rank = |halt: &Halt| match halt {
        Halt::Journal(_) => 0,
        Halt::LeaseLost { .. } => 1,
        Halt::Stopped { .. } => 2,
        Halt::Unknown { .. } => 3,
    };
    match ends.into_iter().filter_map(Result::err).min_by_key(rank) {
        Some(halt) => Err(halt),
        None => Ok(()),
    }
}
