//! Waits until the product itself answers as it should, and finds out early why it will not.
//!
//! `active` is no answer: tsidp is active while it waits for ever for a login.

use std::sync::Arc;
use std::time::Duration;

use omni_scale_proto::v1::FailureClass;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::goal::Goal;
use super::login::{asks_for_login, refused_login, serves_as};
use crate::clock;
use crate::journal::{JournalUnit, evidence};
use crate::operation::{Failure, Reporter};
use crate::unit::issuer::{Answer, suffixed};
use crate::unit::state::{ActiveState, UnitState};
use crate::unit::tsidp::TsidpUnit;
use crate::unit::units::{Sighting, TSIDP_UNIT};

/// Bound on one question. The first certificate may take longer; then it is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Wait between two questions.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Wait before other reasons are looked for, and between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Bound on the question whether tsidp answers under a suffixed name.
const OTHER_NAME_WITHIN: Duration = Duration::from_secs(3);
/// One automatic restart may happen at a bad moment; a second one is a loop.
const RESTARTS_OF_A_LOOP: u32 = 2;

/// How the wait ended, when not by a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The product answers.
    Answers,
    /// It will not before somebody logs it in.
    WaitsForLogin {
        /// Its words, with the address to log in at.
        line: String,
    },
}

impl TsidpUnit {
    /// Asks until the product answers, something final is found, or the deadline is there.
    pub(super) async fn wait_for_answer(
        self: &Arc<Self>,
        goal: &Goal,
        deadline: Instant,
        reporter: &Reporter,
    ) -> Result<Verdict, Failure> {
        reporter.stage(TSIDP_UNIT, format!("waiting for {} to answer", goal.issuer));
        let mut wait = Wait {
            tsidp: self,
            goal,
            sightings: self.units.watch(TSIDP_UNIT),
            since: clock::now_milliseconds(),
            first: None,
            last_ending: None,
            reason: String::new(),
        };
        wait.first_sight(deadline).await;
        let mut next_look = Instant::now() + LOOK_EVERY;
        let mut asked_for_login = false;
        loop {
            wait.check_run().await?;
            match wait.ask(deadline, reporter).await? {
                Asked::Answers => return Ok(Verdict::Answers),
                Asked::Not => {}
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + LOOK_EVERY;
                wait.check_name().await?;
                match wait.login().await {
                    // Twice: a login with a key is over between two looks.
                    Some(line) if asked_for_login => return Ok(Verdict::WaitsForLogin { line }),
                    line => asked_for_login = line.is_some(),
                }
            }
            if Instant::now() >= deadline {
                return Err(wait.not_in_time().await);
            }
            let again = deadline.min(Instant::now() + ASK_EVERY);
            tokio::select! {
                () = sleep_until(again) => {}
                // The other end lives as long as the unit's caretaker.
                _ = wait.sightings.changed() => {}
            }
        }
    }
}

enum Asked {
    Answers,
    Not,
}

struct Wait<'a> {
    tsidp: &'a TsidpUnit,
    goal: &'a Goal,
    sightings: watch::Receiver<Sighting>,
    /// When the wait began, for the journal.
    since: i64,
    /// The unit as it was seen first.
    first: Option<UnitState>,
    /// The unit as it was when its program had ended last: the next start wipes that out.
    last_ending: Option<UnitState>,
    reason: String,
}

