//! Why an operation does not begin. Once it has begun, it ends in an outcome.

use omni_scale_proto::id::{DeploymentId, InvalidId, OperationId};
use omni_scale_proto::operation::{InvalidOperation, Target};
use omni_scale_proto::v1;

use crate::error::{Classified, Kind};
use crate::lease::LeaseError;
use crate::ledger::LedgerError;

/// Why an operation was not begun. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// There is no deployment to work for yet.
    #[error("this agent is not enrolled in a deployment")]
    NotEnrolled,
    /// The caller works for another deployment.
    #[error("this agent serves deployment {serves}, not {asked}")]
    OtherDeployment {
        /// Whom the caller works for.
        asked: DeploymentId,
        /// Whom this agent works for.
        serves: DeploymentId,
    },
    /// The request carries no operation, or a malformed one.
    #[error(transparent)]
    Invalid(#[from] InvalidOperation),
    /// An identifier in the request is malformed.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The caller's lease is not in force.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Another operation has set this generation, or a later one.
    #[error(
        "generation {asked} of {target} is out of date: generation {current} was set by operation {operation} of {whose}"
    )]
    StaleGeneration {
        /// What was to be changed.
        target: Target,
        /// The generation in the request.
        asked: u64,
        /// The target's generation.
        current: u64,
        /// The operation that set it.
        operation: OperationId,
        /// The holder and rollout it belonged to.
        whose: String,
    },
    /// One mutation per target at a time.
    #[error("operation {operation} of {whose} is running on {target}")]
    Busy {
        /// What was to be changed.
        target: Target,
        /// The operation that runs.
        operation: OperationId,
        /// The holder and rollout it belongs to.
        whose: String,
    },
    /// The agent is stopping.
    #[error("the agent is stopping and begins nothing new")]
    Stopping,
    /// The intent could not be written down.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Classified for OperationError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotEnrolled | Self::OtherDeployment { .. } | Self::StaleGeneration { .. } => {
                Kind::Stale
            }
            Self::Invalid(_) | Self::Id(_) => Kind::Invalid,
            Self::Lease(error) => error.kind(),
            Self::Busy { .. } => Kind::Busy,
            Self::Stopping => Kind::Unavailable,
            Self::Ledger(error) => error.kind(),
        }
    }

    fn lease_lost(&self) -> Option<v1::LeaseLost> {
        match self {
            Self::Lease(error) => error.lease_lost(),
            _ => None,
        }
    }
}
