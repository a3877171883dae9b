//! Waiting for a task: asked seldom, bounded, and given up when the caller says so.
//!
//! To give up waiting is not to stop the task: [`Client::stop_task`] does that.

use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{Class, Client, Complaint, Error as CallError, Upid, answer::clean};

use super::{LogLine, TaskState, log::Reader};

/// How long to wait for a task, and how often to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Before the first question. Doubled after each, up to `longest`. 0.5 s.
    pub first: Duration,
    /// Between later questions. 5 s.
    pub longest: Duration,
    /// How long a task may be unknown at the beginning: a node answers "no such task" right after it has begun
    /// one. 10 s.
    pub appear: Duration,
    /// For everything.
    pub limit: Duration,
}

impl Patience {
    /// The usual pace, for at most `limit`.
    pub fn up_to(limit: Duration) -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(5),
            appear: Duration::from_secs(10),
            limit,
        }
    }
}

impl Patience {
    fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        let longest = self.longest;
        std::iter::successors(Some(self.first), move |pause| {
            Some(pause.saturating_mul(2).min(longest))
        })
    }
}

/// How a task ended well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskEnd {
    /// Its warnings, to be shown: `WARNINGS: n` is success. One that says nothing more when the log cannot be read.
    pub warnings: Vec<String>,
}

/// How a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("task {upid} failed: {exit_status}{}", lines(.log))]
pub struct TaskFailure {
    /// Which.
    pub upid: Upid,
    /// Proxmox's words.
    pub exit_status: String,
    /// What the words mean.
    pub complaint: Complaint,
    /// The last lines of its log; empty when it cannot be read.
    pub log: Vec<String>,
}

/// Why there is no good end to report.
#[derive(Debug, Error)]
pub enum WaitError {
    /// The task has ended, and failed.
    #[error(transparent)]
    Failed(Box<TaskFailure>),
    /// It has not ended in time. It may still.
    #[error("task {upid} has not ended within {} s", .after.as_secs())]
    TimedOut {
        /// Which.
        upid: Upid,
        /// The time limit.
        after: Duration,
    },
    /// The caller stopped waiting.
    #[error("waiting for task {upid} was given up")]
    Cancelled {
        /// Which.
        upid: Upid,
    },
    /// It can no longer be asked about.
    #[error("what became of task {upid} cannot be learned")]
    Unobservable {
        /// Which.
        upid: Upid,
        /// Why.
        #[source]
        source: Box<CallError>,
    },
}

impl WaitError {
    /// What a caller may do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Failed(failure) => failure.complaint.class(),
            Self::TimedOut { .. } | Self::Cancelled { .. } | Self::Unobservable { .. } => {
                Class::Unknown
            }
        }
    }
}

fn lines(log: &[String]) -> String {
    log.iter()
        .flat_map(|line| ["\n  ", line.as_str()])
        .collect()
}

