//! What was done and what came of it, in lines that can be compared between two servers.

use std::fmt::Debug;

use omni_scale_proxmox::{Error, Upid, WaitError};
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// The lines of one scenario. They hold no times, digests or numbers of processes.
#[derive(Debug, Default)]
pub(crate) struct Transcript(pub(crate) Vec<String>);

impl Transcript {
    /// A line of its own.
    pub(crate) fn say(&mut self, line: impl Into<String>) {
        self.0.push(line.into());
    }

    /// What came of a call; its value when it succeeded.
    pub(crate) fn call<T>(&mut self, what: &str, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => {
                self.say(format!("{what}: ok"));
                Some(value)
            }
            Err(error) => {
                self.say(format!("{what}: {}", refusal(&error)));
                None
            }
        }
    }

    /// What came of a call that begins a task, and of the task.
    pub(crate) async fn task(
        &mut self,
        world: &World,
        what: &str,
        result: Result<Upid, Error>,
    ) -> Option<Upid> {
        let upid = match result {
            Ok(upid) => upid,
            Err(error) => {
                self.say(format!("{what}: {}", refusal(&error)));
                return None;
            }
        };
        let ended = world
            .client
            .wait(&upid, &world.patience, &CancellationToken::new(), None)
            .await;
        let kind = upid.kind();
        self.say(match ended {
            Ok(end) if end.warnings.is_empty() => format!("{what}: {kind} ok"),
            Ok(_) => format!("{what}: {kind} ok with warnings"),
            Err(WaitError::Failed(failure)) => {
                format!(
                    "{what}: {kind} failed, {:?}, {:?}",
                    failure.complaint,
                    WaitError::Failed(failure.clone()).class()
                )
            }
            Err(other) => format!("{what}: {other}"),
        });
        Some(upid)
    }

    /// A value that both servers must agree about.
    pub(crate) fn value(&mut self, what: &str, value: impl Debug) {
        self.say(format!("{what}: {value:?}"));
    }
}

fn refusal(error: &Error) -> String {
    let class = error.class();
    match error {
        Error::Answered {
            status,
            parameters,
            complaint,
            ..
        } if parameters.is_empty() => {
            format!("{status} {complaint:?}, {class:?}")
        }
        Error::Answered {
            status,
            parameters,
            complaint,
            ..
        } => {
            let names: Vec<&str> = parameters.keys().map(String::as_str).collect();
            format!("{status} {complaint:?} in {}, {class:?}", names.join(" "))
        }
        Error::Forbidden {
            missing: Some(missing),
            ..
        } => format!("403 for {missing}, {class:?}"),
        Error::Forbidden { missing: None, .. } => format!("403, {class:?}"),
        Error::Unauthorized { .. } => format!("401, {class:?}"),
        Error::Lost { .. } => format!("lost, {class:?}"),
        other => format!("{other}, {class:?}"),
    }
}
