//! The engine: runs exactly a plan, from wherever its journal says that it is.
//!
//! A new rollout and a resumed one are the same run: the journal tells what has happened, and
//! what was in flight is looked at before anything else is done. The engine prints nothing; it
//! tells [`RolloutEvents`] what happens, and returns how it ended.

use std::sync::Arc;
use std::time::Duration;

use omni_scale_proto::id::HostName;

use super::clock::WallClock;
use super::event::{Event, Refusal, RolloutEvents, StepFailure, chain};
use super::leases::Leases;
use super::recorder::Recorder;
use super::result::RolloutResult;
use super::run::{Halt, Run};
use super::state::{Phase, StepState};
use super::stop::StopSignal;
use crate::agents::{AgentError, Agents, LeaseRequest};
use crate::journal::{Header, Journal, JournalError};
use crate::login::Issuers;
use crate::plan::StepId;

/// How the engine behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who runs it, for people: `operator@machine`.
    pub by: String,
    /// How long it waits for leases that somebody else holds.
    pub lease_wait: Duration,
    /// How long it waits for operations of earlier rollouts that still run.
    pub running_wait: Duration,
}

/// Runs rollouts.
#[derive(Debug, Clone)]
pub struct Engine {
    agents: Arc<dyn Agents>,
    issuers: Arc<dyn Issuers>,
    clock: Arc<dyn WallClock>,
    settings: Settings,
}

/// Why the engine could not even say how the rollout ended.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal cannot be read or written. Nothing was done after that.
    #[error("the rollout cannot be written down")]
    Journal {
        /// Why.
        #[source]
        source: JournalError,
    },
    /// There is nothing to go on with.
    #[error("the rollout is {phase}; plan again")]
    Ended {
        /// How it ended.
        phase: &'static str,
    },
}

impl From<JournalError> for EngineError {
    fn from(source: JournalError) -> Self {
        Self::Journal { source }
    }
}

/// An operation that goes on although its rollout was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftRunning {
    /// The step.
    pub step: StepId,
    /// Where.
    pub host: HostName,
}

impl Engine {
    /// An engine for the agents of a deployment, and the issuers that its machine reaches.
    pub fn new(
        agents: Arc<dyn Agents>,
        issuers: Arc<dyn Issuers>,
        clock: Arc<dyn WallClock>,
        settings: Settings,
    ) -> Self {
        Self {
            agents,
            issuers,
            clock,
            settings,
        }
    }

    /// Runs the rollout of a journal, new or not, until it ends or cannot go on.
    pub async fn run(
        &self,
        journal: Journal,
        events: &dyn RolloutEvents,
        stop: &StopSignal,
    ) -> Result<RolloutResult, EngineError> {
        let phase = journal.state().phase();
        if phase.is_end() {
            return Err(EngineError::Ended {
                phase: phase.word(),
            });
        }
        let header = journal.header().clone();
        let recorder = Recorder::new(journal, self.clock.as_ref(), events);
        recorder.record(Event::Started {
            by: self.settings.by.clone(),
        })?;
        if header.plan.is_noop() {
            recorder.record(Event::Finished)?;
            return Ok(RolloutResult::Done { changed: false });
        }
        match self.under_leases(&header, &recorder, events, stop).await {
            Ok(result) => Ok(result),
            Err(Halt::Journal(source)) => Err(EngineError::Journal { source }),
            Err(halt) => Ok(conclude(&recorder, halt)?),
        }
    }

    /// Gives a rollout up where it is. Nothing is undone; what agents do, they finish.
    pub async fn abort(&self, journal: &mut Journal) -> Result<Vec<LeftRunning>, EngineError> {
        let phase = journal.state().phase();
        if phase.is_end() {
            return Err(EngineError::Ended {
                phase: phase.word(),
            });
        }
        let state = journal.state().clone();
        let header = journal.header().clone();
        let by = self.settings.by.clone();
        journal.append(self.clock.now_milliseconds(), Event::Aborted { by })?;
        let request = self.request(&header);
        for (host, epoch) in state.epochs() {
            let question = self.agents.release_lease(host, &request, *epoch);
            // A lease that cannot be given back runs out.
            let _ = tokio::time::timeout(Duration::from_secs(5), question).await;
        }
        let in_flight = state.steps().iter().filter(|(_, step)| {
            matches!(step.state, StepState::Running(_) | StepState::Undoing(_))
        });
        Ok(in_flight
            .filter_map(|(id, _)| {
                let host = header.plan.step(*id)?.host.clone();
                Some(LeftRunning { step: *id, host })
            })
            .collect())
    }

    fn request(&self, header: &Header) -> LeaseRequest {
        LeaseRequest {
            deployment: header.deployment,
            holder: self.settings.by.clone(),
            rollout: header.rollout.to_string(),
        }
    }

