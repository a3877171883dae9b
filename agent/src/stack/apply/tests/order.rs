//! What is done, and in which order.

use omni_scale_proto::v1::{ContainerState, DependencyCondition};

use super::*;
use crate::stack::engine::NetworkAttachment;
use crate::stack::testing::Behaviour;

#[tokio::test(start_paused = true)]
async fn a_volume_of_another_name_is_mounted_and_the_one_before_stays() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    let mut stack = testing::stack();
    "omni_new".clone_into(&mut stack.volumes[0].engine_name);
    host.apply(&stack).await.unwrap();
    let sidecar = host.engine.named("omni-omni-tailscale-1").unwrap();
    assert_eq!(sidecar.volumes[0].name, "omni_new");
    assert_eq!(host.observe().await.volumes, ["omni_new", "omni_state"]);
    // And again: there is nothing to do.
    host.engine.forget_calls();
    host.apply(&stack).await.unwrap();
    assert!(!host.changes().iter().any(|call| call.starts_with("create")));
}

#[tokio::test(start_paused = true)]
async fn a_network_of_another_name_is_joined() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    let mut stack = testing::stack();
    "omni_other".clone_into(&mut stack.networks[0].engine_name);
    host.apply(&stack).await.unwrap();
    let sidecar = host.engine.named("omni-omni-tailscale-1").unwrap();
    assert_eq!(sidecar.networks, ["omni_other"]);
}

#[tokio::test(start_paused = true)]
async fn a_stack_comes_up_in_dependency_order() {
    let host = StackHost::new();
    let done = host.apply(&testing::stack()).await.unwrap();
    assert_eq!(
        done.summary,
        "created omni-tailscale, omni, proxmox-provider"
    );
    let starts: Vec<String> = host
        .changes()
        .into_iter()
        .filter(|call| call.starts_with("start "))
        .collect();
    assert_eq!(
        starts,
        [
            "start omni-omni-tailscale-1",
            "start omni-omni-1",
            "start omni-proxmox-provider-1"
        ]
    );
    let sidecar = host.engine.named("omni-omni-tailscale-1").unwrap();
    let omni = host.engine.made_from("omni-omni-1").unwrap();
    assert_eq!(omni.network, NetworkAttachment::Container(sidecar.id));
    let observed = host.observe().await;
    assert!(
        observed
            .services
            .iter()
            .all(|service| service.namespace_live && service.applied.is_some())
    );
    assert_eq!(observed.volumes, ["omni_state"]);
}

