//! How a piece of work ends.

use omni_scale_proto::v1::{self, FailureClass};

use crate::error::chain;

/// Work that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// One line for people: what was done.
    pub summary: String,
    /// What to know although it succeeded.
    pub warnings: Vec<String>,
}

impl Done {
    /// Done, with nothing to warn about.
    pub fn new(summary: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            warnings: Vec::new(),
        }
    }
}

/// Work that failed, in words an operator can act on. Holds no secret values.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Decides about retrying and about exit codes.
    pub class: FailureClass,
    /// What was tried on what, and why it failed: the whole chain of causes.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The last log lines, masked.
    pub evidence: Vec<String>,
}

impl Failure {
    /// A failure of a class, with no hint and no evidence yet.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            hint: None,
            evidence: Vec::new(),
        }
    }

    /// Takes an error with its whole chain of causes.
    pub fn from_error(class: FailureClass, error: &dyn std::error::Error) -> Self {
        Self::new(class, chain(error))
    }

    /// Says what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds log lines.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Vec<String>) -> Self {
        self.evidence = evidence;
        self
    }
}

impl From<Failure> for v1::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            failure_class: failure.class.into(),
            message: failure.message,
            hint: failure.hint.unwrap_or_default(),
            evidence: failure.evidence,
            outcome_unknown: false,
        }
    }
}
