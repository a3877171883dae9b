//! What every implementation of [`Units`] must do, run against the fake and against the adapter.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::error::{JobOutcome, UnitsError};
use super::fake::{Program, UnitModel};
use super::job::Job;
use super::state::ActiveState;
use super::units::{Sighting, TSIDP_UNIT, Units};

/// An implementation, and the model of systemd behind it.
pub(super) struct Subject {
    pub(super) units: Arc<dyn Units>,
    pub(super) model: watch::Sender<UnitModel>,
}

const BOUND: Duration = Duration::from_secs(30);

impl Subject {
    async fn run(&self, job: Job) -> Result<(), UnitsError> {
        self.units.run(TSIDP_UNIT, job, BOUND).await
    }
}

pub(super) async fn a_unit_is_started_and_stopped(subject: Subject) {
    let before = subject.units.observe(TSIDP_UNIT).await.unwrap();
    assert_eq!(before.active_state, ActiveState::Inactive);
    assert_eq!(before.invocation, None);
    let file = before.fragment.unwrap();
    assert!(file.ends_with(TSIDP_UNIT), "{}", file.display());
    subject.run(Job::Start).await.unwrap();
    let running = subject.units.observe(TSIDP_UNIT).await.unwrap();
    assert!(running.is_running());
    subject.run(Job::Start).await.unwrap();
    let same = subject.units.observe(TSIDP_UNIT).await.unwrap();
    assert_eq!(same.invocation, running.invocation);
    subject.run(Job::Restart).await.unwrap();
    let other = subject.units.observe(TSIDP_UNIT).await.unwrap();
    assert_ne!(other.invocation, running.invocation);
    subject.run(Job::Stop).await.unwrap();
    let stopped = subject.units.observe(TSIDP_UNIT).await.unwrap();
    assert_eq!(stopped.summary(), "inactive (dead)");
}

pub(super) async fn an_unknown_unit_is_seen_and_not_started(subject: Subject) {
    let state = subject.units.observe("other.service").await.unwrap();
    assert_eq!(state.load_state, "not-found");
    let error = subject
        .units
        .run("other.service", Job::Start, BOUND)
        .await
        .unwrap_err();
    assert!(matches!(error, UnitsError::NotFound { .. }), "{error}");
}

pub(super) async fn a_start_that_a_condition_forbids_is_a_failure(subject: Subject) {
    let condition = "ConditionPathExists=/nowhere".to_owned();
    subject
        .model
        .send_modify(|model| model.unmet_condition = Some(condition.clone()));
    for job in [Job::Start, Job::Restart] {
        let error = subject.run(job).await.unwrap_err();
        assert!(error.to_string().contains(&condition), "{error}");
    }
    subject
        .model
        .send_modify(|model| model.unmet_condition = None);
    subject.run(Job::Start).await.unwrap();
}

pub(super) async fn a_failed_job_says_how_the_unit_ended(subject: Subject) {
    subject
        .model
        .send_modify(|model| model.program = Program::CannotStart);
    let error = subject.run(Job::Start).await.unwrap_err();
    match error {
        UnitsError::JobFailed {
            outcome: JobOutcome::Failed,
            result,
            status: 203,
            ..
        } => assert_eq!(result, "exit-code"),
        other => panic!("{other}"),
    }
    let failed = subject.units.observe(TSIDP_UNIT).await.unwrap();
    assert_eq!(failed.active_state, ActiveState::Failed);
    subject.units.reset_failed(TSIDP_UNIT).await.unwrap();
    let reset = subject.units.observe(TSIDP_UNIT).await.unwrap();
    assert_eq!(reset.active_state, ActiveState::Inactive);
}

pub(super) async fn without_permission_the_error_names_the_rule(subject: Subject) {
    subject.model.send_modify(|model| model.allowed = false);
    let error = subject.run(Job::Restart).await.unwrap_err();
    assert!(matches!(error, UnitsError::Denied { .. }), "{error}");
    assert!(error.hint().unwrap().contains("polkit"));
}

pub(super) async fn a_watcher_sees_the_state_and_its_changes(subject: Subject) {
    let mut sightings = subject.units.watch(TSIDP_UNIT);
    let state = |wanted: &'static str| move |sighting: &Sighting| matches!(sighting, Sighting::Known(state) if state.sub_state == wanted);
    sightings.wait_for(state("dead")).await.unwrap();
    subject.run(Job::Start).await.unwrap();
    sightings.wait_for(state("running")).await.unwrap();
    subject.model.send_modify(|model| model.die(2));
    sightings.wait_for(state("auto-restart")).await.unwrap();
    subject.model.send_modify(UnitModel::restart_by_itself);
    let last = sightings.wait_for(state("running")).await.unwrap().clone();
    assert!(matches!(last, Sighting::Known(state) if state.restarts == 1));
}

/// One test for each rule, for one way to make the subject.
macro_rules! contract {
    ($make:expr) => {
        crate::unit::contract_suite::contract! { $make;
            a_unit_is_started_and_stopped,
            an_unknown_unit_is_seen_and_not_started,
            a_start_that_a_condition_forbids_is_a_failure,
            a_failed_job_says_how_the_unit_ended,
            without_permission_the_error_names_the_rule,
            a_watcher_sees_the_state_and_its_changes,
        }
    };
    ($make:expr; $($rule:ident,)+) => {
        $(
            #[tokio::test]
            async fn $rule() {
                let rule = crate::unit::contract_suite::$rule($make);
                // No rule waits for time to pass; the bound only ends a test that hangs.
                tokio::time::timeout(std::time::Duration::from_secs(20), rule)
                    .await
                    .expect("the rule is decided by events");
            }
        )+
    };
}
pub(super) use contract;
