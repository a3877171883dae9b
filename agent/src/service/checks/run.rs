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
/// Between the first two questions: most gates are asked a moment before they pass.
const FIRST_PAUSE: Duration = Duration::from_millis(125);
/// Between two questions at last; each pause is twice the one before.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// What is said to be ripe is asked for a little later: clocks are not finer than this.
const RIPENESS: Duration = Duration::from_millis(10);
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
        let mut longest_pause = FIRST_PAUSE;
        loop {
            let asked = tokio::time::timeout(ANSWER_BOUND, self.checks.ask(&self.check)).await;
            let finding = asked.unwrap_or_else(|_| {
                let bound = ANSWER_BOUND.as_secs();
                Finding::unknown(format!("no answer within {bound} s"))
            });
            let (finding, holding) = self.hold(finding).await;
            let pause = finding
                .ripe_in
                .map_or(longest_pause, |rest| longest_pause.min(rest + RIPENESS));
            longest_pause = (longest_pause * 2).min(LONGEST_PAUSE);
            let over = !holding && (!finding.may_change || Instant::now() + pause > deadline);
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
            tokio::time::sleep(pause).await;
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
        let elapsed = now.duration_since(since);
        if elapsed >= hold {
            let summary = format!("{}, for {} s", finding.summary, hold.as_secs());
            return (Finding { summary, ..finding }, false);
        }
        let summary = format!("{}; it must hold for {} s", finding.summary, hold.as_secs());
        let holding = Finding {
            summary,
            status: CheckStatus::Waiting,
            ripe_in: Some(hold.saturating_sub(elapsed)),
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::net::Ipv4Addr;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use omni_scale_probe::{FailureClass, Outcome, ProbeReport, ProbeRequest, Step, StepReport};

    use super::*;
    use crate::host_roots::HostRoots;
    use crate::secrets::Secrets;
    use crate::service::checks::HostVantage;
    use crate::tailnet::FakeTailnet;

    /// A product that refuses connections until a moment, and notes when it was asked.
    struct Product {
        begun: Instant,
        serves_after: Duration,
        fails_at: Mutex<VecDeque<Duration>>,
        asked_at: Mutex<Vec<u128>>,
    }

    #[async_trait]
    impl HostVantage for Product {
        async fn probe(&self, request: ProbeRequest) -> ProbeReport {
            let elapsed = self.begun.elapsed();
            self.asked_at.lock().unwrap().push(elapsed.as_millis());
            let mut fails = self.fails_at.lock().unwrap();
            let down = fails.front().is_some_and(|at| elapsed >= *at);
            if down {
                fails.pop_front();
            }
            let met = elapsed >= self.serves_after && !down;
            let outcome = if met {
                Outcome::Ok
            } else {
                Outcome::Failed {
                    class: FailureClass::ConnectionRefused,
                    message: "connection refused".to_owned(),
                }
            };
            ProbeReport {
                url: request.url,
                met,
                steps: vec![StepReport {
                    step: Step::Connect,
                    outcome,
                    elapsed_milliseconds: 0,
                }],
                nameservers: Vec::new(),
                addresses: Vec::new(),
                peer: None,
                certificate: None,
                http_status: None,
                issuer: None,
                elapsed_milliseconds: 0,
            }
        }
    }

    /// The last report, when it came and when the product was asked, in milliseconds.
    async fn answer(
        serves_after: u64,
        fails_at: &[u64],
        wait_seconds: u32,
        hold_seconds: u32,
    ) -> (CheckStatus, u128, Vec<u128>) {
        let directory = tempfile::tempdir().unwrap();
        let product = Arc::new(Product {
            begun: Instant::now(),
            serves_after: Duration::from_millis(serves_after),
            fails_at: Mutex::new(
                fails_at
                    .iter()
                    .copied()
                    .map(Duration::from_millis)
                    .collect(),
            ),
            asked_at: Mutex::default(),
        });
        let checks = Arc::new(Checks {
            stacks: None,
            unit: None,
            machines: None,
            client: None,
            tailnet: Arc::new(FakeTailnet::running("idp.tail.test", Ipv4Addr::LOCALHOST)),
            secrets: Arc::new(Secrets::open(directory.path()).unwrap()),
            roots: HostRoots::in_file(directory.path().join("none")),
            vantage: product.clone(),
        });
        let check = v1::Check {
            check_id: "omni".to_owned(),
            wait_seconds,
            kind: Some(v1::check::Kind::Http(v1::HttpCheck {
                url: "http://127.0.0.1:8080/healthz".to_owned(),
                expected_status: 200,
                hold_seconds,
                ..v1::HttpCheck::default()
            })),
        };
        let reports: Vec<_> = checks.run(vec![check]).unwrap().collect().await;
        let last = reports.into_iter().last().unwrap().unwrap().report.unwrap();
        let asked_at = product.asked_at.lock().unwrap().clone();
        (last.status(), product.begun.elapsed().as_millis(), asked_at)
    }

    #[tokio::test(start_paused = true)]
    async fn questions_come_quickly_at_first_and_once_a_second_at_last() {
        let (status, ended, asked_at) = answer(3_000, &[], 60, 0).await;
        assert_eq!(status, CheckStatus::Passed);
        let pauses: Vec<u128> = asked_at.windows(2).map(|two| two[1] - two[0]).collect();
        // The clock of the tests counts in milliseconds.
        for (pause, wanted) in pauses.iter().zip([125, 250, 500, 1000, 1000, 1000]) {
            assert!((wanted..=wanted + 2).contains(pause), "{pauses:?}");
        }
        assert!((3_000..4_000).contains(&ended), "{ended}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_must_hold_passes_when_it_has_held_and_no_second_later() {
        let (status, ended, asked_at) = answer(0, &[], 60, 10).await;
        assert_eq!(status, CheckStatus::Passed);
        assert!((10_000..10_050).contains(&ended), "{ended}");
        assert!(
            asked_at.len() >= 10,
            "it is asked while it holds: {asked_at:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_fell_over_must_hold_from_anew() {
        let (status, ended, _) = answer(0, &[6_000], 60, 10).await;
        assert_eq!(status, CheckStatus::Passed);
        assert!((16_000..18_100).contains(&ended), "{ended}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_has_its_bound() {
        let (status, ended, _) = answer(10_000, &[], 5, 0).await;
        assert_eq!(status, CheckStatus::Failed);
        assert!((4_000..=5_000).contains(&ended), "{ended}");
    }
}
