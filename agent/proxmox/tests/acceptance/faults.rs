//! What only the simulator can do: lose replies that had their effect, crash workers, lose the quorum, show VMs that
//! are half made. What the client must never do is take any of it for a plain success or failure.

use omni_scale_proxmox::{Class, Complaint, TaskQuery, TaskState, WaitError};
use omni_scale_proxmox_simulator::{Fault, Happening, Interface, Method, Rule, Settings};
use tokio_util::sync::CancellationToken;

use crate::{
    scenarios::{settings, uuid, vmid},
    world::{FAST, World},
};

async fn world() -> World {
    World::simulated(Settings::default(), FAST).await
}

fn next(world: &World, method: Method, template: &str, fault: Fault) {
    world
        .simulator()
        .cluster()
        .faults
        .add(Rule::next(method, template, fault));
}

fn creates() -> TaskQuery {
    TaskQuery {
        node: "pve1".parse().unwrap(),
        vmid: Some(vmid(300)),
        kind: Some("qmcreate".into()),
        since_unix_seconds: None,
        own: true,
    }
}

#[tokio::test]
async fn a_create_whose_reply_was_lost_is_found_again() {
    for fault in [Fault::ReplyLost, Fault::GatewayTimeout { effect: true }] {
        let world = world().await;
        next(&world, Method::Post, "/nodes/{node}/qemu", fault);
        let error = world
            .client
            .create(&world.node, &settings(300))
            .await
            .unwrap_err();
        assert_eq!(error.class(), Class::Unknown, "{fault:?}: {error}");
        let found = world.client.tasks(&creates()).await.unwrap();
        assert_eq!(found.len(), 1, "{fault:?}");
        let cancel = CancellationToken::new();
        world
            .client
            .wait(&found[0].upid, &world.patience, &cancel, None)
            .await
            .unwrap();
        let config = world.client.config(&world.node, vmid(300)).await.unwrap();
        assert_eq!(config.uuid(), Some(uuid(300)));
    }
}

#[tokio::test]
async fn a_request_that_had_no_effect_looks_the_same_until_it_is_observed() {
    for fault in [
        Fault::Reset,
        Fault::GatewayTimeout { effect: false },
        Fault::NoRoute,
    ] {
        let world = world().await;
        next(&world, Method::Post, "/nodes/{node}/qemu", fault);
        let error = world
            .client
            .create(&world.node, &settings(300))
            .await
            .unwrap_err();
        assert_eq!(error.class(), Class::Unknown, "{fault:?}: {error}");
        assert!(world.client.tasks(&creates()).await.unwrap().is_empty());
        let error = world
            .client
            .config(&world.node, vmid(300))
            .await
            .unwrap_err();
        assert_eq!(error.complaint(), Some(&Complaint::DoesNotExist));
    }
}

#[tokio::test]
async fn a_reading_that_was_lost_is_worth_another_try() {
    let world = world().await;
    for fault in [
        Fault::Reset,
        Fault::NoRoute,
        Fault::GatewayTimeout { effect: false },
    ] {
        next(&world, Method::Get, "/nodes", fault);
        let error = world.client.nodes().await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{fault:?}: {error}");
        world.client.nodes().await.unwrap();
    }
}

