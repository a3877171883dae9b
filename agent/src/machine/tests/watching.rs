//! Power, and whoever watches.

use std::time::Duration;

use futures_util::StreamExt as _;
use omni_scale_proxmox_simulator::{Happening, TOKEN};
use tokio::time::timeout;

use super::rig::{Rig, host, question, request};
use crate::machine::{MachineHealth, PowerAction};
use crate::operation::Reporter;
use crate::service::health::{Health, HealthSource as _};

#[tokio::test(start_paused = true)]
async fn a_machine_is_started_stopped_and_restarted_once() {
    let mut rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    let started = |rig: &Rig| {
        let cluster = rig.simulator.cluster();
        let starts = cluster.tasks.iter().filter(|task| task.kind == "qmstart");
        starts.count()
    };
    let control = async |rig: &Rig, digit: &str, action| {
        let asked = request(&machine);
        let operation = digit.repeat(64).parse().unwrap();
        let reporter = Reporter::default();
        let done = rig.machines.control(&asked, &operation, action, &reporter);
        done.await.unwrap().summary
    };
    control(&rig, "a", PowerAction::Stop).await;
    control(&rig, "b", PowerAction::Stop).await;
    assert!(!rig.simulator.cluster().vms[&100].is_running());
    control(&rig, "c", PowerAction::Start).await;
    control(&rig, "d", PowerAction::Start).await;
    assert_eq!(started(&rig), 2);
    control(&rig, "e", PowerAction::Restart).await;
    rig.restart().await;
    let again = control(&rig, "e", PowerAction::Restart).await;
    assert!(again.ends_with("was restarted and runs"), "{again}");
    assert_eq!(started(&rig), 3);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_does_not_listen_loses_its_power() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    rig.simulator
        .cluster()
        .vms
        .get_mut(&100)
        .unwrap()
        .guest
        .shutdown_ms = None;
    let asked = request(&machine);
    let operation = "a".repeat(64).parse().unwrap();
    let reporter = Reporter::default();
    rig.machines
        .control(&asked, &operation, PowerAction::Stop, &reporter)
        .await
        .unwrap();
    assert!(!rig.simulator.cluster().vms[&100].is_running());
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_for_and_takes_no_power_away() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    rig.simulator.cluster().happen(Happening::ForeignLock {
        vmid: 100,
        lock: "snapshot".to_owned(),
        lasts: 300,
    });
    let operation = "a".repeat(64).parse().unwrap();
    let reporter = Reporter::default();
    rig.machines
        .control(&request(&machine), &operation, PowerAction::Stop, &reporter)
        .await
        .unwrap();
    let cluster = rig.simulator.cluster();
    assert!(!cluster.vms[&100].is_running());
    let kinds = cluster.tasks.iter().map(|task| task.kind.as_str());
    let kinds: Vec<&str> = kinds.filter(|kind| kind.starts_with("qms")).collect();
    assert_eq!(kinds, ["qmstart", "qmshutdown", "qmshutdown"]);
}

#[tokio::test(start_paused = true)]
async fn a_paused_machine_is_not_started_and_can_be_stopped() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    rig.simulator
        .cluster()
        .vms
        .get_mut(&100)
        .unwrap()
        .guest
        .detail = Some("paused".to_owned());
    let asked = request(&machine);
    let reporter = Reporter::default();
    let operation = "a".repeat(64).parse().unwrap();
    let started = rig
        .machines
        .control(&asked, &operation, PowerAction::Start, &reporter);
    let failure = started.await.unwrap_err();
    assert!(failure.hint.unwrap().contains("`qm resume 100`"));
    let operation = "b".repeat(64).parse().unwrap();
    let stopped = rig
        .machines
        .control(&asked, &operation, PowerAction::Stop, &reporter);
    stopped.await.unwrap();
    assert!(!rig.simulator.cluster().vms[&100].is_running());
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_sees_changes_and_what_is_not_known() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    let mut watched = rig.machines.watch(question(&["idp"]));
    let first = watched.next().await.unwrap();
    assert_eq!(first.machines[0].status, "running");
    rig.simulator
        .cluster()
        .happen(Happening::ForeignDestroy { vmid: 100 });
    let gone = watched.next().await.unwrap();
    assert_eq!(gone.machines[0].vmid, 0);
    rig.secret("proxmox-token", "00000000-0000-0000-0000-000000000000");
    let unknown = watched.next().await.unwrap();
    assert!(!unknown.known);
    assert!(
        unknown.reason.contains("not accepted"),
        "{}",
        unknown.reason
    );
}

#[tokio::test(start_paused = true)]
async fn the_clusters_health_is_known_again_after_a_restart_without_a_question() {
    let mut rig = Rig::new();
    rig.observe(&[]).await;
    rig.restart().await;
    let source = MachineHealth::new(rig.machines.clone());
    let mut health = source.watch("proxmox").unwrap();
    let serving = health.wait_for(|health| *health == Health::Serving);
    let bound = Duration::from_secs(30);
    tokio::time::timeout(bound, serving).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_clusters_health_is_asked_for_only_while_somebody_watches() {
    let rig = Rig::new();
    let source = MachineHealth::new(rig.machines.clone());
    assert!(source.watch("omni").is_none());
    let mut nobody_asked = source.watch("proxmox").unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(*nobody_asked.borrow_and_update(), Health::Unknown);
    rig.observe(&[]).await;
    let bound = Duration::from_secs(30);
    let serving = nobody_asked.wait_for(|health| *health == Health::Serving);
    tokio::time::timeout(bound, serving).await.unwrap().unwrap();
    rig.secret("proxmox-token", "00000000-0000-0000-0000-000000000000");
    let refused = nobody_asked.wait_for(|health| *health == Health::NotServing);
    tokio::time::timeout(bound, refused).await.unwrap().unwrap();
    drop(nobody_asked);
    tokio::time::sleep(Duration::from_secs(60)).await;
    rig.simulator.cluster().record();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(rig.simulator.cluster().take_recorded().is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_asks_for_no_images_and_in_no_hurry_once_refused() {
    let rig = Rig::new();
    rig.apply(&host("idp", 0)).await.unwrap();
    let mut watched = rig.machines.watch(question(&["idp"]));
    let hour = Duration::from_secs(3600);
    rig.simulator.cluster().record();
    watched.next().await.unwrap();
    let asked = rig.simulator.cluster().take_recorded();
    let listed = asked.iter().filter(|asked| asked.path.contains("/content"));
    assert_eq!(listed.count(), 0);
    let right = TOKEN.split_once('=').unwrap().1;
    rig.secret("proxmox-token", "00000000-0000-0000-0000-000000000000");
    assert!(!watched.next().await.unwrap().known);
    assert!(timeout(hour, watched.next()).await.is_err());
    let asked = rig.simulator.cluster().take_recorded();
    assert!(asked.len() < 20, "{} questions in an hour", asked.len());
    rig.secret("proxmox-token", right);
    let known = timeout(hour / 6, watched.next()).await.unwrap().unwrap();
    assert!(known.known, "{}", known.reason);
}

#[tokio::test(start_paused = true)]
async fn the_clusters_health_is_asked_for_in_no_hurry_once_refused() {
    let rig = Rig::new();
    rig.observe(&[]).await;
    rig.secret("proxmox-token", "00000000-0000-0000-0000-000000000000");
    let source = MachineHealth::new(rig.machines.clone());
    let _watched = source.watch("proxmox").unwrap();
    rig.simulator.cluster().record();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let asked = rig.simulator.cluster().take_recorded();
    assert!(asked.len() < 40, "{} questions in an hour", asked.len());
}
