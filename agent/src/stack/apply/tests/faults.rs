//! When something fails on the way, and when the agent dies on the way.

use omni_scale_proto::v1::{ContainerState, FailureClass};

use super::*;
use crate::stack::engine::{Containers as _, EngineError};
use crate::stack::testing::Behaviour;

fn refused(message: &str) -> EngineError {
    EngineError::Failed {
        attempt: "cannot do it".to_owned(),
        status: 500,
        message: message.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_create_leaves_the_old_container_running() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    let before = host.engine.picture();
    host.engine.forget_calls();
    host.engine.fail(
        "create omni-omni-tailscale-1-next",
        refused("no space left"),
    );
    let failure = host
        .apply(&with_newer_image("omni-tailscale"))
        .await
        .unwrap_err();
    assert!(failure.message.contains("no space left"), "{failure}");
    assert_eq!(host.engine.picture(), before);
    assert!(!host.changes().iter().any(|call| call.starts_with("stop")));
}

#[tokio::test(start_paused = true)]
async fn a_container_that_does_not_start_gives_the_place_back() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    let before = host.engine.picture();
    host.engine.fail(
        "start omni-omni-tailscale-1",
        refused("address already in use"),
    );
    let failure = host
        .apply(&with_newer_image("omni-tailscale"))
        .await
        .unwrap_err();
    assert!(
        failure.message.contains("address already in use"),
        "{failure}"
    );
    assert!(
        failure
            .message
            .ends_with("the previous container runs again"),
        "{failure}"
    );
    assert_eq!(host.engine.picture(), before);
    assert!(
        host.observe()
            .await
            .services
            .iter()
            .all(|service| service.namespace_live)
    );
}

