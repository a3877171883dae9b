//! Every rule of a mutation: who may, when, once, and what a lost end means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use omni_scale_proto::operation::Target;
use omni_scale_proto::v1;
use tokio::sync::Notify;

use super::testing::Desk;
use super::*;

/// Counts how often work ran.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicUsize>);

impl Runs {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Work that succeeds at once.
    fn work(&self) -> impl FnOnce(Reporter) -> std::future::Ready<Result<Done, Failure>> + use<> {
        let runs = self.clone();
        move |_| {
            runs.0.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok(Done::new("made so")))
        }
    }
}

fn fails(
    message: &'static str,
) -> impl FnOnce(Reporter) -> std::future::Ready<Result<Done, Failure>> {
    move |_| std::future::ready(Err(Failure::new(v1::FailureClass::Permanent, message)))
}

async fn run(
    desk: &Desk,
    id: u8,
    generation: u64,
    runs: &Runs,
) -> Result<v1::Outcome, OperationError> {
    let operation = desk.operation(id, generation);
    let running = desk
        .operations
        .run(operation, Target::Unit, "apply", "digest", runs.work())
        .await?;
    Ok(running.outcome().await)
}

#[tokio::test]
async fn an_operation_ends_in_an_outcome_and_sets_the_generation() {
    let desk = Desk::new().await;
    let runs = Runs::default();
    assert_eq!(desk.operations.generation(&Target::Unit), 0);
    let outcome = run(&desk, 1, 4, &runs).await.unwrap();
    assert_eq!(
        (outcome.summary.as_str(), outcome.generation),
        ("made so", 4)
    );
    assert_eq!((outcome.failure, outcome.replayed), (None, false));
    assert_eq!(desk.operations.generation(&Target::Unit), 4);
}

