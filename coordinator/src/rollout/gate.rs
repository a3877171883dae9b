//! Asking a gate's questions, all hosts side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use omni_scale_proto::id::HostName;
use omni_scale_proto::v1::{self, CheckStatus, check::Kind};
use tokio::time::{Instant, timeout};

use super::event::{Event, FailedCheck, Happening, chain};
use super::login::Prepared;
use super::observe::no_answer;
use super::retry::BackOff;
use super::run::{Halt, Run};
use crate::agents::{AgentError, Class};
use crate::plan::{GateCheck, PlannedWave, Wave};

/// How long an agent may take beyond what its checks ask for.
const GRACE: Duration = Duration::from_secs(60);

/// What a gate's questions came to.
#[derive(Debug, Default)]
pub(super) struct GateAnswers {
    /// Every check that did not pass. Empty: the gate has passed.
    pub(super) failed: Vec<FailedCheck>,
    /// What should be known although it passed.
    pub(super) warnings: Vec<String>,
}

impl Run<'_> {
    /// Asks all questions of a wave's gate.
    pub(super) async fn ask(&self, wave: &PlannedWave) -> Result<GateAnswers, Halt> {
        let hosts: BTreeSet<&HostName> = wave.gate.iter().map(|check| &check.host).collect();
        let asked = hosts.into_iter().map(|host| {
            let checks: Vec<&GateCheck> = wave
                .gate
                .iter()
                .filter(|check| check.host == *host)
                .collect();
            async move { self.ask_host(wave.wave, host, &checks).await }
        });
        let mut answers = GateAnswers::default();
        for host in join_all(asked).await {
            let host = host?;
            answers.failed.extend(host.failed);
            answers.warnings.extend(host.warnings);
        }
        Ok(answers)
    }

    async fn ask_host(
        &self,
        wave: Wave,
        host: &HostName,
        checks: &[&GateCheck],
    ) -> Result<GateAnswers, Halt> {
        let bound = longest(checks) + GRACE;
        let end = Instant::now() + bound;
        let mut waits = BackOff::new();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.ask_once(wave, host, checks, bound).await? {
                Ok(reports) => return Ok(judge(checks, &reports)),
                Err(error) => error,
            };
            let wait = waits.next();
            if error.class() != Class::Transient || Instant::now() + wait >= end {
                return Ok(unanswered(checks, &error));
            }
            let reason = chain(&error);
            tracing::warn!(%wave, %host, attempt, reason, "gate could not be asked");
            self.recorder.record(Event::GateAttemptFailed {
                wave,
                attempt,
                reason,
            })?;
            self.pause(wait).await?;
        }
    }

    async fn ask_once(
        &self,
        wave: Wave,
        host: &HostName,
        checks: &[&GateCheck],
        bound: Duration,
    ) -> Result<Result<Vec<v1::CheckReport>, AgentError>, Halt> {
        let titles: BTreeMap<&str, &str> = checks
            .iter()
            .map(|check| (check.check.check_id.as_str(), check.title.as_str()))
            .collect();
        let (mut questions, mut answers) = (Vec::new(), Vec::new());
        for check in checks {
            match self.with_code(host, check).await? {
                Ok(Prepared::Question(question)) => questions.push(question),
                Ok(Prepared::Answer(report)) => answers.push(report),
                Err(error) => return Ok(Err(error)),
            }
        }
        let tell = |report: v1::CheckReport| {
            let title = titles.get(report.check_id.as_str()).copied();
            self.events.tell(Happening::Checked {
                wave,
                host: host.clone(),
                title: title.unwrap_or("a check that was not asked").to_owned(),
                report,
            });
        };
        answers.iter().cloned().for_each(tell);
        if questions.is_empty() {
            return Ok(Ok(answers));
        }
        let question = self.agents.run_checks(host, &questions, &tell);
        let answer = self.unless_stopped(timeout(bound, question)).await?;
        let reports = answer.unwrap_or_else(|_| Err(no_answer(host, "run checks", bound)));
        Ok(reports.map(|reports| answers.into_iter().chain(reports).collect()))
    }
}

/// The longest that these checks may take, by their own words.
fn longest(checks: &[&GateCheck]) -> Duration {
    let seconds = checks.iter().map(|check| {
        let hold = match &check.check.kind {
            Some(Kind::Http(http)) => http.hold_seconds,
            Some(Kind::Service(service)) => service.hold_seconds,
            _ => 0,
        };
        check.check.wait_seconds + hold
    });
    Duration::from_secs(seconds.max().unwrap_or_default().into())
}

/// A check without a last report has not passed.
fn judge(checks: &[&GateCheck], reports: &[v1::CheckReport]) -> GateAnswers {
    let mut answers = GateAnswers::default();
    for check in checks {
        let mut reports = reports.iter().rev();
        let report = reports.find(|report| report.check_id == check.check.check_id);
        let status = report.map_or(CheckStatus::Unknown, v1::CheckReport::status);
        match status {
            CheckStatus::Passed => {}
            CheckStatus::Warning => {
                let summary = report.map(|report| report.summary.as_str());
                answers.warnings.push(format!(
                    "on host `{}`: {}: {}",
                    check.host,
                    check.title,
                    summary.unwrap_or_default()
                ));
            }
            CheckStatus::Unknown if check.unknown_will_do => {
                let summary = report.map(|report| report.summary.as_str());
                answers.warnings.push(format!(
                    "on host `{}`: {}: not known, and gone on without: {}",
                    check.host,
                    check.title,
                    summary.unwrap_or("the agent did not report on it")
                ));
            }
            CheckStatus::Failed
            | CheckStatus::Unknown
            | CheckStatus::Waiting
            | CheckStatus::Unspecified => {
                answers
                    .failed
                    .push(failed(check, report, status != CheckStatus::Failed));
            }
        }
    }
    answers
}

fn failed(check: &GateCheck, report: Option<&v1::CheckReport>, unknown: bool) -> FailedCheck {
    let no_report = v1::CheckReport {
        summary: "the agent did not report on it".to_owned(),
        ..v1::CheckReport::default()
    };
    let report = report.unwrap_or(&no_report);
    FailedCheck {
        host: check.host.clone(),
        title: check.title.clone(),
        summary: report.summary.clone(),
        hint: report.hint.clone(),
        evidence: report.evidence.clone(),
        unknown,
    }
}

fn unanswered(checks: &[&GateCheck], error: &AgentError) -> GateAnswers {
    let report = v1::CheckReport {
        summary: chain(error),
        hint: error.hint().unwrap_or_default().to_owned(),
        ..v1::CheckReport::default()
    };
    GateAnswers {
        failed: checks
            .iter()
            .map(|check| failed(check, Some(&report), true))
            .collect(),
        warnings: Vec::new(),
    }
}
