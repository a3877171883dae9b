//! What the parts of one run of the engine share.

use std::future::Future;
use std::time::Duration;

use omni_scale_proto::id::HostName;
use tokio::time::sleep;

use super::clock::WallClock;
use super::event::{Event, RolloutEvents};
use super::leases::{LeaseTrouble, Leases};
use super::recorder::Recorder;
use super::stop::StopSignal;
use crate::agents::{AgentError, Agents, Holder};
use crate::journal::JournalError;
use crate::login::Issuers;
use crate::plan::{Plan, StepId};

/// One run of a rollout, under its leases.
pub(super) struct Run<'a> {
    pub(super) agents: &'a dyn Agents,
    pub(super) issuers: &'a dyn Issuers,
    pub(super) clock: &'a dyn WallClock,
    pub(super) events: &'a dyn RolloutEvents,
    pub(super) stop: &'a StopSignal,
    pub(super) plan: &'a Plan,
    pub(super) recorder: &'a Recorder<'a>,
    pub(super) leases: &'a Leases<'a>,
    pub(super) running_wait: Duration,
}

/// Why a run ends before its rollout does.
#[derive(Debug)]
pub(super) enum Halt {
    /// The journal cannot be written: nothing more may be done.
    Journal(JournalError),
    /// A lease is lost.
    LeaseLost {
        host: HostName,
        holder: Option<Holder>,
    },
    /// The operator has asked.
    Stopped { reason: String },
    /// What an operation has done could not be found out in time.
    Unknown { step: StepId, reason: String },
}

impl From<JournalError> for Halt {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl Run<'_> {
    /// Waits for `work`, but not when the operator asks to stop.
    pub(super) async fn unless_stopped<Answer>(
        &self,
        work: impl Future<Output = Answer>,
    ) -> Result<Answer, Halt> {
        tokio::select! {
            biased;
            reason = self.stop.wait() => Err(Halt::Stopped { reason }),
            answer = work => Ok(answer),
        }
    }

    pub(super) async fn pause(&self, time: Duration) -> Result<(), Halt> {
        self.unless_stopped(sleep(time)).await
    }

    /// The epoch to act under. A lease that had to be taken again is written down.
    pub(super) async fn epoch(
        &self,
        host: &HostName,
    ) -> Result<Result<u64, Box<AgentError>>, Halt> {
        let before = self.leases.epochs();
        let epoch = match self.leases.epoch(host).await {
            Ok(epoch) => epoch,
            Err(LeaseTrouble::Unsure(error)) => return Ok(Err(error)),
            Err(LeaseTrouble::Lost { host, holder }) => {
                return Err(Halt::LeaseLost { host, holder });
            }
        };
        let epochs = self.leases.epochs();
        if epochs != before {
            self.recorder.record(Event::LeasesTaken { epochs })?;
        }
        Ok(Ok(epoch))
    }
}