#[tokio::test(start_paused = true)]
async fn a_container_whose_start_got_no_answer_and_that_runs_keeps_the_place() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    host.engine.lose_answer("start omni-omni-1");
    let newer = with_newer_image("omni");
    host.apply(&newer).await.unwrap();
    let omni = host.engine.made_from("omni-omni-1").unwrap();
    let wanted = newer.services.iter().find(|service| service.name == "omni");
    let digest = wanted.unwrap().image.rsplit('@').next().unwrap().to_owned();
    assert!(
        host.engine
            .named("omni-omni-1")
            .unwrap()
            .image
            .ends_with(&digest),
        "{omni:?}"
    );
    assert_eq!(host.engine.names().len(), newer.services.len());
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_cannot_remove_does_not_keep_the_old_container_from_its_place() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    let before = host.engine.picture();
    host.engine
        .fail("start omni-omni-1", refused("address already in use"));
    for _ in 0..2 {
        host.engine
            .fail("remove omni-omni-1", refused("device or resource busy"));
    }
    let newer = with_newer_image("omni");
    let failure = host.apply(&newer).await.unwrap_err();
    assert!(
        failure
            .message
            .ends_with("the previous container runs again"),
        "{failure}"
    );
    let names = host.engine.names();
    let aside = names.iter().find(|name| name.contains("-next-")).unwrap();
    assert_eq!(names.len(), before.len() + 1, "{names:?}");
    // It still cannot be removed, and nobody is kept from anything.
    let done = host.apply(&newer).await.unwrap();
    assert_eq!(done.warnings.len(), 1, "{:?}", done.warnings);
    assert!(done.warnings[0].contains(aside), "{:?}", done.warnings);
    assert!(host.apply(&newer).await.unwrap().warnings.is_empty());
    assert_eq!(host.engine.names().len(), before.len());
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_dependency_ends_the_wait_with_its_last_lines() {
    let host = StackHost::new();
    host.set_secret("client", "hunter2hunter2");
    host.engine.behave("omni-tailscale", Behaviour::Silent);
    let stack = testing::stack();
    let applied = host.apply(&stack);
    let engine = host.engine.clone();
    let fails = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        engine.write_log(
            "omni-omni-tailscale-1",
            "cannot log in with hunter2hunter2\n",
        );
        engine.set_health("omni-omni-tailscale-1", v1::ContainerHealth::Unhealthy);
    };
    let (applied, ()) = tokio::join!(applied, fails);
    let failure = applied.unwrap_err();
    assert_eq!(
        failure.message,
        "service `omni` waits in vain: service `omni-tailscale` is unhealthy"
    );
    assert_eq!(failure.class, FailureClass::Permanent);
    assert_eq!(failure.evidence, ["cannot log in with [secret client]"]);
    assert!(host.engine.named("omni-omni-1").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_ends_is_not_waited_for_long() {
    let host = StackHost::new();
    host.engine.behave("omni-tailscale", Behaviour::Exits(3));
    let failure = host.apply(&testing::stack()).await.unwrap_err();
    assert!(
        failure.message.contains("ended with exit code 3"),
        "{failure}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_the_engine_starts_again_is_waited_for() {
    let host = StackHost::new();
    host.set_secret("client", "hunter2hunter2");
    host.engine.behave("omni-tailscale", Behaviour::Silent);
    let stack = testing::stack();
    let applied = host.apply(&stack);
    let engine = host.engine.clone();
    // As an Engine does that was killed, and has come back.
    let restarts = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let name = "omni-omni-tailscale-1";
        engine.end(name, 0);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let id = engine.named(name).unwrap().id;
        engine.start(&id).await.unwrap();
        engine.set_health(name, v1::ContainerHealth::Healthy);
    };
    let (applied, ()) = tokio::join!(applied, restarts);
    applied.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_bounded_and_says_what_it_waited_for() {
    let host = StackHost::new();
    host.engine.behave("omni-tailscale", Behaviour::Silent);
    let failure = host.apply(&testing::stack()).await.unwrap_err();
    assert_eq!(
        failure.message,
        "service `omni` waits in vain: service `omni-tailscale` is not healthy in time: it is starting"
    );
    assert_eq!(failure.class, FailureClass::Transient);
}

#[tokio::test(start_paused = true)]
async fn a_wait_outlives_a_restart_of_the_engine() {
    let host = StackHost::new();
    host.engine.behave("omni-tailscale", Behaviour::Silent);
    let stack = testing::stack();
    let applied = host.apply(&stack);
    let engine = host.engine.clone();
    let restarts = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        engine.go_away();
        engine.tamper("omni-omni-tailscale-1", |details| {
            details.health = v1::ContainerHealth::Healthy;
        });
        tokio::time::sleep(Duration::from_secs(20)).await;
        engine.come_back();
    };
    let (applied, ()) = tokio::join!(applied, restarts);
    applied.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_is_a_passing_failure() {
    let host = StackHost::new();
    host.engine.go_away();
    let failure = host.apply(&testing::stack()).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    assert!(failure.hint.unwrap().contains("systemctl status docker"));
    let observed = host.observe().await;
    assert!(
        !observed.known && observed.reason.contains("does not answer"),
        "{observed:?}"
    );
}

/// Kills the agent at every change of two different applies; the next apply must come to the same
/// end as one that nobody killed, and no container may be lost on the way.
#[tokio::test(start_paused = true)]
async fn a_killed_agent_comes_to_the_same_end() {
    let newest = || {
        let mut stack = with_newer_image("omni-tailscale");
        stack.services[1].files = vec![testing::file("/omni.yaml", testing::literal("a: 1"))];
        stack
    };
    let undisturbed = StackHost::new();
    undisturbed.apply(&testing::stack()).await.unwrap();
    undisturbed.engine.forget_calls();
    undisturbed.apply(&newest()).await.unwrap();
    let changes = undisturbed.changes().len();
    let expected = undisturbed.engine.picture();
    assert!(changes > 20, "{changes}");

    for survived in 0..changes {
        let host = StackHost::new();
        host.apply(&testing::stack()).await.unwrap();
        host.engine.hang_after(survived);
        let newest_stack = newest();
        let killed = tokio::select! {
            ended = host.apply(&newest_stack) => Some(ended),
            () = host.engine.hangs() => None,
        };
        assert!(killed.is_none(), "{killed:?} after {survived} changes");
        host.engine.hang_never();
        let services = host.engine.names();
        // An Engine that comes back starts whatever has `always`.
        let aside = services.iter().filter(|name| name.contains("-previous-"));
        for name in aside {
            let restart = host.engine.named(name).unwrap().restart;
            assert_eq!(restart, v1::RestartPolicy::No, "{name} after {survived}");
        }
        for place in [
            "omni-omni-tailscale-1",
            "omni-omni-1",
            "omni-proxmox-provider-1",
        ] {
            assert!(
                services.iter().any(|name| name.starts_with(place)),
                "{place} is lost after {survived} changes: {services:?}"
            );
        }
        host.apply(&newest())
            .await
            .unwrap_or_else(|failure| panic!("after {survived} changes: {failure}"));
        assert_eq!(host.engine.picture(), expected, "after {survived} changes");
        let observed = host.observe().await;
        for service in &observed.services {
            let name = &service.service;
            assert!(service.applied.is_some(), "{name} after {survived}");
        }
        host.engine.forget_calls();
        assert_eq!(
            host.apply(&newest()).await.unwrap().summary,
            "nothing to do"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_was_interrupted_is_finished() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    host.engine.end("omni-omni-1", 137);
    let done = host.apply(&testing::stack()).await.unwrap();
    assert_eq!(done.summary, "started omni");
    let omni = host.engine.named("omni-omni-1").unwrap();
    assert_eq!(omni.state, ContainerState::Running);
}
