//! The one loop that waits: asks each check until it passes, cannot change, or its bound has come.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use omni_scale_proto::v1::{self, CheckStatus};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Status;

use super::{Checks, Finding, ServiceStart};

/// The most checks in one request.
const MOST: usize = 128;
/// The longest wait, in seconds.
const LONGEST_WAIT: u32 = 900;
/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);
/// A question that is not answered within this time has no answer.
const ANSWER_BOUND: Duration = Duration::from_secs(150);

/// Reports of checks, as they come.
pub(crate) type Reports = Pin<Box<dyn Stream<Item = Result<v1::RunChecksResponse, Status>> + Send>>;

impl Checks {
    /// Runs checks side by side. Dropping the stream ends them.
    pub fn run(self: &Arc<Self>, checks: Vec<v1::Check>) -> Result<Reports, Status> {
        if checks.len() > MOST {
            let message = format!(
                "at most {MOST} checks can run at once, not {}",
                checks.len()
            );
            return Err(Status::invalid_argument(message));
        }
        if let Some(check) = checks
            .iter()
            .find(|check| check.wait_seconds > LONGEST_WAIT)
        {
            let message = format!(
                "check `{}` would wait {} s; {LONGEST_WAIT} s is the longest",
                check.check_id, check.wait_seconds
            );
            return Err(Status::invalid_argument(message));
        }
        let (sender, receiver) = mpsc::channel(MOST);
        let mut running = JoinSet::new();
        for check in checks {
            let run = OneCheck {
                checks: self.clone(),
                reports: sender.clone(),
                begun: Instant::now(),
                held_since: None,
                check,
            };
            running.spawn(run.run());
        }
        // The tasks live as long as the stream: dropping the set aborts them.
        let reports = stream::unfold((receiver, running), |(mut receiver, running)| async {
            let report = receiver.recv().await?;
            Some((report, (receiver, running)))
        });
        let answer = |report| {
            Ok(v1::RunChecksResponse {
                report: Some(report),
            })
        };
        Ok(reports.map(answer).boxed())
    }
}

struct OneCheck {
    checks: Arc<Checks>,
    check: v1::Check,
    reports: mpsc::Sender<v1::CheckReport>,
    begun: Instant,
    /// Since when the answer holds, and with which start of the service that is watched.
    held_since: Option<(Instant, Option<ServiceStart>)>,
}

impl OneCheck {
    async fn run(mut self) {
        let deadline = self.begun + Duration::from_secs(self.check.wait_seconds.into());
        let mut last_summary = None;
        loop {
            let asked = tokio::time::timeout(ANSWER_BOUND, self.checks.ask(&self.check)).await;
            let finding = asked.unwrap_or_else(|_| {
                let bound = ANSWER_BOUND.as_secs();
                Finding::unknown(format!("no answer within {bound} s"))
            });
            let (finding, holding) = self.hold(finding).await;
            let over = !holding && (!finding.may_change || Instant::now() + PAUSE > deadline);
            if settled(&finding) || over {
                self.report(finding).await;
                return;
            }
            if last_summary.as_ref() != Some(&finding.summary) {
                last_summary = Some(finding.summary.clone());
                self.report(Finding {
                    status: CheckStatus::Waiting,
                    ..finding
                })
                .await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Turns a pass that must hold into a wait, until it has held for long enough. The second part of the answer tells
    /// whether it is holding now: that is waited for even after the bound.
    async fn hold(&mut self, finding: Finding) -> (Finding, bool) {
        let Some(v1::check::Kind::Http(http)) = &self.check.kind else {
            return (finding, false);
        };
        if http.hold_seconds == 0 {
            return (finding, false);
        }
        if !settled(&finding) {
            self.held_since = None;
            return (finding, false);
        }
        let start = match self.checks.watched_start(http).await {
            Ok(start) => start,
            Err(finding) => {
                self.held_since = None;
                return (finding, false);
            }
        };
        let now = Instant::now();
        let since = match &self.held_since {
            Some((since, known)) if *known == start => *since,
            _ => now,
        };
        self.held_since = Some((since, start));
        let hold = Duration::from_secs(http.hold_seconds.min(LONGEST_WAIT).into());
        if now.duration_since(since) >= hold {
            let summary = format!("{}, for {} s", finding.summary, hold.as_secs());
            return (Finding { summary, ..finding }, false);
        }
        let summary = format!("{}; it must hold for {} s", finding.summary, hold.as_secs());
        let holding = Finding {
            summary,
            status: CheckStatus::Waiting,
            ..finding
        };
        (holding, true)
    }

    async fn report(&self, finding: Finding) {
        let masked = |line: &String| self.checks.secrets.mask(line);
        let elapsed = self.begun.elapsed().as_millis();
        let report = v1::CheckReport {
            check_id: self.check.check_id.clone(),
            status: finding.status.into(),
            summary: masked(&finding.summary),
            hint: finding.hint,
            evidence: finding.evidence.iter().map(masked).collect(),
            elapsed_milliseconds: u32::try_from(elapsed).unwrap_or(u32::MAX),
        };
        // Nobody listens any more: the stream is gone, and with it this task in a moment.
        let _ = self.reports.send(report).await;
    }
}

fn settled(finding: &Finding) -> bool {
    matches!(finding.status, CheckStatus::Passed | CheckStatus::Warning)
}