impl Client {
    /// Waits for the end of a task, and hands each line of its log to `watch` as it comes. Without a `watch`, the
    /// log is read only when the task did not simply succeed.
    ///
    /// Questions that fail for the moment are asked again until the time limit; the task is not harmed by them.
    pub async fn wait(
        &self,
        upid: &Upid,
        patience: &Patience,
        cancel: &CancellationToken,
        mut watch: Option<&mut (dyn FnMut(&LogLine) + Send)>,
    ) -> Result<TaskEnd, WaitError> {
        let began = Instant::now();
        let mut log = Reader::default();
        let mut pauses = patience.pauses();
        loop {
            let pause = pauses.next().unwrap_or(patience.longest);
            let left = patience.limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(WaitError::TimedOut {
                    upid: upid.clone(),
                    after: patience.limit,
                });
            }
            let question = async {
                sleep(pause.min(left)).await;
                let status = self.task_status(upid).await;
                // Read after the status: the log of a task that has ended is then complete. What it says is worth
                // showing, but not worth failing for.
                let _ = match (&status, &mut watch) {
                    (Ok(_), Some(watch)) => self.follow(upid, &mut log, watch).await,
                    (Ok(status), None) if status.needs_log() => {
                        self.follow(upid, &mut log, &mut |_| {}).await
                    }
                    _ => Ok(()),
                };
                status
            };
            let status = tokio::select! {
                status = question => status,
                () = cancel.cancelled() => return Err(WaitError::Cancelled { upid: upid.clone() }),
            };
            match status.map(|status| status.state) {
                Ok(TaskState::Ended { exit_status }) => return end(upid, &exit_status, log),
                Ok(TaskState::Running) => {}
                Err(error) => {
                    let not_yet = error.complaint() == Some(&Complaint::NoSuchTask)
                        && began.elapsed() < patience.appear;
                    if !not_yet && error.class() != Class::Transient {
                        return Err(WaitError::Unobservable {
                            upid: upid.clone(),
                            source: Box::new(error),
                        });
                    }
                }
            }
        }
    }

    /// Reads on in a task's log, to what is now its end.
    async fn follow(
        &self,
        upid: &Upid,
        log: &mut Reader,
        watch: &mut (dyn FnMut(&LogLine) + Send),
    ) -> Result<(), CallError> {
        while let Some(page) = log.next() {
            let lines = self.task_log_page(upid, page).await?;
            if !log.take(lines, watch) {
                break;
            }
        }
        Ok(())
    }
}

