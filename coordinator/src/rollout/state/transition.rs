//! Which event may follow what, and what it changes: one match over the events.

use omni_scale_proto::id::OperationId;

use super::{IllegalEvent, InFlight, Phase, RolloutState, StepProgress, StepState};
use crate::plan::{StepId, Wave};
use crate::rollout::event::Event;

type Advance = Result<(), IllegalEvent>;

/// Changes `state` by `event`. After an error, `state` is of no use.
#[expect(
    clippy::too_many_lines,
    reason = "every event stands in one match, so that none is forgotten"
)]
pub(super) fn advance(state: &mut RolloutState, event: &Event) -> Advance {
    let name = name(event);
    let refuse = |reason: &str| {
        Err(IllegalEvent {
            event: name,
            reason: reason.to_owned(),
        })
    };
    if state.phase.is_end() {
        return refuse(&format!(
            "the rollout is {}, which is an end",
            state.phase.word()
        ));
    }
    if state.phase == Phase::New && !matches!(event, Event::Started { .. } | Event::Aborted { .. })
    {
        return refuse("the rollout has not started");
    }
    match event {
        Event::Started { .. } => started(state),
        Event::LeasesTaken { epochs } => {
            if matches!(state.phase, Phase::Held { .. }) {
                return refuse("the rollout is held");
            }
            state.epochs.clone_from(epochs);
        }
        Event::PreflightPassed { .. } => {
            if state.phase != Phase::Preparing {
                return refuse("the rollout is past its preflight");
            }
            state.passed.insert(Wave::Preflight);
            state.phase = Phase::Running;
        }
        Event::Refused { refusal } => {
            if state.phase != Phase::Preparing {
                return refuse("the rollout has begun to change things");
            }
            state.phase = Phase::Refused(refusal.clone());
        }
        Event::StepStarted {
            step,
            attempt,
            operation,
            generation,
        } => begin(state, name, *step, *attempt, operation, *generation)?,
        Event::ReplyLost { step, .. } => {
            if matches!(state.phase, Phase::Held { .. }) {
                return refuse("the rollout is held");
            }
            let progress = find(state, name, *step)?;
            match &mut progress.state {
                StepState::Running(flight) | StepState::Undoing(flight) => flight.reply_lost = true,
                _ => return refuse("no operation of the step is in flight"),
            }
        }
        Event::AttemptFailed {
            step,
            attempt,
            failure,
        } => {
            let spent = failure.operation_spent;
            settle(state, name, *step, Some(*attempt), spent)?.state = StepState::Retrying {
                attempt: *attempt,
                failure: failure.clone(),
            };
        }
        Event::StepFailed { step, failure } => {
            let spent = failure.operation_spent;
            let progress = settle(state, name, *step, None, spent)?;
            progress.state = StepState::Failed {
                attempt: tried(&progress.state),
                failure: failure.clone(),
            };
            let wave = progress.wave;
            state.phase = Phase::Failing { wave };
        }
        Event::StepSucceeded {
            step,
            generation,
            summary,
            ..
        } => {
            let progress = settle(state, name, *step, None, false)?;
            if !matches!(progress.state, StepState::Running(_)) {
                return refuse("no operation of the step is in flight");
            }
            let summary = summary.clone();
            progress.state = StepState::Succeeded { summary };
            progress.touched = true;
            reach(state, *step, *generation);
        }
        Event::StepAdopted { step, generation } => {
            let progress = settle(state, name, *step, None, false)?;
            // In flight and done: by us, as far as anybody can tell.
            progress.touched |= matches!(progress.state, StepState::Running(_));
            progress.state = StepState::Adopted;
            reach(state, *step, *generation);
        }
        Event::StepGone { step, failure } => {
            if state.phase != Phase::Running {
                return refuse("nothing is being done");
            }
            let next = state.waves.iter().find(|wave| !state.passed.contains(wave));
            let next = next.copied();
            let progress = find(state, name, *step)?;
            let done = matches!(
                progress.state,
                StepState::Succeeded { .. } | StepState::Adopted
            );
            if next != Some(progress.wave) || !done {
                return refuse("the step is not done, or its wave is over");
            }
            progress.state = StepState::Retrying {
                attempt: tried(&progress.state),
                failure: failure.clone(),
            };
        }
        Event::GateAttemptFailed { wave, .. } => at_gate(state, name, *wave)?,
        Event::GatePassed { wave, .. } => {
            at_gate(state, name, *wave)?;
            if state.phase == Phase::Preparing {
                return refuse("the preflight passes by an event of its own");
            }
            state.passed.insert(*wave);
            state.failed_checks.clear();
        }
        Event::GateFailed { wave, failed } => {
            at_gate(state, name, *wave)?;
            if state.phase == Phase::Preparing {
                return refuse("a preflight that fails refuses the rollout");
            }
            state.failed_checks.clone_from(failed);
            state.phase = Phase::Failing { wave: *wave };
        }
        Event::UndoStarted {
            step,
            attempt,
            operation,
            generation,
        } => begin_undo(state, name, *step, *attempt, operation, *generation)?,
        Event::UndoAttemptFailed {
            step,
            attempt,
            failure,
        } => {
            let spent = failure.operation_spent;
            settle_undo(state, name, *step, Some(*attempt), spent)?.state =
                StepState::UndoRetrying {
                    attempt: *attempt,
                    failure: failure.clone(),
                };
        }
        Event::UndoFailed { step, failure } => {
            let spent = failure.operation_spent;
            settle_undo(state, name, *step, None, spent)?.state = StepState::UndoFailed {
                failure: failure.clone(),
            };
        }
        Event::UndoFinished { step, generation } => {
            settle_undo(state, name, *step, None, false)?.state = StepState::Undone;
            reach(state, *step, *generation);
        }
        Event::Held { reason, advice } => match state.phase {
            Phase::Running | Phase::Failing { .. } => {
                state.phase = Phase::Held {
                    reason: reason.clone(),
                    advice: advice.clone(),
                };
            }
            _ => return refuse("nothing is being done that could be held"),
        },
        Event::Interrupted { .. } => {}
        Event::Undone => {
            let Phase::Undoing { wave } = state.phase else {
                return refuse("nothing is being undone");
            };
            if of_wave(state, wave).any(|step| step.touched && step.state != StepState::Undone) {
                return refuse("not everything is undone");
            }
            state.phase = Phase::Undone;
        }
        Event::Stuck => {
            let failed = |step: &StepProgress| matches!(step.state, StepState::UndoFailed { .. });
            if !state.steps.values().any(failed) {
                return refuse("no undo has failed");
            }
            state.phase = Phase::Stuck;
        }
        Event::Aborted { by } => state.phase = Phase::Aborted { by: by.clone() },
        Event::Finished => {
            let all = state.waves.iter().all(|wave| state.passed.contains(wave));
            let idle = state.steps.is_empty() && state.phase == Phase::Preparing;
            if !(idle || (all && state.phase == Phase::Running)) {
                return refuse("not every gate has passed");
            }
            state.phase = Phase::Finished;
        }
    }
    Ok(())
}

