//! What a node says of a task.

use serde::Deserialize;

use crate::{Upid, tolerant};

/// Whether a task is at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// It is.
    Running,
    /// It is not any more.
    Ended {
        /// `OK`, `WARNINGS: n`, `unexpected status`, or what went wrong.
        exit_status: String,
    },
}

impl TaskState {
    /// Whether an exit status means success, warnings included.
    pub(crate) fn is_success(exit_status: &str) -> bool {
        exit_status == "OK" || exit_status.starts_with("WARNINGS")
    }
}

/// The answer to `…/tasks/{upid}/status`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawStatus")]
pub struct TaskStatus {
    /// Whether it is at work.
    pub state: TaskState,
}

impl TaskStatus {
    /// Whether there is more to say of its end than that all is well.
    pub(crate) fn needs_log(&self) -> bool {
        matches!(&self.state, TaskState::Ended { exit_status } if exit_status != "OK")
    }
}

#[derive(Deserialize)]
struct RawStatus {
    #[serde(deserialize_with = "tolerant::required")]
    status: String,
    #[serde(default, deserialize_with = "tolerant::optional")]
    exitstatus: Option<String>,
}

impl TryFrom<RawStatus> for TaskStatus {
    type Error = String;

    fn try_from(raw: RawStatus) -> Result<Self, Self::Error> {
        let state = match (raw.status.as_str(), raw.exitstatus) {
            ("running", _) => TaskState::Running,
            // A task that left no exit status did not say that all is well.
            ("stopped", exit_status) => TaskState::Ended {
                exit_status: exit_status.unwrap_or_else(|| "unexpected status".to_owned()),
            },
            (other, _) => return Err(format!("`{other}` is no state of a task")),
        };
        Ok(Self { state })
    }
}

/// A row of `/nodes/{node}/tasks`. Who asked is part of the UPID; the row's own `user` leaves the token's name out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "RawEntry")]
pub struct TaskEntry {
    /// Which task.
    pub upid: Upid,
    /// Whether it is at work. Rows of the archive have their exit status, active ones `RUNNING` or nothing.
    pub state: TaskState,
}

#[derive(Deserialize)]
struct RawEntry {
    upid: Upid,
    #[serde(default, deserialize_with = "tolerant::text")]
    status: Option<String>,
    #[serde(default, deserialize_with = "tolerant::optional")]
    endtime: Option<u64>,
}

impl From<RawEntry> for TaskEntry {
    fn from(raw: RawEntry) -> Self {
        let state = match (raw.status, raw.endtime) {
            (Some(status), _) if status.eq_ignore_ascii_case("running") => TaskState::Running,
            (Some(exit_status), _) => TaskState::Ended { exit_status },
            (None, Some(_)) => TaskState::Ended {
                exit_status: "unexpected status".to_owned(),
            },
            (None, None) => TaskState::Running,
        };
        Self {
            upid: raw.upid,
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn an_end_without_a_word_is_no_success() {
        let state = |value| from_value::<TaskStatus>(value).map(|status| status.state);
        assert_eq!(
            state(json!({ "status": "running" })).unwrap(),
            TaskState::Running
        );
        let ended = |exit_status: &str| TaskState::Ended {
            exit_status: exit_status.into(),
        };
        assert_eq!(
            state(json!({ "status": "stopped", "exitstatus": "OK" })).unwrap(),
            ended("OK")
        );
        assert_eq!(
            state(json!({ "status": "stopped" })).unwrap(),
            ended("unexpected status")
        );
        assert!(state(json!({ "status": "asleep" })).is_err());
        assert!(
            TaskState::is_success("WARNINGS: 2") && !TaskState::is_success("unexpected status")
        );
    }

    #[test]
    fn rows_are_active_or_archived() {
        let upid = "UPID:pve1:0000C3F1:0A1B2C3D:65A1B2C3:qmcreate:105:omni@pve!scale:";
        let state = |mut row: serde_json::Value| {
            row["upid"] = upid.into();
            from_value::<TaskEntry>(row).unwrap().state
        };
        assert_eq!(state(json!({ "status": "RUNNING" })), TaskState::Running);
        assert_eq!(state(json!({})), TaskState::Running);
        let ended = state(
            json!({ "status": "VM is locked (create)", "endtime": 1, "user": "omni@pve", "tokenid": "scale" }),
        );
        assert!(matches!(ended, TaskState::Ended { .. }));
        assert!(matches!(
            state(json!({ "endtime": "1" })),
            TaskState::Ended { .. }
        ));
    }
}
