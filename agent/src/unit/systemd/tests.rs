//! The adapter against a manager on a socket pair: the contract, and what only a bus can do.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::stand_in::ManagerStandIn;
use crate::unit::contract_suite::{Subject, contract};
use crate::unit::error::UnitsError;
use crate::unit::job::Job;
use crate::unit::units::{Sighting, TSIDP_UNIT, Units};

contract!({
    let manager = ManagerStandIn::new(TSIDP_UNIT);
    Subject {
        model: manager.model.clone(),
        units: Arc::new(manager.adapter()),
    }
});

const BOUND: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_job_that_does_not_end_is_left_after_its_bound() {
    let manager = ManagerStandIn::new(TSIDP_UNIT);
    manager.model.send_modify(|model| model.jobs_hang = true);
    let bound = Duration::from_millis(50);
    let error = manager
        .adapter()
        .run(TSIDP_UNIT, Job::Start, bound)
        .await
        .unwrap_err();
    assert!(matches!(error, UnitsError::JobTimedOut { .. }), "{error}");
}

#[tokio::test]
async fn a_job_whose_connection_ends_is_not_taken_for_done() {
    let manager = ManagerStandIn::new(TSIDP_UNIT);
    manager.model.send_modify(|model| model.jobs_hang = true);
    let adapter = manager.adapter();
    let mut model = manager.model.subscribe();
    let job = adapter.run(TSIDP_UNIT, Job::Start, BOUND);
    let end = async {
        model
            .wait_for(|model| model.state().main_pid != 0)
            .await
            .unwrap();
        manager.go_away().await;
    };
    let (error, ()) = tokio::join!(job, end);
    let error = error.unwrap_err();
    assert!(matches!(error, UnitsError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn the_next_call_after_a_restart_of_the_bus_connects_again() {
    let manager = ManagerStandIn::new(TSIDP_UNIT);
    let adapter = manager.adapter();
    adapter.observe(TSIDP_UNIT).await.unwrap();
    manager.go_away().await;
    let error = adapter.observe(TSIDP_UNIT).await.unwrap_err();
    assert!(matches!(error, UnitsError::Unreachable { .. }), "{error}");
    manager.come_back();
    adapter.observe(TSIDP_UNIT).await.unwrap();
    assert_eq!(adapter.version().await.unwrap(), "252 (fake)");
}

#[tokio::test]
async fn a_watcher_knows_nothing_while_the_bus_is_away_and_goes_on_after_it() {
    let manager = ManagerStandIn::new(TSIDP_UNIT);
    let adapter = manager.adapter();
    adapter.run(TSIDP_UNIT, Job::Start, BOUND).await.unwrap();
    let mut sightings = adapter.watch(TSIDP_UNIT);
    let known = |sighting: &Sighting| matches!(sighting, Sighting::Known(_));
    wait_for(&mut sightings, known).await;
    manager.go_away().await;
    let lost = wait_for(&mut sightings, |sighting| !known(sighting)).await;
    let Sighting::Lost { reason } = lost else {
        unreachable!("waited for it");
    };
    assert!(reason.contains("watch `tsidp.service`"), "{reason}");
    // The unit changes while nobody can see it.
    manager.model.send_modify(|model| model.die(9));
    manager.come_back();
    let seen = wait_for(&mut sightings, known).await;
    assert!(matches!(seen, Sighting::Known(state) if state.is_restarting_by_itself()));
}

async fn wait_for(
    sightings: &mut watch::Receiver<Sighting>,
    wanted: impl FnMut(&Sighting) -> bool,
) -> Sighting {
    let sighting = tokio::time::timeout(BOUND, sightings.wait_for(wanted)).await;
    sighting.expect("decided by events").unwrap().clone()
}

#[tokio::test]
async fn a_watch_that_nobody_reads_ends() {
    let manager = ManagerStandIn::new(TSIDP_UNIT);
    let adapter = manager.adapter();
    let sightings = adapter.watch(TSIDP_UNIT);
    drop(sightings);
    // The adapter is the last owner of the way to connect once the watcher has ended.
    tokio::time::timeout(BOUND, async {
        while Arc::strong_count(&adapter.connect) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}
