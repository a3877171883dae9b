//! What happens in a rollout: the records of the journal, and what is told on the way.

use std::collections::BTreeMap;
use std::fmt;

use omni_scale_proto::id::{HostName, OperationId};
use omni_scale_proto::v1;
use serde::{Deserialize, Serialize};

use crate::agents::{AgentError, Class, Holder};
use crate::plan::{Deviation, StepId, Wave};

/// What the journal holds. Written before what it announces is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// A coordinator has begun, or gone on, to run the rollout.
    Started {
        /// For people: `operator@machine`.
        by: String,
    },
    /// The leases of all hosts are held.
    LeasesTaken {
        /// Epoch by host.
        epochs: BTreeMap<HostName, u64>,
    },
    /// The hosts are as the plan says, and every preflight check has passed.
    PreflightPassed {
        /// What should be known although it passed.
        warnings: Vec<String>,
    },
    /// Nothing was changed, and nothing will be by this rollout.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// An operation is about to be sent.
    StepStarted {
        /// The step.
        step: StepId,
        /// From 1. Rises with each try.
        attempt: u32,
        /// The operation's id.
        operation: OperationId,
        /// The target's generation that it asks for.
        generation: u64,
    },
    /// The answer to the running operation was lost; it is looked at, and asked for again.
    ReplyLost {
        /// The step.
        step: StepId,
        /// Why.
        reason: String,
    },
    /// An attempt has failed, and another one follows.
    AttemptFailed {
        /// The step.
        step: StepId,
        /// Which attempt.
        attempt: u32,
        /// Why.
        failure: StepFailure,
    },
    /// A step was done and verified.
    StepSucceeded {
        /// The step.
        step: StepId,
        /// The target's generation now.
        generation: u64,
        /// One line for people.
        summary: String,
        /// What should be known although it succeeded.
        warnings: Vec<String>,
    },
    /// A step's goal was found to hold already; nothing was done, or nothing more.
    StepAdopted {
        /// The step.
        step: StepId,
        /// The target's generation now.
        generation: u64,
    },
    /// What a step had done is not there any more: it is done again.
    StepGone {
        /// The step.
        step: StepId,
        /// What is missing.
        failure: StepFailure,
    },
    /// A step has failed for good.
    StepFailed {
        /// The step.
        step: StepId,
        /// Why.
        failure: StepFailure,
    },
    /// A gate's question could not be asked, and is asked again.
    GateAttemptFailed {
        /// The wave.
        wave: Wave,
        /// From 1.
        attempt: u32,
        /// Why.
        reason: String,
    },
    /// What a wave is for holds.
    GatePassed {
        /// The wave.
        wave: Wave,
        /// What should be known although it passed.
        warnings: Vec<String>,
    },
    /// What a wave is for does not hold.
    GateFailed {
        /// The wave.
        wave: Wave,
        /// Every check that did not pass.
        failed: Vec<FailedCheck>,
    },
    /// An operation that goes back is about to be sent.
    UndoStarted {
        /// The step that is undone.
        step: StepId,
        /// From 1.
        attempt: u32,
        /// The operation's id.
        operation: OperationId,
        /// The target's generation that it asks for.
        generation: u64,
    },
    /// An attempt to go back has failed, and another one follows.
    UndoAttemptFailed {
        /// The step that is undone.
        step: StepId,
        /// Which attempt.
        attempt: u32,
        /// Why.
        failure: StepFailure,
    },
    /// What was there before a step is there again.
    UndoFinished {
        /// The step that was undone.
        step: StepId,
        /// The target's generation now.
        generation: u64,
    },
    /// Going back has failed: only a person can go on.
    UndoFailed {
        /// The step that was to be undone.
        step: StepId,
        /// Why.
        failure: StepFailure,
    },
    /// The rollout stops here, in a known state, and can be resumed.
    Held {
        /// Why.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// The coordinator stops, and the rollout can be resumed.
    Interrupted {
        /// Why.
        reason: String,
    },
    /// Everything that the failed wave had done is undone. The end.
    Undone,
    /// An undo has failed. The end.
    Stuck,
    /// An operator has given the rollout up where it was. The end.
    Aborted {
        /// For people: `operator@machine`.
        by: String,
    },
    /// All of the plan is done. The end.
    Finished,
}

