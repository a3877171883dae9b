//! Driving one step, forward or back: look, act, verify.
//!
//! Invariants: an operation is written down before it is sent; while its outcome is not known it
//! is asked for again by the same id and no other is sent; a refusal is never tried again; every
//! further attempt is written down.

use std::time::Duration;

use omni_scale_proto::operation::{Operation, planned_operation_id};
use omni_scale_proto::v1;
use tokio::time::{Instant, timeout};

use super::event::{Event, Happening, StepFailure};
use super::observe::no_answer;
use super::retry::BackOff;
use super::run::{Halt, Run};
use super::state::{InFlight, Phase, StepState};
use super::target::{View, look};
use crate::agents::{Action, AgentError, Class};
use crate::plan::Step;

/// How long an agent may take to tell of an operation that has come to its own deadline.
const GRACE: Duration = Duration::from_secs(30);

/// How often what was done, and is gone when it is looked at, is done again. An Engine that was
/// killed ends its containers when it comes back; a program that cannot stay is not for us to mend.
const DONE_AGAIN: u32 = 2;

/// Where a step is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// To what the plan wants.
    Forward,
    /// Back to what was there before.
    Back,
}

/// A step on its way.
struct Drive<'a> {
    run: &'a Run<'a>,
    step: &'a Step,
    action: &'a Action,
    direction: Direction,
    deadline: Instant,
    waits: BackOff,
    /// The operation in flight was written down by this run, and certainly never sent.
    unsent: bool,
    /// How often it was done, and gone at once.
    gone: u32,
}

/// What to do next.
enum Next {
    /// Look again.
    Again,
    /// It is done, or has failed for good.
    End { done: bool },
}

impl Run<'_> {
    /// Drives a step to its end. False: it has failed.
    pub(super) async fn drive(
        &self,
        step: &Step,
        action: &Action,
        direction: Direction,
    ) -> Result<bool, Halt> {
        let mut drive = Drive {
            run: self,
            step,
            action,
            direction,
            deadline: Instant::now() + Duration::from_secs(step.deadline_seconds.into()),
            waits: BackOff::new(),
            unsent: false,
            gone: 0,
        };
        loop {
            if let Some(reason) = self.stop.reason() {
                return Err(Halt::Stopped { reason });
            }
            if let Next::End { done } = drive.once().await? {
                return Ok(done);
            }
        }
    }
}

