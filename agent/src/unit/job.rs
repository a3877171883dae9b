//! What can be done to a unit.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What can be done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Starts it; nothing when it runs.
    Start,
    /// Stops it; nothing when it does not run.
    Stop,
    /// Stops and starts it; starts it when it does not run.
    Restart,
}

impl Job {
    /// Whether the unit is meant to run after it.
    pub const fn starts(self) -> bool {
        match self {
            Self::Start | Self::Restart => true,
            Self::Stop => false,
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        })
    }
}