/// A coordinator takes the rollout up. One that was held tries again what had failed.
fn started(state: &mut RolloutState) {
    match state.phase {
        Phase::New => state.phase = Phase::Preparing,
        Phase::Held { .. } => {
            for step in state.steps.values_mut() {
                if let StepState::Failed { attempt, failure } = &step.state {
                    step.state = StepState::Retrying {
                        attempt: *attempt,
                        failure: failure.clone(),
                    };
                }
            }
            state.failed_checks.clear();
            state.phase = Phase::Running;
        }
        _ => {}
    }
}

fn begin(
    state: &mut RolloutState,
    event: &'static str,
    step: StepId,
    attempt: u32,
    operation: &OperationId,
    generation: u64,
) -> Advance {
    let illegal = |reason: String| Err(IllegalEvent { event, reason });
    if state.phase != Phase::Running {
        return illegal(format!("the rollout is {}", state.phase.word()));
    }
    let progress = find(state, event, step)?.clone();
    earlier_gates_passed(state, event, progress.wave)?;
    let expected = match &progress.state {
        StepState::Waiting => 1,
        StepState::Retrying { attempt, .. } => attempt + 1,
        _ => return illegal(format!("step {step} does not wait")),
    };
    if attempt != expected {
        return illegal(format!("attempt {expected} of step {step} would be next"));
    }
    follows(state, event, &progress, generation)?;
    find(state, event, step)?.state = StepState::Running(in_flight(attempt, operation, generation));
    Ok(())
}

