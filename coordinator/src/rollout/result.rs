//! How a run of the engine ends, and the exit code that says so. The only place that maps one
//! to the other.

use omni_scale_proto::id::HostName;

use super::event::{FailedCheck, Refusal};
use crate::agents::Holder;
use crate::plan::{PlanError, PlanRefusal};

/// The documented exit codes of commands that run or make plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// Everything that was asked for is done.
    Done,
    /// omni-scale itself failed: its files, its own faults.
    Failed,
    /// The command line or the deployment cannot be meant.
    Usage,
    /// Something that must be true is not; nothing was changed.
    ChecksFailed,
    /// Stopped in a known state; `resume` goes on.
    Held,
    /// What had been begun was undone.
    Undone,
    /// An undo failed; only a person can go on.
    Stuck,
    /// Somebody else is at work.
    Locked,
    /// A host does not answer.
    Unreachable,
}

impl ExitStatus {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::ChecksFailed => 3,
            Self::Held => 4,
            Self::Undone => 5,
            Self::Stuck => 6,
            Self::Locked => 7,
            Self::Unreachable => 8,
        }
    }
}

/// How a run of the engine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutResult {
    /// All of the plan is done, or there was nothing to do.
    Done {
        /// False: there was nothing to do.
        changed: bool,
    },
    /// Nothing was changed.
    Refused(Refusal),
    /// Stopped in a known state. `resume` goes on.
    Held {
        /// Why.
        reason: String,
        /// What to do.
        advice: String,
        /// The checks behind it, if any.
        failed: Vec<FailedCheck>,
    },
    /// The lease was lost on the way. `resume` goes on once it is free.
    LeaseLost {
        /// Where.
        host: HostName,
        /// Who holds it now. None: nobody, or it is not known.
        holder: Option<Holder>,
    },
    /// The coordinator was asked to stop. `resume` goes on.
    Interrupted {
        /// Why.
        reason: String,
    },
    /// What the failed wave had done is undone.
    Undone {
        /// Why it failed.
        reason: String,
    },
    /// An undo failed.
    Stuck {
        /// Why.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// An operator has given it up.
    Aborted,
}

impl RolloutResult {
    /// The exit code's meaning.
    pub const fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Done { .. } => ExitStatus::Done,
            Self::Refused(refusal) => match refusal {
                Refusal::BasisChanged { .. }
                | Refusal::ChecksFailed { .. }
                | Refusal::NotAllowed { .. } => ExitStatus::ChecksFailed,
                Refusal::Locked { .. } => ExitStatus::Locked,
                Refusal::Unreachable { .. } => ExitStatus::Unreachable,
            },
            Self::Held { .. } | Self::Interrupted { .. } | Self::Aborted => ExitStatus::Held,
            Self::LeaseLost { .. } => ExitStatus::Locked,
            Self::Undone { .. } => ExitStatus::Undone,
            Self::Stuck { .. } => ExitStatus::Stuck,
        }
    }
}

impl PlanError {
    /// The exit code's meaning.
    pub fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Refused { refusals } => {
                let any =
                    |wanted: ExitStatus| refusals.iter().any(|one| one.exit_status() == wanted);
                // What a person must change comes before what may pass by itself.
                [ExitStatus::ChecksFailed, ExitStatus::Unreachable]
                    .into_iter()
                    .find(|status| any(*status))
                    .unwrap_or(ExitStatus::Locked)
            }
            Self::Desired { .. } => ExitStatus::Usage,
        }
    }
}

impl PlanRefusal {
    /// The exit code's meaning.
    pub const fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Unreachable { .. } => ExitStatus::Unreachable,
            Self::Running { .. } => ExitStatus::Locked,
            Self::NotEnrolled { .. }
            | Self::OtherDeployment { .. }
            | Self::OtherHost { .. }
            | Self::ApiVersion { .. }
            | Self::RoleMissing { .. }
            | Self::SameMachine { .. }
            | Self::ClockSkew { .. }
            | Self::StateUnknown { .. }
            | Self::ImageUnresolved { .. }
            | Self::SecretMissing { .. }
            | Self::ForeignContainer { .. } => ExitStatus::ChecksFailed,
        }
    }
}
