//! The product's own answer: whether the issuer serves its discovery document and keys.
//!
//! [`IssuerProbe`] is the port; the adapter asks with omni-scale-probe, in this process.

mod probe;
mod suffix;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use self::probe::HttpsProbe;
pub use self::suffix::suffixed;

/// What the product answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The discovery document is this issuer's, and its keys are there.
    Passed {
        /// For people.
        summary: String,
    },
    /// It answers otherwise, or not at all.
    Failed {
        /// What was found, as a lowercase fragment.
        reason: String,
        /// Whether waiting may help.
        may_pass: bool,
    },
    /// It could not be asked from here.
    Unknown {
        /// Why not.
        reason: String,
    },
}

impl Answer {
    /// One line for people.
    pub fn text(&self) -> &str {
        match self {
            Self::Passed { summary } => summary,
            Self::Failed { reason, .. } | Self::Unknown { reason } => reason,
        }
    }
}

/// Asks an issuer for its own answer.
#[async_trait]
pub trait IssuerProbe: fmt::Debug + Send + Sync {
    /// Asks once, at most for `within`. `extra_roots_pem` is trusted beside the host's authorities.
    async fn ask(&self, issuer: &str, extra_roots_pem: &str, within: Duration) -> Answer;
}
