//! How a run of the engine ends, and the exit code that says so. The only place that maps one
//! to the other.

use omni_scale_proto::id::HostName;

use super::event::{FailedCheck, Refusal};
use crate::agents::Holder;
use crate::exit::Exit;
use crate::plan::{PlanError, PlanRefusal};

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
    /// A rollout that had begun could not go on; nothing more was changed. `resume` goes on.
    NotResumed(Refusal),
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
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Done { .. } => Exit::Done,
            Self::Refused(refusal) | Self::NotResumed(refusal) => match refusal {
                Refusal::BasisChanged { .. }
                | Refusal::ChecksFailed { .. }
                | Refusal::NotAllowed { .. } => Exit::ChecksFailed,
                Refusal::Locked { .. } => Exit::Locked,
                Refusal::Unreachable { .. } => Exit::Unreachable,
            },
            Self::Held { .. } | Self::Interrupted { .. } | Self::Aborted => Exit::Held,
            Self::LeaseLost { .. } => Exit::Locked,
            Self::Undone { .. } => Exit::Undone,
            Self::Stuck { .. } => Exit::Stuck,
        }
    }
}

impl PlanError {
    /// The exit code's meaning.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Refused { refusals } => {
                let any = |wanted: Exit| refusals.iter().any(|one| one.exit() == wanted);
                // What a person must change comes before what may pass by itself.
                [Exit::ChecksFailed, Exit::Unreachable]
                    .into_iter()
                    .find(|status| any(*status))
                    .unwrap_or(Exit::Locked)
            }
            Self::Desired { .. } => Exit::Usage,
        }
    }
}

impl PlanRefusal {
    /// The exit code's meaning.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Running { .. } => Exit::Locked,
            Self::NotEnrolled { .. }
            | Self::OtherDeployment { .. }
            | Self::OtherHost { .. }
            | Self::ApiVersion { .. }
            | Self::Damaged { .. }
            | Self::UnlikeNetwork { .. }
            | Self::RoleMissing { .. }
            | Self::SameMachine { .. }
            | Self::ClockSkew { .. }
            | Self::StateUnknown { .. }
            | Self::ImageUnresolved { .. }
            | Self::SecretMissing { .. }
            | Self::NoPlace { .. }
            | Self::NoVmid { .. }
            | Self::HostElsewhere { .. }
            | Self::ForeignContainer { .. } => Exit::ChecksFailed,
        }
    }
}
