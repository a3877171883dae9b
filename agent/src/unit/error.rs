//! How asking the service manager fails.

use std::error::Error;
use std::time::Duration;

use omni_scale_proto::v1::FailureClass;

use super::job::Job;
use crate::operation::Failure;

/// What the adapter's own library said. Its type stays in the adapter.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why systemd did not do, or did not say, what was asked.
#[derive(Debug, thiserror::Error)]
pub enum UnitsError {
    /// The bus or systemd cannot be asked, or stopped answering.
    #[error("cannot ask systemd to {attempt}")]
    Unreachable {
        /// What was tried: `start `tsidp.service``.
        attempt: String,
        /// What the connection said.
        #[source]
        source: Cause,
    },
    /// systemd knows no such unit.
    #[error("systemd has no unit `{unit}`")]
    NotFound {
        /// The unit.
        unit: String,
    },
    /// The agent's user may not do this.
    #[error("systemd does not allow this user to {attempt}: {text}")]
    Denied {
        /// What was tried.
        attempt: String,
        /// systemd's words.
        text: String,
    },
    /// systemd refused for a reason of its own.
    #[error("systemd refused to {attempt}: {text} ({name})")]
    Rejected {
        /// What was tried.
        attempt: String,
        /// Name of the D-Bus error.
        name: String,
        /// systemd's words.
        text: String,
    },
    /// The job did not end in time. It goes on.
    #[error("the {job} job of `{unit}` did not end within {} s", bound.as_secs())]
    JobTimedOut {
        /// The unit.
        unit: String,
        /// The job.
        job: Job,
        /// How long it was waited for.
        bound: Duration,
    },
    /// The job ended, and not well.
    #[error(
        "the {job} job of `{unit}` ended as `{outcome}`, the unit as `{result}`, its program with status {status}"
    )]
    JobFailed {
        /// The unit.
        unit: String,
        /// The job.
        job: Job,
        /// systemd's word for the end of the job.
        outcome: JobOutcome,
        /// systemd's word for the end of the unit's last run; `unknown` when it could not be read.
        result: String,
        /// Exit status of the unit's last run.
        status: i32,
    },
    /// The start was skipped, which systemd counts as done.
    #[error("`{unit}` was not started: its condition {condition} is not met")]
    ConditionFailed {
        /// The unit.
        unit: String,
        /// `ConditionPathExists=/some/path`.
        condition: String,
    },
    /// systemd answered in a way that this program does not understand.
    #[error("systemd's answer about `{unit}` is not understood: {what}")]
    Unreadable {
        /// The unit.
        unit: String,
        /// What is missing or has another type.
        what: String,
    },
}

/// How systemd says that a job ended, when it did not end as `done`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// The unit's own fault.
    Failed,
    /// Another job took its place.
    Canceled,
    /// systemd's bound on the job ran out.
    TimedOut,
    /// A unit that it needs failed.
    Dependency,
    /// There was nothing to do it to.
    Skipped,
    /// Another word: `assert`, `unsupported`, `collected`, `once` …
    Other(String),
}

impl JobOutcome {
    /// Reads systemd's word; `None` when the job was done.
    pub fn read(word: &str) -> Option<Self> {
        Some(match word {
            "done" => return None,
            "failed" => Self::Failed,
            "canceled" => Self::Canceled,
            "timeout" => Self::TimedOut,
            "dependency" => Self::Dependency,
            "skipped" => Self::Skipped,
            other => Self::Other(other.to_owned()),
        })
    }
}

impl std::fmt::Display for JobOutcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::TimedOut => "timeout",
            Self::Dependency => "dependency",
            Self::Skipped => "skipped",
            Self::Other(word) => word,
        })
    }
}

impl UnitsError {
    /// Decides about retrying.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Unreachable { .. } | Self::JobTimedOut { .. } => FailureClass::Transient,
            Self::JobFailed { outcome, .. } => match outcome {
                JobOutcome::Canceled | JobOutcome::TimedOut => FailureClass::Transient,
                JobOutcome::Failed
                | JobOutcome::Dependency
                | JobOutcome::Skipped
                | JobOutcome::Other(_) => FailureClass::Permanent,
            },
            Self::Denied { .. } => FailureClass::Refused,
            Self::NotFound { .. }
            | Self::Rejected { .. }
            | Self::ConditionFailed { .. }
            | Self::Unreadable { .. } => FailureClass::Permanent,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some("see `systemctl status dbus` on the host"),
            Self::NotFound { .. } => {
                Some("the package `omni-scale-agent` brings the unit: install it again")
            }
            Self::Denied { .. } => Some(
                "the polkit rule `50-omni-scale.rules` allows it to the user `omni-scale`: see that it and the package `polkitd` are installed, in a version from 0.106 on: older ones (Ubuntu 22.04) read no such rules",
            ),
            Self::JobFailed {
                outcome: JobOutcome::Canceled,
                ..
            } => Some(
                "somebody else started or stopped the unit at the same time: run the command again",
            ),
            Self::ConditionFailed { .. } => Some(
                "the unit lacks its program or its configuration: `omni-scale apply` brings them",
            ),
            Self::Rejected { .. }
            | Self::JobTimedOut { .. }
            | Self::JobFailed { .. }
            | Self::Unreadable { .. } => None,
        }
    }
}

impl From<UnitsError> for Failure {
    fn from(error: UnitsError) -> Self {
        let failure = Self::from_error(error.class(), &error);
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
