//! What is written down. The format is on disks: fields are added with a default, never renamed.

use omni_scale_proto::id::{DeploymentId, OperationId};
use omni_scale_proto::operation::Target;
use omni_scale_proto::v1;
use serde::{Deserialize, Serialize};

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Somebody got the lease.
    LeaseGranted(LeaseGranted),
    /// They gave it back.
    LeaseReleased {
        /// Which grant.
        epoch: u64,
    },
    /// An operation is about to begin.
    Started(Started),
    /// It has ended.
    Finished(Finished),
}

/// A grant of the lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGranted {
    /// Rises with each grant, for ever.
    pub epoch: u64,
    /// The deployment it was taken for.
    pub deployment: DeploymentId,
    /// Who, for people: `operator@machine`.
    pub holder: String,
    /// The rollout it is for.
    pub rollout: String,
    /// Milliseconds since the Unix epoch.
    pub since_milliseconds: i64,
}

impl LeaseGranted {
    /// Who holds it, for messages.
    pub fn whose(&self) -> String {
        format!("{} (rollout {})", self.holder, self.rollout)
    }
}

/// The intent of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Which operation.
    pub operation: OperationId,
    /// What it changes.
    pub target: Target,
    /// The target's generation from now on.
    pub generation: u64,
    /// The lease it runs under.
    pub epoch: u64,
    /// Who holds that lease, for messages.
    pub whose: String,
    /// A word for people: `apply`, `restart`.
    pub action: String,
    /// What the target shall become.
    pub desired_digest: String,
    /// Milliseconds since the Unix epoch.
    pub at_milliseconds: i64,
}

/// The end of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Which operation.
    pub operation: OperationId,
    /// What it changed.
    pub target: Target,
    /// How it ended.
    pub conclusion: Conclusion,
    /// Milliseconds since the Unix epoch.
    pub at_milliseconds: i64,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// It is done.
    Succeeded {
        /// One line for people.
        summary: String,
        /// What to know nevertheless.
        warnings: Vec<String>,
    },
    /// It is not done.
    Failed(FailureRecord),
    /// Nobody saw the end: what is there must be looked at.
    Unknown(FailureRecord),
}

/// Why an operation failed, masked and bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// `transient`, `refused`, `permanent` or `bug`.
    pub class: FailureClassRecord,
    /// What was tried on what, and why it failed.
    pub message: String,
    /// What to do next. Empty: nothing known.
    pub hint: String,
    /// The last log lines.
    pub evidence: Vec<String>,
}

/// The class of a failure, as written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClassRecord {
    /// May pass by itself.
    Transient,
    /// Not allowed here.
    Refused,
    /// Will fail again until somebody changes something.
    Permanent,
    /// A fault of the agent itself.
    Bug,
}

impl From<v1::FailureClass> for FailureClassRecord {
    fn from(class: v1::FailureClass) -> Self {
        match class {
            v1::FailureClass::Transient => Self::Transient,
            v1::FailureClass::Refused => Self::Refused,
            v1::FailureClass::Permanent => Self::Permanent,
            v1::FailureClass::Bug | v1::FailureClass::Unspecified => Self::Bug,
        }
    }
}

impl From<FailureClassRecord> for v1::FailureClass {
    fn from(class: FailureClassRecord) -> Self {
        match class {
            FailureClassRecord::Transient => Self::Transient,
            FailureClassRecord::Refused => Self::Refused,
            FailureClassRecord::Permanent => Self::Permanent,
            FailureClassRecord::Bug => Self::Bug,
        }
    }
}

impl Conclusion {
    /// The outcome as callers see it.
    pub fn outcome(&self, operation: &OperationId, generation: u64) -> v1::Outcome {
        let outcome = v1::Outcome {
            operation_id: operation.to_string(),
            generation,
            ..v1::Outcome::default()
        };
        match self {
            Self::Succeeded { summary, warnings } => v1::Outcome {
                summary: summary.clone(),
                warnings: warnings.clone(),
                ..outcome
            },
            Self::Failed(failure) | Self::Unknown(failure) => v1::Outcome {
                failure: Some(v1::Failure {
                    failure_class: v1::FailureClass::from(failure.class).into(),
                    message: failure.message.clone(),
                    hint: failure.hint.clone(),
                    evidence: failure.evidence.clone(),
                    outcome_unknown: matches!(self, Self::Unknown(_)),
                }),
                ..outcome
            },
        }
    }
}
