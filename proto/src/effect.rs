//! How much a change disturbs.

use serde::{Deserialize, Serialize};

/// What a change does to what runs. Ordered by how much it disturbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Nothing changes.
    None,
    /// Something that does not run begins to.
    Start,
    /// Something that runs is stopped and started again.
    Restart,
    /// A container is replaced; volumes stay.
    Recreate,
    /// A tailnet node gets another name or another state, or a service another volume: what it
    /// was and what it knew stays behind.
    Identity,
}

impl Effect {
    /// The word in plans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Recreate => "recreate",
            Self::Identity => "identity",
        }
    }
}

impl std::fmt::Display for Effect {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What was observed cannot be compared: it is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state of {subject} is unknown: {reason}")]
pub struct UnknownState {
    /// The unit or stack.
    pub subject: String,
    /// Why it is unknown.
    pub reason: String,
}