fn end(upid: &Upid, exit_status: &str, mut log: Reader) -> Result<TaskEnd, WaitError> {
    if exit_status == "OK" {
        return Ok(TaskEnd::default());
    }
    let exit_status = clean(exit_status);
    if TaskState::is_success(&exit_status) {
        let mut warnings = std::mem::take(&mut log.warnings);
        if warnings.is_empty() {
            warnings.push(exit_status);
        }
        return Ok(TaskEnd { warnings });
    }
    Err(WaitError::Failed(Box::new(TaskFailure {
        upid: upid.clone(),
        complaint: Complaint::read(&exit_status),
        exit_status,
        log: log.tail(),
    })))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use serde_json::json;

    use super::*;
    use crate::scripted::{Reply, Scripted};

    const UPID: &str = "UPID:pve1:0000C3F1:0A1B2C3D:65A1B2C3:qmcreate:105:omni@pve!scale:";

    fn quick(limit: Duration) -> Patience {
        Patience {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(4),
            appear: Duration::from_secs(10),
            limit,
        }
    }

    /// A node that answers questions for the status with these, one after the other, and for the log with one line.
    async fn node(states: Vec<Reply>) -> Scripted {
        let mut states = VecDeque::from(states);
        Scripted::start(move |request| {
            if request.target.contains("/log?") {
                return Reply::data(
                    json!([{ "n": 1, "t": "WARN: thin pool" }, { "n": 2, "t": "TASK x" }]),
                );
            }
            let last = states.len() == 1;
            if last {
                states[0].clone()
            } else {
                states.pop_front().unwrap()
            }
        })
        .await
    }

    async fn wait(node: &Scripted, limit: Duration) -> Result<TaskEnd, WaitError> {
        let upid = UPID.parse().unwrap();
        node.client()
            .wait(&upid, &quick(limit), &CancellationToken::new(), None)
            .await
    }

    const LONG: Duration = Duration::from_secs(60);

    fn running() -> Reply {
        Reply::data(json!({ "status": "running" }))
    }

    fn stopped(exit_status: &str) -> Reply {
        Reply::data(json!({ "status": "stopped", "exitstatus": exit_status }))
    }

    #[test]
    fn questions_come_slower_and_slower() {
        let patience = Patience::up_to(LONG);
        let pauses: Vec<u128> = patience
            .pauses()
            .take(6)
            .map(|pause| pause.as_millis())
            .collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 5000, 5000]);
    }

    #[tokio::test]
    async fn a_task_is_asked_about_until_it_ends() {
        let node = node(vec![running(), running(), stopped("OK")]).await;
        assert_eq!(wait(&node, LONG).await.unwrap(), TaskEnd::default());
        let targets = node.targets();
        assert_eq!(targets.len(), 3);
        assert_eq!(
            targets[0],
            "/api2/json/nodes/pve1/tasks/UPID%3Apve1%3A0000C3F1%3A0A1B2C3D%3A65A1B2C3%3Aqmcreate%3A105%3Aomni%40pve%21scale%3A/status"
        );
    }

    #[tokio::test]
    async fn warnings_are_success_and_are_shown() {
        let node = node(vec![stopped("WARNINGS: 1")]).await;
        assert_eq!(
            wait(&node, LONG).await.unwrap().warnings,
            ["WARN: thin pool"]
        );
    }

    #[tokio::test]
    async fn a_failure_says_what_the_log_said_last() {
        let node = node(vec![stopped(
            "unable to create VM 105 - VM is locked (create)",
        )])
        .await;
        let error = wait(&node, LONG).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient);
        assert_eq!(
            error.to_string(),
            format!(
                "task {UPID} failed: unable to create VM 105 - VM is locked (create)\n  WARN: thin pool\n  TASK x"
            )
        );
    }

    #[tokio::test]
    async fn a_worker_that_died_leaves_the_outcome_unknown() {
        let node = node(vec![stopped("unexpected status")]).await;
        assert_eq!(wait(&node, LONG).await.unwrap_err().class(), Class::Unknown);
    }

    #[tokio::test]
    async fn a_task_may_be_unknown_at_the_beginning_but_not_for_ever() {
        let unknown = || {
            let body = json!({ "data": null, "errors": { "upid": "no such task" } });
            Reply::json(400, "Parameter verification failed.", &body)
        };
        let node = node(vec![unknown(), unknown(), stopped("OK")]).await;
        wait(&node, LONG).await.unwrap();

        let node = self::node(vec![unknown()]).await;
        let patience = Patience {
            appear: Duration::from_millis(20),
            ..quick(LONG)
        };
        let upid = UPID.parse().unwrap();
        let error = node
            .client()
            .wait(&upid, &patience, &CancellationToken::new(), None)
            .await
            .unwrap_err();
        assert!(matches!(error, WaitError::Unobservable { .. }), "{error}");
        assert_eq!(error.class(), Class::Unknown);
    }

    #[tokio::test]
    async fn passing_trouble_is_waited_out_and_a_refusal_is_not() {
        let node = node(vec![
            Reply::json(595, "No route to host", &json!({})),
            Reply::Close,
            stopped("OK"),
        ])
        .await;
        wait(&node, LONG).await.unwrap();
        let node = self::node(vec![Reply::json(401, "No ticket", &json!({}))]).await;
        assert!(matches!(
            wait(&node, LONG).await,
            Err(WaitError::Unobservable { .. })
        ));
        assert_eq!(node.targets().len(), 1);
    }

    #[tokio::test]
    async fn waiting_ends_in_time_or_when_it_is_given_up() {
        let node = node(vec![running()]).await;
        assert!(matches!(
            wait(&node, Duration::from_millis(30)).await,
            Err(WaitError::TimedOut { .. })
        ));
        let cancel = CancellationToken::new();
        cancel.cancel();
        let upid = UPID.parse().unwrap();
        let error = node
            .client()
            .wait(&upid, &Patience::up_to(LONG), &cancel, None)
            .await
            .unwrap_err();
        assert!(matches!(error, WaitError::Cancelled { .. }));
    }

    #[tokio::test]
    async fn lines_are_handed_on_as_they_come() {
        let node = node(vec![running(), stopped("OK")]).await;
        let mut lines = Vec::new();
        let mut watch = |line: &LogLine| lines.push(line.number);
        let upid = UPID.parse().unwrap();
        let cancel = CancellationToken::new();
        node.client()
            .wait(&upid, &quick(LONG), &cancel, Some(&mut watch))
            .await
            .unwrap();
        // The scripted log answers the same two lines to every question.
        assert_eq!(lines, [1, 2, 1, 2]);
        assert!(
            node.targets()[3].ends_with("/log?start=2&limit=500"),
            "{:?}",
            node.targets()
        );
    }
}