impl Wait<'_> {
    async fn first_sight(&mut self, deadline: Instant) {
        let bound = deadline.saturating_duration_since(Instant::now());
        let known = |sighting: &Sighting| matches!(sighting, Sighting::Known(_));
        let seen = timeout(bound.min(LOOK_EVERY), self.sightings.wait_for(known)).await;
        if let Ok(Ok(sighting)) = seen
            && let Sighting::Known(state) = &*sighting
        {
            self.first = Some((**state).clone());
        }
    }

    fn state(&self) -> Option<UnitState> {
        match &*self.sightings.borrow() {
            Sighting::Known(state) => Some((**state).clone()),
            Sighting::Lost { .. } => None,
        }
    }

    /// A program that ends again and again will not answer.
    async fn check_run(&mut self) -> Result<(), Failure> {
        self.sightings.mark_unchanged();
        let Some(state) = self.state() else {
            return Ok(());
        };
        if state.main_pid == 0 && state.result != "success" {
            self.last_ending = Some(state.clone());
        }
        let before = self.first.get_or_insert_with(|| state.clone()).restarts;
        let restarts = state.restarts.saturating_sub(before);
        let text = if state.active_state == ActiveState::Failed {
            format!("`{TSIDP_UNIT}` has failed: {}", self.ending())
        } else if state.active_state == ActiveState::Inactive {
            format!("`{TSIDP_UNIT}` was stopped while its answer was waited for")
        } else if restarts >= RESTARTS_OF_A_LOOP {
            format!(
                "`{TSIDP_UNIT}` keeps ending and was restarted {restarts} times: {}",
                self.ending()
            )
        } else {
            return Ok(());
        };
        let failure = Failure::new(FailureClass::Permanent, text);
        let failure = self.with_evidence(failure).await;
        if refused_login(&failure.evidence).is_none() {
            return Err(failure);
        }
        Err(failure.with_hint(
            "the tailnet refused the login: set a new one-time key with `omni-scale secret set`, then apply again",
        ))
    }

    fn ending(&self) -> String {
        let ending = self.last_ending.as_ref().map(|state| {
            let UnitState {
                result,
                exec_main_status,
                ..
            } = state;
            format!("its program ended last as `{result}` with status {exec_main_status}")
        });
        ending.unwrap_or_else(|| "how its program ended was not seen".to_owned())
    }

    async fn ask(&mut self, deadline: Instant, reporter: &Reporter) -> Result<Asked, Failure> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining < ASK_EVERY && !self.reason.is_empty() {
            // Too short for an answer: the reason from before says more than that time ran out.
            return Ok(Asked::Not);
        }
        let within = ANSWER_WITHIN.min(remaining.max(Duration::from_millis(1)));
        let run = self.state().and_then(|state| state.invocation);
        let question = self
            .tsidp
            .issuer
            .ask(&self.goal.issuer, &self.goal.extra_roots_pem, within);
        let answer = tokio::select! {
            answer = question => answer,
            // What has happened to the unit may be more than the answer.
            _ = self.sightings.changed() => return Ok(Asked::Not),
        };
        let same_run = self.state().is_none_or(|state| state.invocation == run);
        self.tsidp.verifications.remember(&answer, run);
        if answer.text() != self.reason {
            answer.text().clone_into(&mut self.reason);
            reporter.stage(TSIDP_UNIT, &self.reason);
        }
        match answer {
            Answer::Passed { .. } if same_run => Ok(Asked::Answers),
            // A nameserver that was lost may be found again.
            Answer::Passed { .. }
            | Answer::Failed { may_pass: true, .. }
            | Answer::Unknown { .. } => Ok(Asked::Not),
            Answer::Failed { reason, .. } => {
                self.check_name().await?;
                let failure = Failure::new(FailureClass::Permanent, reason);
                Err(self.with_evidence(failure).await)
            }
        }
    }

    /// tsidp under another name is the sign of a name that another device holds.
    ///
    /// Its own words count beside its answer: it may lack a certificate for that name.
    async fn check_name(&self) -> Result<(), Failure> {
        let said = self.said().await;
        for other in suffixed(&self.goal.issuer) {
            let roots = &self.goal.extra_roots_pem;
            let question = self.tsidp.issuer.ask(&other, roots, OTHER_NAME_WITHIN);
            if serves_as(&said, &other) || matches!(question.await, Answer::Passed { .. }) {
                let text = format!(
                    "tsidp serves as {other} and not as {}: another device on the tailnet holds its name",
                    self.goal.issuer
                );
                return Err(Failure::new(FailureClass::Permanent, text).with_hint(
                    "remove the other device from the tailnet, or rename it; then give this one its name back in the admin console, and apply again",
                ));
            }
        }
        Ok(())
    }

    /// What the unit said in this run.
    async fn said(&self) -> Vec<String> {
        let since = self
            .state()
            .map_or(self.since, |state| state.active_since_milliseconds);
        evidence(&*self.tsidp.journal, JournalUnit::Tsidp, since).await
    }

    /// tsidp's request for a login in this run, if it is the last that it said.
    async fn login(&self) -> Option<String> {
        let said = self.said().await;
        asks_for_login(&said).map(ToOwned::to_owned)
    }

    async fn not_in_time(&self) -> Failure {
        let unit = match &*self.sightings.borrow() {
            Sighting::Known(state) => format!("`{TSIDP_UNIT}` is {}", state.summary()),
            Sighting::Lost { reason } => {
                format!("the state of `{TSIDP_UNIT}` is not known: {reason}")
            }
        };
        let text = format!(
            "{} did not answer as it should before the deadline: {}; {unit}",
            self.goal.issuer, self.reason
        );
        self.with_evidence(Failure::new(FailureClass::Transient, text))
            .await
    }

    async fn with_evidence(&self, failure: Failure) -> Failure {
        let since = self
            .first
            .as_ref()
            .map_or(self.since, |state| state.active_since_milliseconds)
            .min(self.since);
        let journal = &*self.tsidp.journal;
        failure.with_evidence(evidence(journal, JournalUnit::Tsidp, since).await)
    }
}