#[tokio::test(start_paused = true)]
async fn the_second_time_nothing_is_done() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    host.engine.forget_calls();
    let done = host.apply(&testing::stack()).await.unwrap();
    assert_eq!(done.summary, "nothing to do");
    assert_eq!(host.changes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn another_image_recreates_that_service_alone() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    let before = host.engine.named("omni-omni-1").unwrap();
    host.engine.forget_calls();
    let done = host.apply(&with_newer_image("omni")).await.unwrap();
    assert_eq!(done.summary, "recreated omni");
    let short = &before.id[..12];
    let digest = host.observe().await.services[0].digest[..12].to_owned();
    assert_eq!(
        host.changes(),
        [
            format!("pull {}", testing::image("registry.example/omni", '2')),
            format!("create omni-omni-1-next-{digest}"),
            "stop omni-omni-1".to_owned(),
            "restart-policy RESTART_POLICY_NO omni-omni-1".to_owned(),
            format!("rename omni-omni-1 omni-omni-1-previous-{short}"),
            format!("rename omni-omni-1-next-{digest} omni-omni-1"),
            "start omni-omni-1".to_owned(),
            format!("remove omni-omni-1-previous-{short}"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_sidecar_takes_its_sharers_with_it() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    let before = host.engine.named("omni-omni-tailscale-1").unwrap();
    host.engine.forget_calls();
    host.apply(&with_newer_image("omni-tailscale"))
        .await
        .unwrap();
    let order: Vec<String> = host
        .changes()
        .into_iter()
        .filter(|call| call.starts_with("stop omni") || call.starts_with("start "))
        .collect();
    assert_eq!(
        order,
        [
            "stop omni-proxmox-provider-1",
            "stop omni-omni-1",
            "stop omni-omni-tailscale-1",
            "start omni-omni-tailscale-1",
            // Stopped already: the exchange makes sure.
            "stop omni-omni-1",
            "start omni-omni-1",
            "stop omni-proxmox-provider-1",
            "start omni-proxmox-provider-1",
        ]
    );
    let after = host.engine.named("omni-omni-tailscale-1").unwrap();
    assert_ne!(before.id, after.id);
    assert_eq!(before.volumes, after.volumes);
    assert!(
        host.observe()
            .await
            .services
            .iter()
            .all(|service| service.namespace_live)
    );
    assert_eq!(host.engine.names().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn sharers_outside_of_the_change_are_left_stopped_and_named() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    let newer = with_newer_image("omni-tailscale");
    let done = host
        .apply_services(&newer, &["omni-tailscale"])
        .await
        .unwrap();
    assert_eq!(done.warnings.len(), 2, "{:?}", done.warnings);
    assert!(
        done.warnings
            .iter()
            .any(|warning| warning.contains("`omni` shares"))
    );
    let omni = host.engine.named("omni-omni-1").unwrap();
    assert_eq!(omni.state, ContainerState::Exited);
    // The next change finds them with a dead namespace.
    let done = host.apply(&newer).await.unwrap();
    assert_eq!(done.summary, "recreated omni, proxmox-provider");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_sidecar_is_found_and_its_sharers_recreated() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    host.engine.tamper("omni-omni-tailscale-1", |details| {
        details.started_at_milliseconds += 1_000_000;
        details.restarts = 1;
    });
    let done = host.apply(&testing::stack()).await.unwrap();
    assert_eq!(done.summary, "recreated omni, proxmox-provider");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_sidecar_is_started_and_its_sharers_recreated() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    host.engine.end("omni-omni-tailscale-1", 1);
    let done = host.apply(&testing::stack()).await.unwrap();
    assert_eq!(
        done.summary,
        "recreated omni, proxmox-provider; started omni-tailscale"
    );
    assert!(
        host.observe()
            .await
            .services
            .iter()
            .all(|service| service.namespace_live)
    );
}

#[tokio::test(start_paused = true)]
async fn a_completed_dependency_lets_the_next_one_start() {
    let host = StackHost::new();
    let mut stack = testing::stack();
    stack.services.push(testing::service("migrate"));
    stack.services[1].depends_on.push(testing::after(
        "migrate",
        DependencyCondition::CompletedSuccessfully,
    ));
    host.engine.behave("migrate", Behaviour::Exits(0));
    host.apply(&stack).await.unwrap();
    host.engine.forget_calls();
    assert_eq!(host.apply(&stack).await.unwrap().summary, "nothing to do");
}

#[tokio::test(start_paused = true)]
async fn each_layer_is_told_while_an_image_is_pulled() {
    let host = StackHost::new();
    let (_, mut heard) = host.reporter.subscribe();
    host.apply(&testing::stack()).await.unwrap();
    let mut layers = Vec::new();
    while let Ok(progress) = heard.try_recv() {
        if let Some(v1::progress::Event::Pull(step)) = progress.event
            && step.image.contains("tailscale")
        {
            layers.push((step.layer, step.status));
        }
    }
    assert_eq!(
        layers,
        [
            ("a1".to_owned(), "Downloading".to_owned()),
            ("a1".to_owned(), "Pull complete".to_owned()),
            ("b2".to_owned(), "Downloading".to_owned()),
            ("b2".to_owned(), "Pull complete".to_owned()),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_an_image_made_for_itself_goes_to_its_successor() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    let nameless = "e".repeat(64);
    host.engine.tamper("omni-omni-1", |details| {
        details.volumes.push(crate::stack::engine::VolumeUse {
            name: "e".repeat(64),
            target: "/var/lib/omni".to_owned(),
        });
    });
    host.apply(&with_newer_image("omni")).await.unwrap();
    let omni = host.engine.named("omni-omni-1").unwrap();
    assert_eq!(omni.volumes[0].name, nameless);
}