#[tokio::test]
async fn the_same_id_again_is_answered_from_the_ledger_also_after_a_restart() {
    let desk = Desk::new().await;
    let runs = Runs::default();
    let first = run(&desk, 1, 1, &runs).await.unwrap();
    for desk in [desk.restarted()] {
        let again = run(&desk, 1, 1, &runs).await.unwrap();
        assert!(again.replayed);
        assert_eq!(
            v1::Outcome {
                replayed: false,
                ..again
            },
            first
        );
    }
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn a_generation_that_is_taken_is_refused_with_whose_it_is() {
    let desk = Desk::new().await;
    let runs = Runs::default();
    run(&desk, 1, 3, &runs).await.unwrap();
    for generation in [1, 3] {
        let refused = run(&desk, 2, generation, &runs).await.unwrap_err();
        assert!(matches!(
            refused,
            OperationError::StaleGeneration { current: 3, .. }
        ));
        assert!(
            refused.to_string().contains("ada@desk (rollout one)"),
            "{refused}"
        );
    }
    run(&desk, 2, 4, &runs).await.unwrap();
    // What has succeeded is answered for ever, and does not take the generation back.
    assert!(run(&desk, 1, 3, &runs).await.unwrap().replayed);
    assert_eq!(desk.operations.generation(&Target::Unit), 4);
    assert_eq!(runs.count(), 2);
}

#[tokio::test]
async fn an_operation_under_another_lease_is_refused() {
    let mut desk = Desk::new().await;
    let runs = Runs::default();
    desk.leases.release(desk.epoch, "one").await.unwrap();
    let refused = run(&desk, 1, 1, &runs).await.unwrap_err();
    assert!(
        refused.to_string().contains("nobody holds the lease"),
        "{refused}"
    );
    let new = desk.lease("two").await;
    let refused = run(&desk, 1, 1, &runs).await.unwrap_err();
    assert!(refused.to_string().contains("rollout two"), "{refused}");
    desk.epoch = new;
    run(&desk, 1, 1, &runs).await.unwrap();
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn an_operation_of_another_deployment_is_refused() {
    let desk = Desk::new().await;
    desk.deployment.send_replace(Some(
        "00000000-0000-4000-8000-000000000000".parse().unwrap(),
    ));
    let refused = run(&desk, 1, 1, &Runs::default()).await.unwrap_err();
    assert!(matches!(refused, OperationError::OtherDeployment { .. }));
    desk.deployment.send_replace(None);
    let refused = run(&desk, 1, 1, &Runs::default()).await.unwrap_err();
    assert!(matches!(refused, OperationError::NotEnrolled));
}

#[tokio::test]
async fn asking_again_attaches_to_work_that_runs_and_others_are_refused() {
    let desk = Desk::new().await;
    let (entered, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let work = {
        let (entered, released) = (entered.clone(), released.clone());
        async move |reporter: Reporter| {
            reporter.stage("tsidp", "starting");
            entered.notify_one();
            released.notified().await;
            Ok(Done::new("started"))
        }
    };
    let operation = desk.operation(1, 1);
    let first = desk
        .operations
        .run(operation.clone(), Target::Unit, "apply", "", work)
        .await
        .unwrap();
    // The caller's stream breaks; the work goes on.
    drop(first);
    entered.notified().await;
    assert_eq!(desk.operations.activities().len(), 1);
    assert!(!desk.operations.targets()[0].running_operation_id.is_empty());

    let runs = Runs::default();
    let refused = run(&desk, 2, 2, &runs).await.unwrap_err();
    assert!(matches!(refused, OperationError::Busy { .. }), "{refused}");
    let mut again = desk
        .operations
        .run(operation, Target::Unit, "apply", "", runs.work())
        .await
        .unwrap();
    let Some(Event::Progress(progress)) = again.next().await else {
        panic!("the stage comes first");
    };
    assert!(
        matches!(progress.event, Some(v1::progress::Event::Stage(stage)) if stage.activity == "starting")
    );
    released.notify_one();
    let outcome = again.outcome().await;
    assert_eq!(
        (outcome.summary.as_str(), outcome.replayed),
        ("started", false)
    );
    assert_eq!(runs.count(), 0);
    assert!(desk.operations.activities().is_empty());
}

#[tokio::test]
async fn operations_on_different_targets_run_side_by_side() {
    let desk = Desk::new().await;
    let forever = |_| std::future::pending::<Result<Done, Failure>>();
    let unit = desk.operation(1, 1);
    desk.operations
        .run(unit, Target::Unit, "apply", "", forever)
        .await
        .unwrap();
    let secret = Target::Secret("client".parse().unwrap());
    let runs = Runs::default();
    let other = desk
        .operations
        .run(desk.operation(2, 1), secret, "put", "", runs.work())
        .await
        .unwrap();
    assert!(other.outcome().await.failure.is_none());
}

#[tokio::test]
async fn a_failure_is_told_and_asking_again_runs_the_work_again() {
    let desk = Desk::new().await;
    let operation = desk.operation(1, 1);
    let running = desk
        .operations
        .run(operation, Target::Unit, "apply", "", fails("no artifact"))
        .await;
    let failure = running.unwrap().outcome().await.failure.unwrap();
    assert_eq!(failure.message, "no artifact");
    assert_eq!(failure.failure_class(), v1::FailureClass::Permanent);
    assert!(!failure.outcome_unknown);
    let desk = desk.restarted();
    let runs = Runs::default();
    let outcome = run(&desk, 1, 1, &runs).await.unwrap();
    assert_eq!(
        (outcome.failure, outcome.replayed, runs.count()),
        (None, false, 1)
    );
}

#[tokio::test]
async fn a_failure_that_was_superseded_is_not_run_again() {
    let desk = Desk::new().await;
    let operation = desk.operation(1, 1);
    let running = desk
        .operations
        .run(operation, Target::Unit, "apply", "", fails("no artifact"))
        .await;
    running.unwrap().outcome().await;
    let runs = Runs::default();
    run(&desk, 2, 2, &runs).await.unwrap();
    let refused = run(&desk, 1, 1, &runs).await.unwrap_err();
    assert!(matches!(refused, OperationError::StaleGeneration { .. }));
    assert_eq!(runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_makes_the_outcome_unknown_and_never_a_success() {
    let desk = Desk::new().await;
    let forever = |_| std::future::pending::<Result<Done, Failure>>();
    let running = desk
        .operations
        .run(desk.operation(1, 1), Target::Unit, "apply", "", forever)
        .await;
    let failure = running.unwrap().outcome().await.failure.unwrap();
    assert!(failure.outcome_unknown, "{}", failure.message);
    assert_eq!(failure.failure_class(), v1::FailureClass::Transient);
    assert!(desk.operations.targets()[0].outcome_unknown);
    let desk = desk.restarted();
    assert!(desk.operations.targets()[0].outcome_unknown);
}

#[tokio::test]
async fn what_ran_when_the_agent_was_killed_is_unknown_and_runs_again_when_asked_for() {
    let desk = Desk::new().await;
    let forever = |_| std::future::pending::<Result<Done, Failure>>();
    desk.operations
        .run(desk.operation(1, 1), Target::Unit, "apply", "", forever)
        .await
        .unwrap();
    // As a kill leaves it: the intent is on the disk, the outcome is not.
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(
        desk.directory.path().join("ledger"),
        copy.path().join("ledger"),
    )
    .unwrap();
    let killed = Desk {
        directory: copy,
        ..desk
    }
    .restarted();
    let status = killed.operations.targets().remove(0);
    assert!(status.outcome_unknown && status.running_operation_id.is_empty());
    assert_eq!(status.generation, 1);

    let runs = Runs::default();
    let outcome = run(&killed, 1, 1, &runs).await.unwrap();
    assert_eq!((outcome.replayed, runs.count()), (false, 1));
    assert!(!killed.operations.targets()[0].outcome_unknown);
}

#[tokio::test]
async fn a_panic_in_the_work_is_an_unknown_outcome() {
    let desk = Desk::new().await;
    let panics = |_| async { panic!("a bug") };
    let running = desk
        .operations
        .run(desk.operation(1, 1), Target::Unit, "apply", "", panics)
        .await;
    let failure = running.unwrap().outcome().await.failure.unwrap();
    assert_eq!(failure.failure_class(), v1::FailureClass::Bug);
    assert!(failure.outcome_unknown);
    assert!(desk.operations.targets()[0].outcome_unknown);
    run(&desk, 2, 2, &Runs::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stopping_agent_waits_a_little_and_begins_nothing_new() {
    let desk = Desk::new().await;
    let slow = |_| async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(Done::new("done in time"))
    };
    let running = desk
        .operations
        .run(desk.operation(1, 1), Target::Unit, "apply", "", slow)
        .await
        .unwrap();
    let (idle, outcome) = tokio::join!(
        desk.operations.stop(Duration::from_secs(5)),
        running.outcome()
    );
    assert!(idle && outcome.failure.is_none());
    let refused = run(&desk, 2, 2, &Runs::default()).await.unwrap_err();
    assert!(matches!(refused, OperationError::Stopping));

    let desk = desk.restarted();
    let forever = |_| std::future::pending::<Result<Done, Failure>>();
    desk.operations
        .run(desk.operation(2, 2), Target::Unit, "apply", "", forever)
        .await
        .unwrap();
    assert!(!desk.operations.stop(Duration::from_secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_is_just_being_admitted_is_waited_for() {
    let desk = Desk::new().await;
    let done = Arc::new(AtomicBool::new(false));
    let flag = done.clone();
    let work = async move |_| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        flag.store(true, Ordering::SeqCst);
        Ok(Done::new("done"))
    };
    let begin = desk
        .operations
        .run(desk.operation(1, 1), Target::Unit, "apply", "", work);
    let mut begin = std::pin::pin!(begin);
    assert!(futures_util::poll!(begin.as_mut()).is_pending());
    // Its task goes as far as the disk.
    tokio::task::yield_now().await;
    let stop = async {
        assert!(desk.operations.stop(Duration::from_secs(5)).await);
        assert!(done.load(Ordering::SeqCst));
    };
    let (admitted, ()) = tokio::join!(begin, stop);
    admitted.unwrap();
}

#[tokio::test]
async fn a_damaged_ledger_refuses_operations() {
    let desk = Desk::new().await;
    run(&desk, 1, 1, &Runs::default()).await.unwrap();
    let path = desk.directory.path().join("ledger");
    let mut contents = std::fs::read(&path).unwrap();
    let last = contents.len() - 3;
    contents[last] ^= 1;
    crate::files::write_atomically(&path, &contents, 0o600).unwrap();
    let desk = desk.restarted();
    let runs = Runs::default();
    let refused = run(&desk, 2, 2, &runs).await.unwrap_err();
    assert!(refused.to_string().contains("is damaged"), "{refused}");
    assert_eq!(
        (runs.count(), desk.operations.generation(&Target::Unit)),
        (0, 1)
    );
}

#[tokio::test]
async fn progress_shows_no_secret() {
    let desk = Desk::new().await;
    let value = crate::secrets::SecretValue::new(b"hunter2!".to_vec());
    desk.secrets
        .put(&"client".parse().unwrap(), &value)
        .unwrap();
    let prints = |reporter: Reporter| async move {
        reporter.warning("it said hunter2!");
        Ok(Done::new("done with hunter2!"))
    };
    let operation = desk.operation(1, 1);
    let running = desk
        .operations
        .run(operation, Target::Unit, "apply", "", prints)
        .await
        .unwrap();
    let heard = format!("{:?}", running.collect::<Vec<_>>().await);
    assert!(heard.contains("it said [secret client]"), "{heard}");
    assert!(!heard.contains("hunter2"), "{heard}");
}