    async fn under_leases(
        &self,
        header: &Header,
        recorder: &Recorder<'_>,
        events: &dyn RolloutEvents,
        stop: &StopSignal,
    ) -> Result<RolloutResult, Halt> {
        let hosts = header.plan.hosts();
        let taking = Leases::take(
            self.agents.as_ref(),
            self.request(header),
            &hosts,
            self.settings.lease_wait,
            events,
        );
        let taken = tokio::select! {
            biased;
            reason = stop.wait() => return Err(Halt::Stopped { reason }),
            taken = taking => taken,
        };
        let leases = match taken {
            Ok(leases) => leases,
            Err(error) => return no_leases(recorder, error),
        };
        let run = Run {
            agents: self.agents.as_ref(),
            issuers: self.issuers.as_ref(),
            clock: self.clock.as_ref(),
            events,
            stop,
            plan: &header.plan,
            recorder,
            leases: &leases,
            running_wait: self.settings.running_wait,
        };
        let result = tokio::select! {
            biased;
            result = run.to_its_end() => result,
            () = leases.keep() => Err(Halt::Stopped { reason: "leases are not kept any more".to_owned() }),
        };
        leases.release().await;
        result
    }
}

impl Run<'_> {
    async fn to_its_end(&self) -> Result<RolloutResult, Halt> {
        self.recorder.record(Event::LeasesTaken {
            epochs: self.leases.epochs(),
        })?;
        if *self.recorder.state().phase() == Phase::Preparing {
            if let Some(refusal) = self.prepare().await? {
                return refuse(self.recorder, refusal);
            }
            return self.waves().await;
        }
        if let Some(refusal) = self.wait_for_others().await? {
            self.recorder.record(Event::Interrupted {
                reason: refusal.to_string(),
            })?;
            return Ok(RolloutResult::NotResumed(refusal));
        }
        if let Some(reason) = self.check_machines().await? {
            return match self.recorder.state().phase() {
                Phase::Running | Phase::Failing { .. } => self.hold(
                    reason,
                    "`omni-scale abort` this rollout, then plan again".to_owned(),
                ),
                _ => Err(Halt::Stopped { reason }),
            };
        }
        self.waves().await
    }
}

fn refuse(recorder: &Recorder<'_>, refusal: Refusal) -> Result<RolloutResult, Halt> {
    recorder.record(Event::Refused {
        refusal: refusal.clone(),
    })?;
    Ok(RolloutResult::Refused(refusal))
}

/// Without leases a new rollout is over, and one that had begun waits for its next run.
fn no_leases(recorder: &Recorder<'_>, error: AgentError) -> Result<RolloutResult, Halt> {
    let reason = chain(&error);
    let failure = StepFailure::of(&error);
    let refusal = match error {
        AgentError::Held { host, holder, .. } => Refusal::Locked {
            host,
            holder: Some(holder),
            reason,
        },
        AgentError::LeaseLost { host, holder, .. } => Refusal::Locked {
            host,
            holder,
            reason,
        },
        AgentError::Unreachable { host, .. }
        | AgentError::Unknown { host, .. }
        | AgentError::Unavailable { host, .. } => Refusal::Unreachable {
            hosts: [(host, reason)].into(),
        },
        AgentError::Refused { .. } | AgentError::NotEnrolled { .. } | AgentError::Faulty { .. } => {
            Refusal::NotAllowed { failure }
        }
    };
    if *recorder.state().phase() == Phase::Preparing {
        return refuse(recorder, refusal);
    }
    recorder.record(Event::Interrupted {
        reason: refusal.to_string(),
    })?;
    Ok(RolloutResult::NotResumed(refusal))
}

/// Writes down why a run ends before its rollout does.
fn conclude(recorder: &Recorder<'_>, halt: Halt) -> Result<RolloutResult, JournalError> {
    match halt {
        Halt::Journal(error) => Err(error),
        Halt::LeaseLost { host, holder } => {
            recorder.record(Event::Interrupted {
                reason: format!("the lease of host `{host}` was lost"),
            })?;
            Ok(RolloutResult::LeaseLost { host, holder })
        }
        Halt::Stopped { reason } => {
            recorder.record(Event::Interrupted {
                reason: reason.clone(),
            })?;
            Ok(RolloutResult::Interrupted { reason })
        }
        Halt::Unknown { step, reason } => {
            let reason = format!("what step {step} has done is not known: {reason}");
            let advice = "once the host answers again, `omni-scale resume` looks first".to_owned();
            recorder.record(Event::Held {
                reason: reason.clone(),
                advice: advice.clone(),
            })?;
            Ok(RolloutResult::Held {
                reason,
                advice,
                failed: Vec::new(),
            })
        }
    }
}
