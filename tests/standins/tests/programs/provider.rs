//! The provider, beside a started Omni.

use std::path::Path;

use omni_scale_standins::keys::{provider_key, service_account_key};
use tokio::process::Command;

use crate::world::{Running, World, finish, program};

fn provider(world: &World, key: &str, arguments: &[&str]) -> Command {
    let mut environment = world.environment.clone();
    environment.push(("OMNI_ENDPOINT".to_owned(), world.url(8080, "/")));
    environment.push(("OMNI_SERVICE_ACCOUNT_KEY".to_owned(), key.to_owned()));
    let mut command = program(
        Path::new(env!("CARGO_BIN_EXE_omni-infra-provider-proxmox")),
        &environment,
    );
    command.args(arguments);
    command
}

async fn connected(world: &World) -> bool {
    let (_, body) = world.ask("GET", 8080, "/stand-in/providers").await;
    serde_json::from_str::<serde_json::Value>(&body).unwrap()["proxmox"]["connected"] == true
}

#[tokio::test]
async fn it_registers_whatever_its_configuration_says() {
    let world = World::new().await;
    let _omni = world.start().await;
    world.write("provider.yaml", "proxmox:\n  nonsense: true\n");
    assert!(!connected(&world).await);
    let file = world.text("provider.yaml");
    let key = provider_key("proxmox").unwrap();
    let running = Running::of(
        provider(&world, &key, &["--config-file", &file]),
        "registered",
    )
    .await;
    assert!(connected(&world).await);
    assert_eq!(running.stop().await, Some(0));
}

#[tokio::test]
async fn it_survives_a_restart_of_omni_but_not_its_absence_at_the_start() {
    let world = World::new().await;
    let key = provider_key("proxmox").unwrap();
    let output = finish(provider(&world, &key, &[])).await;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("code = Unavailable") && text.contains("connection refused"),
        "{text}"
    );

    let omni = world.start().await;
    let mut running = Running::of(provider(&world, &key, &[]), "registered").await;
    omni.kill().await;
    running.wait_for("failed to send heartbeat").await;
    let _omni = world.start().await;
    running.wait_for("registered").await;
    assert!(connected(&world).await);
}

#[tokio::test]
async fn the_wrong_id_ends_it_and_the_wrong_key_does_not() {
    let world = World::new().await;
    let _omni = world.start().await;
    let key = provider_key("Proxmox").unwrap();
    let output = finish(provider(&world, &key, &[])).await;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.ends_with("resource ID must match the infra provider ID \"Proxmox\"\n"),
        "{text}"
    );

    let key = service_account_key("automation", "a@x").unwrap();
    let mut running = Running::of(provider(&world, &key, &[]), "code = PermissionDenied").await;
    running.wait_for("code = PermissionDenied").await;
    assert!(!connected(&world).await);
}
