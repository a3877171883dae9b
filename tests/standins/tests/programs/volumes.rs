//! What the volumes keep.

use omni_scale_standins::keys::{Flaw, encryption_key};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn data_is_kept_over_a_stop_and_a_kill() {
    let mut world = World::new().await;
    world.set("initial-users", "a@example.com");
    assert_eq!(world.start().await.stop().await, Some(0));
    world.start().await.kill().await;
    world.set("initial-users", "b@example.com");
    let running = world.start().await;
    assert!(
        running
            .log
            .iter()
            .any(|line| line.contains("some users already exist, skipping initial users"))
    );
    let state = world.state().await;
    assert_eq!(
        state["users"],
        json!(["a@example.com"]),
        "the first one sticks"
    );
    assert_eq!(
        (&state["starts"], &state["sqlite_starts"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(state["version"], "v1.10.4");
}

#[tokio::test]
async fn another_account_id_is_healthy_and_empty() {
    let mut world = World::new().await;
    world.set("initial-users", "a@example.com");
    world.start().await.kill().await;
    world.set("account-id", "6ba7b810-9dad-41d1-80b4-00c04fd430c8");
    world.set("initial-users", "");
    let running = world.start().await;
    assert!(world.get(8080, "/healthz").await.met);
    assert_eq!(world.state().await["users"], json!([]));
    running.kill().await;
    world.unset("account-id");
    world.start().await;
}

#[tokio::test]
async fn another_key_does_not_open_the_state() {
    let world = World::new().await;
    world.start().await.kill().await;
    world.write(
        "omni.asc",
        &encryption_key("Other <o@x>", Flaw::None).unwrap(),
    );
    let text = world.fails().await;
    assert!(
        text.starts_with("slot 'Other <o@x> ") && text.ends_with("' not found"),
        "{text}"
    );
}

#[tokio::test]
async fn two_user_ids_fail_from_the_second_start_on_unless_lucky() {
    let mut world = World::new().await;
    world.write(
        "omni.asc",
        &encryption_key("Omni <o@x>", Flaw::TwoUserIds).unwrap(),
    );
    world.start().await.kill().await;
    assert!(world.fails().await.ends_with("' not found"));
    world.set_environment("OMNI_STANDIN_SEED", "4");
    world.start().await.kill().await;
}