impl Drive<'_> {
    async fn once(&mut self) -> Result<Next, Halt> {
        let state = self.run.recorder.state();
        let Some(progress) = state.step(self.step.id) else {
            return Ok(Next::End { done: false });
        };
        let flight = match (self.direction, &progress.state) {
            (Direction::Forward, StepState::Succeeded { .. } | StepState::Adopted)
            | (Direction::Back, StepState::Undone) => return Ok(Next::End { done: true }),
            (Direction::Forward, StepState::Failed { .. })
            | (Direction::Back, StepState::UndoFailed { .. }) => {
                return Ok(Next::End { done: false });
            }
            (Direction::Forward, StepState::Running(flight))
            | (Direction::Back, StepState::Undoing(flight)) => Some(flight.clone()),
            _ => None,
        };
        let look = look(self.run.agents, &self.step.host, self.action);
        let view = match self.run.unless_stopped(look).await? {
            Ok(view) => view,
            Err(failure) => return self.cannot_go_on(flight.as_ref(), failure).await,
        };
        let target = self.step.target();
        let bound = state.generation_bound(&self.step.host, &target);
        if view.generation > bound {
            return self.fail(others_changed_it(&view, bound));
        }
        if view.is_settled() {
            return self.adopt(
                view.generation
                    .max(state.generation(&self.step.host, &target)),
            );
        }
        let ours = flight.as_ref().map(|flight| flight.operation.to_string());
        if !view.running.is_empty() && ours.as_ref() != Some(&view.running) {
            return self.cannot_go_on(flight.as_ref(), others_run(&view)).await;
        }
        let epoch = match self.run.epoch(&self.step.host).await? {
            Ok(epoch) => epoch,
            Err(error) => {
                return self
                    .cannot_go_on(flight.as_ref(), StepFailure::of(&error))
                    .await;
            }
        };
        let flight = match flight {
            Some(flight) => {
                if Instant::now() >= self.deadline {
                    return Err(self.unknown("its outcome is not known".to_owned()));
                }
                flight
            }
            None => self.begin()?,
        };
        self.send(&flight, epoch).await
    }

    /// Writes the next operation down.
    fn begin(&mut self) -> Result<InFlight, Halt> {
        let state = self.run.recorder.state();
        let target = self.step.target();
        let generation = state.generation(&self.step.host, &target) + 1;
        let word = match self.direction {
            Direction::Forward => self.action.word().to_owned(),
            Direction::Back => format!("undo-{}", self.action.word()),
        };
        let operation = planned_operation_id(
            self.run.plan.deployment(),
            self.step.host.as_str(),
            &target,
            generation,
            &word,
            self.action.digest().as_str(),
        );
        let attempt = self.attempt();
        let step = self.step.id;
        self.run.recorder.record(match self.direction {
            Direction::Forward => Event::StepStarted {
                step,
                attempt,
                operation: operation.clone(),
                generation,
            },
            Direction::Back => Event::UndoStarted {
                step,
                attempt,
                operation: operation.clone(),
                generation,
            },
        })?;
        self.unsent = true;
        Ok(InFlight {
            attempt,
            operation,
            generation,
            reply_lost: false,
        })
    }

    async fn send(&mut self, flight: &InFlight, epoch: u64) -> Result<Next, Halt> {
        let rest = self.deadline.saturating_duration_since(Instant::now());
        let operation = Operation {
            id: flight.operation.clone(),
            deployment: self.run.plan.deployment(),
            generation: flight.generation,
            lease_epoch: epoch,
            deadline_seconds: u32::try_from(rest.as_secs().max(1))
                .unwrap_or(self.step.deadline_seconds)
                .min(self.step.deadline_seconds),
        };
        let (id, host, events) = (self.step.id, &self.step.host, self.run.events);
        let sink = |progress: v1::Progress| {
            events.tell(Happening::Progress {
                step: id,
                host: host.clone(),
                progress,
            });
        };
        let request = self.run.agents.apply(host, &operation, self.action, &sink);
        // Whoever asks to stop waits for this act: its agent finishes it, and how it ended shall be
        // written down.
        let answer = timeout(rest + GRACE, request).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(no_answer(
                host,
                &format!("apply {}", self.step.target()),
                rest + GRACE,
            ))
        });
        match answer {
            Ok(outcome) if outcome.operation_id != flight.operation.as_str() => {
                self.unsent = false;
                let reason = match &outcome.failure {
                    Some(failure) => failure.message.clone(),
                    None => "the agent told of another operation".to_owned(),
                };
                self.reply_lost(reason).await
            }
            Ok(outcome) => {
                self.unsent = false;
                match &outcome.failure {
                    None => self.verify(flight, &outcome).await,
                    Some(failure) => self.attempt_failed(StepFailure::in_outcome(failure)).await,
                }
            }
            Err(error) => self.error(flight, error).await,
        }
    }

    async fn error(&mut self, flight: &InFlight, error: AgentError) -> Result<Next, Halt> {
        let failure = StepFailure::of(&error);
        match error {
            AgentError::LeaseLost {
                host,
                holder: Some(holder),
                ..
            } if !self.run.leases.is_ours(&holder) => {
                return Err(Halt::LeaseLost {
                    host,
                    holder: Some(holder),
                });
            }
            // It ran out and nobody has it, or it is this rollout's under another epoch: the next
            // look takes it again, or finds out better.
            AgentError::LeaseLost { host, .. } => {
                self.run.leases.doubt(&host);
                let failure = StepFailure {
                    class: Class::Transient,
                    ..failure
                };
                return self.cannot_go_on(Some(flight), failure).await;
            }
            AgentError::Unknown { .. } => {
                self.unsent = false;
                return self.reply_lost(failure.message).await;
            }
            AgentError::Refused { .. }
            | AgentError::Unreachable { .. }
            | AgentError::Unavailable { .. }
            | AgentError::NotEnrolled { .. }
            | AgentError::Faulty { .. }
            | AgentError::Held { .. } => {}
        }
        self.cannot_go_on(Some(flight), failure).await
    }

    /// Whether an operation may have begun of which nobody has seen the end. An undo that cannot
    /// be looked at is left to a person at once.
    fn is_sent(&self, flight: Option<&InFlight>) -> bool {
        flight.is_some() && !self.unsent && self.direction == Direction::Forward
    }

    /// Something is in the way of the next act. Nothing was changed by it; what was sent before goes
    /// on, whoever may not ask for it any more.
    async fn cannot_go_on(
        &mut self,
        flight: Option<&InFlight>,
        failure: StepFailure,
    ) -> Result<Next, Halt> {
        if self.is_sent(flight) && failure.class != Class::Transient {
            return Err(self.unknown(failure.message));
        }
        match flight {
            Some(_) if failure.class == Class::Transient && !self.unsent => {
                if Instant::now() >= self.deadline {
                    return Err(self.unknown(failure.message));
                }
                self.reply_lost(failure.message).await
            }
            _ => self.attempt_failed(failure).await,
        }
    }

    /// The agent says that it is done: what is there must say so too.
    async fn verify(&mut self, flight: &InFlight, outcome: &v1::Outcome) -> Result<Next, Halt> {
        // It is a part of the act, so it is not stopped in between.
        let view = match look(self.run.agents, &self.step.host, self.action).await {
            Ok(view) => view,
            Err(failure) if failure.class == Class::Transient => {
                return self
                    .reply_lost(format!(
                        "it is done and could not be verified: {}",
                        failure.message
                    ))
                    .await;
            }
            // How the operation ended is known, whatever keeps us from looking.
            Err(failure) => {
                return self.fail(StepFailure {
                    operation_spent: true,
                    ..failure
                });
            }
        };
        if !view.missing.is_empty() {
            self.gone += 1;
            let class = if self.gone <= DONE_AGAIN {
                Class::Transient
            } else {
                Class::Permanent
            };
            let failure = StepFailure {
                class,
                message: format!(
                    "the agent says that it is done, and it is not: {}",
                    view.missing.join("; ")
                ),
                hint: String::new(),
                evidence: Vec::new(),
                operation_spent: true,
            };
            return self.attempt_failed(failure).await;
        }
        let generation = outcome.generation.max(flight.generation);
        let step = self.step.id;
        self.run.recorder.record(match self.direction {
            Direction::Forward => Event::StepSucceeded {
                step,
                generation,
                summary: outcome.summary.clone(),
                warnings: outcome.warnings.clone(),
            },
            Direction::Back => Event::UndoFinished { step, generation },
        })?;
        Ok(Next::End { done: true })
    }

    fn adopt(&self, generation: u64) -> Result<Next, Halt> {
        let step = self.step.id;
        self.run.recorder.record(match self.direction {
            Direction::Forward => Event::StepAdopted { step, generation },
            Direction::Back => Event::UndoFinished { step, generation },
        })?;
        Ok(Next::End { done: true })
    }

    async fn reply_lost(&mut self, reason: String) -> Result<Next, Halt> {
        let step = self.step.id;
        tracing::warn!(%step, host = %self.step.host, reason, "reply lost");
        self.run
            .recorder
            .record(Event::ReplyLost { step, reason })?;
        let wait = self.waits.next();
        self.run.pause(wait).await?;
        Ok(Next::Again)
    }

    /// Tries again when that may help and there is time, and gives up otherwise.
    async fn attempt_failed(&mut self, failure: StepFailure) -> Result<Next, Halt> {
        let wait = self.waits.next();
        let in_time = Instant::now() + wait < self.deadline;
        let going_on = match self.direction {
            Direction::Forward => *self.run.recorder.state().phase() == Phase::Running,
            Direction::Back => true,
        };
        if failure.class != Class::Transient || !in_time || !going_on {
            return self.fail(failure);
        }
        let (step, attempt) = (self.step.id, self.attempt());
        tracing::warn!(%step, host = %self.step.host, attempt, reason = failure.message, "attempt failed");
        self.unsent = false;
        self.run.recorder.record(match self.direction {
            Direction::Forward => Event::AttemptFailed {
                step,
                attempt,
                failure,
            },
            Direction::Back => Event::UndoAttemptFailed {
                step,
                attempt,
                failure,
            },
        })?;
        self.run.pause(wait).await?;
        Ok(Next::Again)
    }

    fn fail(&self, failure: StepFailure) -> Result<Next, Halt> {
        let step = self.step.id;
        self.run.recorder.record(match self.direction {
            Direction::Forward => Event::StepFailed { step, failure },
            Direction::Back => Event::UndoFailed { step, failure },
        })?;
        Ok(Next::End { done: false })
    }

    fn unknown(&self, reason: String) -> Halt {
        Halt::Unknown {
            step: self.step.id,
            reason,
        }
    }

    /// The number of the attempt that is under way, or would be next.
    fn attempt(&self) -> u32 {
        let state = self.run.recorder.state();
        match state.step(self.step.id).map(|progress| &progress.state) {
            Some(StepState::Running(flight) | StepState::Undoing(flight)) => flight.attempt,
            Some(StepState::Retrying { attempt, .. } | StepState::UndoRetrying { attempt, .. }) => {
                attempt + 1
            }
            _ => 1,
        }
    }
}

fn others_changed_it(view: &View, bound: u64) -> StepFailure {
    StepFailure {
        class: Class::Refused,
        message: format!(
            "somebody else has changed the target: its generation is {}, this rollout has brought it to {bound}",
            view.generation
        ),
        hint: "`omni-scale abort` this rollout, then plan again".to_owned(),
        evidence: Vec::new(),
        operation_spent: false,
    }
}

fn others_run(view: &View) -> StepFailure {
    StepFailure {
        class: Class::Transient,
        message: format!("another operation ({}) runs on the target", view.running),
        hint: String::new(),
        evidence: Vec::new(),
        operation_spent: false,
    }
}