fn begin_undo(
    state: &mut RolloutState,
    event: &'static str,
    step: StepId,
    attempt: u32,
    operation: &OperationId,
    generation: u64,
) -> Advance {
    let illegal = |reason: String| Err(IllegalEvent { event, reason });
    let progress = find(state, event, step)?.clone();
    match state.phase {
        Phase::Failing { wave } | Phase::Undoing { wave } if wave == progress.wave => {}
        _ => return illegal(format!("the wave of step {step} has not failed")),
    }
    if !progress.touched {
        return illegal(format!("step {step} has changed nothing"));
    }
    let expected = match &progress.state {
        StepState::Succeeded { .. } | StepState::Adopted | StepState::Failed { .. } => 1,
        StepState::UndoRetrying { attempt, .. } => attempt + 1,
        _ => return illegal(format!("step {step} cannot be undone now")),
    };
    if attempt != expected {
        return illegal(format!(
            "attempt {expected} to undo step {step} would be next"
        ));
    }
    follows(state, event, &progress, generation)?;
    state.phase = Phase::Undoing {
        wave: progress.wave,
    };
    find(state, event, step)?.state = StepState::Undoing(in_flight(attempt, operation, generation));
    Ok(())
}

fn in_flight(attempt: u32, operation: &OperationId, generation: u64) -> InFlight {
    InFlight {
        attempt,
        operation: operation.clone(),
        generation,
        reply_lost: false,
    }
}

fn earlier_gates_passed(state: &RolloutState, event: &'static str, wave: Wave) -> Advance {
    let mut earlier = state.waves.iter().filter(|earlier| **earlier < wave);
    match earlier.find(|earlier| !state.passed.contains(earlier)) {
        None => Ok(()),
        Some(waits) => Err(IllegalEvent {
            event,
            reason: format!("the gate of {waits} has not passed"),
        }),
    }
}

/// The generation of an operation is the one after what is known.
fn follows(
    state: &RolloutState,
    event: &'static str,
    step: &StepProgress,
    generation: u64,
) -> Advance {
    let next = state.generation(&step.host, &step.target) + 1;
    if generation == next {
        return Ok(());
    }
    let reason = format!(
        "generation {next} of {} would be next, not {generation}",
        step.target
    );
    Err(IllegalEvent { event, reason })
}

/// A step that is under way, forward. A spent operation has set its generation.
fn settle<'a>(
    state: &'a mut RolloutState,
    event: &'static str,
    step: StepId,
    attempt: Option<u32>,
    spent: bool,
) -> Result<&'a mut StepProgress, IllegalEvent> {
    let illegal = |reason: String| Err(IllegalEvent { event, reason });
    if !matches!(state.phase, Phase::Running | Phase::Failing { .. }) {
        return illegal(format!("the rollout is {}", state.phase.word()));
    }
    let progress = find(state, event, step)?.clone();
    earlier_gates_passed(state, event, progress.wave)?;
    let (current, in_flight) = match &progress.state {
        StepState::Waiting => (1, None),
        StepState::Retrying { attempt, .. } => (attempt + 1, None),
        StepState::Running(flight) => (flight.attempt, Some(flight.generation)),
        _ => return illegal(format!("step {step} is not under way")),
    };
    if attempt.is_some_and(|attempt| attempt != current) {
        return illegal(format!("attempt {current} of step {step} is under way"));
    }
    spend(state, event, step, in_flight, spent)?;
    find(state, event, step)
}

/// A step that is being undone.
fn settle_undo<'a>(
    state: &'a mut RolloutState,
    event: &'static str,
    step: StepId,
    attempt: Option<u32>,
    spent: bool,
) -> Result<&'a mut StepProgress, IllegalEvent> {
    let illegal = |reason: String| Err(IllegalEvent { event, reason });
    let progress = find(state, event, step)?.clone();
    match state.phase {
        Phase::Failing { wave } | Phase::Undoing { wave } if wave == progress.wave => {}
        _ => return illegal(format!("the wave of step {step} has not failed")),
    }
    let (current, in_flight) = match &progress.state {
        StepState::Succeeded { .. } | StepState::Adopted | StepState::Failed { .. }
            if progress.touched =>
        {
            (1, None)
        }
        StepState::UndoRetrying { attempt, .. } => (attempt + 1, None),
        StepState::Undoing(flight) => (flight.attempt, Some(flight.generation)),
        _ => return illegal(format!("step {step} cannot be undone now")),
    };
    if attempt.is_some_and(|attempt| attempt != current) {
        return illegal(format!(
            "attempt {current} to undo step {step} is under way"
        ));
    }
    state.phase = Phase::Undoing {
        wave: progress.wave,
    };
    spend(state, event, step, in_flight, spent)?;
    find(state, event, step)
}