#[tokio::test]
async fn a_lock_that_another_holds_is_transient_and_nothing_is_done() {
    let world = world().await;
    next(
        &world,
        Method::Post,
        "/nodes/{node}/qemu",
        Fault::LockTimeout,
    );
    let error = world
        .client
        .create(&world.node, &settings(300))
        .await
        .unwrap_err();
    assert_eq!(error.complaint(), Some(&Complaint::LockTimeout), "{error}");
    assert_eq!(error.class(), Class::Transient);
    world
        .client
        .config(&world.node, vmid(300))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_create_without_a_worker_leaves_a_stub() {
    let world = world().await;
    next(&world, Method::Post, "/nodes/{node}/qemu", Fault::NoWorker);
    let error = world
        .client
        .create(&world.node, &settings(300))
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Unknown, "{error}");
    let config = world.client.config(&world.node, vmid(300)).await.unwrap();
    assert_eq!((config.lock(), config.uuid()), (Some("create"), None));
    assert!(world.client.tasks(&creates()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_worker_that_dies_leaves_a_stub_and_doubt() {
    let world = world().await;
    next(
        &world,
        Method::Post,
        "/nodes/{node}/qemu",
        Fault::WorkerDies { after: 100 },
    );
    let upid = world
        .client
        .create(&world.node, &settings(300))
        .await
        .unwrap();
    let error = world
        .client
        .wait(&upid, &world.patience, &CancellationToken::new(), None)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Unknown, "{error}");
    assert!(
        matches!(&error, WaitError::Failed(failure) if failure.complaint == Complaint::WorkerDied),
        "{error}"
    );
    let config = world.client.config(&world.node, vmid(300)).await.unwrap();
    assert_eq!((config.lock(), config.name()), (Some("create"), None));
}

#[tokio::test]
async fn a_vm_that_is_being_made_says_nothing_of_itself() {
    // In real time, so that the task is still at work when its VM is looked at.
    let world = World::simulated(
        Settings {
            start_ms: 0,
            ..Settings::default()
        },
        1,
    )
    .await;
    let upid = world
        .client
        .create(&world.node, &settings(300))
        .await
        .unwrap();
    let config = world.client.config(&world.node, vmid(300)).await.unwrap();
    assert_eq!(
        (config.lock(), config.uuid(), config.name()),
        (Some("create"), None, None)
    );
    let found = world.client.tasks(&creates()).await.unwrap();
    assert_eq!(
        (found.len(), &found[0].upid, &found[0].state),
        (1, &upid, &TaskState::Running)
    );
    world
        .client
        .wait(&upid, &world.patience, &CancellationToken::new(), None)
        .await
        .unwrap();
    let config = world.client.config(&world.node, vmid(300)).await.unwrap();
    assert_eq!((config.lock(), config.uuid()), (None, Some(uuid(300))));
}

#[tokio::test]
async fn without_a_quorum_nothing_is_made() {
    let world = world().await;
    world
        .simulator()
        .cluster()
        .happen(Happening::QuorumLost { lasts: 3_600_000 });
    let error = world
        .client
        .create(&world.node, &settings(300))
        .await
        .unwrap_err();
    assert_eq!(error.complaint(), Some(&Complaint::NoQuorum), "{error}");
    assert_eq!(error.class(), Class::Transient);
}

#[tokio::test]
async fn a_guest_agent_tells_its_addresses() {
    let world = world().await;
    let (client, node) = (&world.client, &world.node);
    let mut settings = settings(300);
    settings.guest_agent = true;
    let cancel = CancellationToken::new();
    let made = client.create(node, &settings).await.unwrap();
    client
        .wait(&made, &world.patience, &cancel, None)
        .await
        .unwrap();
    let error = client.guest_interfaces(node, vmid(300)).await.unwrap_err();
    assert_eq!(error.complaint(), Some(&Complaint::NotRunning), "{error}");
    let started = client.start(node, vmid(300)).await.unwrap();
    client
        .wait(&started, &world.patience, &cancel, None)
        .await
        .unwrap();
    let error = client.guest_interfaces(node, vmid(300)).await.unwrap_err();
    assert_eq!(
        error.complaint(),
        Some(&Complaint::GuestAgentSilent),
        "{error}"
    );
    if let Some(vm) = world.simulator().cluster().vms.get_mut(&300) {
        vm.guest.interfaces = Some(vec![Interface {
            name: "eth0".into(),
            mac: "bc:24:11:00:00:01".into(),
            addresses: vec![("192.0.2.5".parse().unwrap(), 24)],
        }]);
    }
    let interfaces = client.guest_interfaces(node, vmid(300)).await.unwrap();
    let addresses: Vec<String> = interfaces
        .iter()
        .flat_map(|interface| &interface.addresses)
        .map(|at| format!("{}/{}", at.address, at.prefix))
        .collect();
    assert_eq!(addresses, ["192.0.2.5/24"]);
}