/// Why a rollout did not begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Refusal {
    /// The hosts are not any more what the plan was built on.
    BasisChanged {
        /// Every fact that differs.
        deviations: Vec<Deviation>,
    },
    /// Preflight checks have not passed.
    ChecksFailed {
        /// All of them.
        failed: Vec<FailedCheck>,
    },
    /// Another rollout holds a lease, or its operation still runs.
    Locked {
        /// Where.
        host: HostName,
        /// Who holds the lease. None: nobody; something still runs.
        holder: Option<Holder>,
        /// In words.
        reason: String,
    },
    /// Hosts do not answer.
    Unreachable {
        /// The whole chain of causes, by host.
        hosts: BTreeMap<HostName, String>,
    },
    /// An agent refuses.
    NotAllowed {
        /// Why.
        failure: StepFailure,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BasisChanged { deviations } => {
                write!(formatter, "the hosts are not what the plan was built on")?;
                deviations.iter().try_for_each(|one| {
                    write!(
                        formatter,
                        "; on host `{}` the {} is {} and was {}",
                        one.host, one.fact, one.found, one.planned
                    )
                })
            }
            Self::ChecksFailed { failed } => {
                write!(formatter, "checks have not passed")?;
                failed.iter().try_for_each(|one| {
                    write!(
                        formatter,
                        "; on host `{}` {}: {}",
                        one.host, one.title, one.summary
                    )
                })
            }
            Self::Locked { host, reason, .. } => {
                write!(formatter, "host `{host}` is locked: {reason}")
            }
            Self::Unreachable { hosts } => {
                write!(formatter, "hosts do not answer")?;
                hosts
                    .iter()
                    .try_for_each(|(host, reason)| write!(formatter, "; `{host}`: {reason}"))
            }
            Self::NotAllowed { failure } => formatter.write_str(&failure.message),
        }
    }
}

/// Why a step, or an attempt at it, has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepFailure {
    /// Decides about retrying.
    pub class: Class,
    /// The whole chain of causes.
    pub message: String,
    /// What to do. Empty: nothing known.
    pub hint: String,
    /// The last log lines, masked.
    pub evidence: Vec<String>,
    /// Whether the agent has stored this as the outcome of the operation, so that asking again
    /// with its id would only bring it back.
    pub operation_spent: bool,
}

/// A check that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedCheck {
    /// Who was asked.
    pub host: HostName,
    /// What should be true.
    pub title: String,
    /// What was found.
    pub summary: String,
    /// What to do. Empty: nothing known.
    pub hint: String,
    /// More lines. Masked.
    pub evidence: Vec<String>,
    /// Whether there was no answer, rather than a bad one.
    pub unknown: bool,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// From 1, without gaps.
    pub seq: u64,
    /// Milliseconds since the Unix epoch, by the coordinator's clock.
    pub time: i64,
    /// What happened.
    pub event: Event,
}

/// What a rollout tells while it runs. Losing it loses nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// Something was written to the journal.
    Recorded(Record),
    /// Something is waited for.
    Waiting {
        /// For what, on which host.
        what: String,
        /// The longest that it is waited for, in seconds.
        at_most_seconds: u64,
    },
    /// A running operation tells how far it is.
    Progress {
        /// Which step.
        step: StepId,
        /// Where.
        host: HostName,
        /// How far.
        progress: v1::Progress,
    },
    /// A check has been reported on, perhaps not for the last time.
    Checked {
        /// Which wave's gate.
        wave: Wave,
        /// Where.
        host: HostName,
        /// What it asks for.
        title: String,
        /// The answer.
        report: v1::CheckReport,
    },
    /// A lease could not be renewed yet.
    LeaseInDanger {
        /// Where.
        host: HostName,
        /// Why.
        reason: String,
    },
}

/// Where a rollout tells what happens. Must not block.
pub trait RolloutEvents: Send + Sync {
    /// Something happens.
    fn tell(&self, happening: Happening);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silence;

impl RolloutEvents for Silence {
    fn tell(&self, _: Happening) {}
}

impl StepFailure {
    /// An error of the port, with its whole chain of causes.
    pub fn of(error: &AgentError) -> Self {
        Self {
            class: error.class(),
            message: chain(error),
            hint: error.hint().unwrap_or_default().to_owned(),
            evidence: Vec::new(),
            operation_spent: false,
        }
    }

    /// What an operation has done could not be found out.
    pub(super) const fn unknown(message: String) -> Self {
        Self {
            class: Class::Transient,
            message,
            hint: String::new(),
            evidence: Vec::new(),
            operation_spent: false,
        }
    }

    /// The failure in an operation's outcome.
    pub fn in_outcome(failure: &v1::Failure) -> Self {
        Self {
            class: failure.failure_class().into(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
            evidence: failure.evidence.clone(),
            operation_spent: true,
        }
    }
}

/// An error and its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