fn spend(
    state: &mut RolloutState,
    event: &'static str,
    step: StepId,
    in_flight: Option<u64>,
    spent: bool,
) -> Advance {
    match (spent, in_flight) {
        (false, _) => Ok(()),
        (true, Some(generation)) => {
            reach(state, step, generation);
            find(state, event, step)?.touched = true;
            Ok(())
        }
        (true, None) => Err(IllegalEvent {
            event,
            reason: format!("no operation of step {step} is in flight"),
        }),
    }
}

/// The target of a step has this generation now.
fn reach(state: &mut RolloutState, step: StepId, generation: u64) {
    if let Some(progress) = state.steps.get(&step) {
        let key = (progress.host.clone(), progress.target.clone());
        let known = state.generations.entry(key).or_default();
        *known = generation.max(*known);
    }
}

/// A gate is asked when everything before it is done.
fn at_gate(state: &RolloutState, event: &'static str, wave: Wave) -> Advance {
    let illegal = |reason: String| Err(IllegalEvent { event, reason });
    let asked_in = if wave == Wave::Preflight {
        Phase::Preparing
    } else {
        Phase::Running
    };
    if state.phase != asked_in {
        return illegal(format!("the rollout is {}", state.phase.word()));
    }
    let next = state.waves.iter().find(|wave| !state.passed.contains(wave));
    if next != Some(&wave) {
        return illegal(format!("the gate of {wave} is not the next one"));
    }
    let done = |step: &StepProgress| {
        matches!(step.state, StepState::Succeeded { .. } | StepState::Adopted)
    };
    if !of_wave(state, wave).all(done) {
        return illegal(format!("not every step of {wave} is done"));
    }
    Ok(())
}

fn of_wave(state: &RolloutState, wave: Wave) -> impl Iterator<Item = &StepProgress> {
    state.steps.values().filter(move |step| step.wave == wave)
}

fn find<'a>(
    state: &'a mut RolloutState,
    event: &'static str,
    step: StepId,
) -> Result<&'a mut StepProgress, IllegalEvent> {
    state.steps.get_mut(&step).ok_or_else(|| IllegalEvent {
        event,
        reason: format!("the plan has no step {step}"),
    })
}

/// The number of the attempt that a state stands for.
const fn tried(state: &StepState) -> u32 {
    match state {
        StepState::Retrying { attempt, .. } => *attempt + 1,
        StepState::Running(flight) => flight.attempt,
        _ => 1,
    }
}

const fn name(event: &Event) -> &'static str {
    match event {
        Event::Started { .. } => "started",
        Event::LeasesTaken { .. } => "leases-taken",
        Event::PreflightPassed { .. } => "preflight-passed",
        Event::Refused { .. } => "refused",
        Event::StepStarted { .. } => "step-started",
        Event::ReplyLost { .. } => "reply-lost",
        Event::AttemptFailed { .. } => "attempt-failed",
        Event::StepSucceeded { .. } => "step-succeeded",
        Event::StepAdopted { .. } => "step-adopted",
        Event::StepGone { .. } => "step-gone",
        Event::StepFailed { .. } => "step-failed",
        Event::GateAttemptFailed { .. } => "gate-attempt-failed",
        Event::GatePassed { .. } => "gate-passed",
        Event::GateFailed { .. } => "gate-failed",
        Event::UndoStarted { .. } => "undo-started",
        Event::UndoAttemptFailed { .. } => "undo-attempt-failed",
        Event::UndoFinished { .. } => "undo-finished",
        Event::UndoFailed { .. } => "undo-failed",
        Event::Held { .. } => "held",
        Event::Interrupted { .. } => "interrupted",
        Event::Undone => "undone",
        Event::Stuck => "stuck",
        Event::Aborted { .. } => "aborted",
        Event::Finished => "finished",
    }
}
