//! What systemd says of one unit, in its own words.

use std::fmt;
use std::path::PathBuf;

/// A unit as seen at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// `loaded`, `not-found`, `masked` …
    pub load_state: String,
    /// The file that the unit was read from. Absent: systemd names none.
    pub fragment: Option<PathBuf>,
    /// Whether it runs.
    pub active_state: ActiveState,
    /// `running`, `dead`, `auto-restart` …
    pub sub_state: String,
    /// How the last run ended: `success`, `exit-code`, `start-limit-hit` …
    pub result: String,
    /// Automatic restarts since the last start that was asked for.
    pub restarts: u32,
    /// Exit status, or signal, of the last run.
    pub exec_main_status: i32,
    /// 0: no process.
    pub main_pid: u32,
    /// One run of the unit. Absent: never started in this boot.
    pub invocation: Option<InvocationId>,
    /// Milliseconds since the Unix epoch. 0: never active in this boot.
    pub active_since_milliseconds: i64,
    /// The condition that kept the last start from happening.
    pub failed_condition: Option<String>,
}

impl UnitState {
    /// Whether the program runs and systemd has nothing more to do to it.
    pub fn is_running(&self) -> bool {
        self.active_state == ActiveState::Active && self.main_pid != 0
    }

    /// Whether the program has ended and systemd is about to start it again.
    pub fn is_restarting_by_itself(&self) -> bool {
        self.sub_state.starts_with("auto-restart")
    }

    /// State and sub-state as people know them: `active (running)`.
    pub fn summary(&self) -> String {
        format!("{} ({})", self.active_state, self.sub_state)
    }
}

/// systemd's coarse state of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ActiveState {
    /// Started.
    Active,
    /// Started, and reading its configuration again.
    Reloading,
    /// Stopped.
    Inactive,
    /// Stopped, and not as it should.
    Failed,
    /// On the way up.
    Activating,
    /// On the way down.
    Deactivating,
    /// A word of a systemd that is newer than this program.
    Other(String),
}

impl ActiveState {
    /// systemd's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for ActiveState {
    fn from(word: &str) -> Self {
        match word {
            "active" => Self::Active,
            "reloading" => Self::Reloading,
            "inactive" => Self::Inactive,
            "failed" => Self::Failed,
            "activating" => Self::Activating,
            "deactivating" => Self::Deactivating,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for ActiveState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Identifies one run of a unit: 128 bits that systemd draws at each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InvocationId([u8; 16]);

impl InvocationId {
    /// Takes the bytes as they are on the bus; empty or all zero means that there is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The bytes as they are on the bus.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for InvocationId {
    /// 32 lower-case hex digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_systemd_comes_back_as_it_was() {
        for word in [
            "active",
            "reloading",
            "inactive",
            "failed",
            "activating",
            "deactivating",
            "refreshing",
        ] {
            assert_eq!(ActiveState::from(word).to_string(), word);
        }
    }

    #[test]
    fn no_invocation_is_not_an_invocation() {
        assert_eq!(InvocationId::from_bytes(&[]), None);
        assert_eq!(InvocationId::from_bytes(&[0; 16]), None);
        assert_eq!(
            InvocationId::from_bytes(&[0xab; 16]).unwrap().to_string(),
            "ab".repeat(16)
        );
    }
}
