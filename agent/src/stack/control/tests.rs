use std::time::Duration;

use super::*;
use crate::stack::testing::{self, Behaviour, StackHost, running_stack};

async fn control(
    host: &StackHost,
    action: ControlAction,
    services: &[&str],
) -> Result<Done, Failure> {
    control_as(host, testing::new_operation(), action, services).await
}

async fn control_as(
    host: &StackHost,
    operation: OperationId,
    action: ControlAction,
    services: &[&str],
) -> Result<Done, Failure> {
    let control = Control {
        operation,
        name: "omni".parse().unwrap(),
        action,
        services: services.iter().map(|name| name.parse().unwrap()).collect(),
        deadline: Instant::now() + Duration::from_secs(60),
    };
    host.stacks.control(&control, &host.reporter).await
}

/// Stops and starts since the last time this was asked.
fn changes(host: &StackHost) -> Vec<String> {
    let changes = host.changes();
    host.engine.forget_calls();
    changes
        .into_iter()
        .map(|call| {
            call.replace("omni-omni-tailscale-1", "sidecar")
                .replace("omni-omni-1", "omni")
                .replace("omni-proxmox-provider-1", "provider")
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_restarted_sidecar_restarts_its_sharers_in_order() {
    let host = running_stack().await;
    let done = control(&host, ControlAction::Restart, &["omni-tailscale"])
        .await
        .unwrap();
    assert_eq!(
        done.summary,
        "restarted omni-tailscale, omni, proxmox-provider"
    );
    assert_eq!(
        changes(&host),
        [
            "stop provider",
            "stop omni",
            "stop sidecar",
            "start sidecar",
            "start omni",
            "start provider"
        ]
    );
    let observed = host.stacks.observe(&"omni".parse().unwrap(), &[]).await;
    assert!(
        observed
            .services
            .iter()
            .all(|service| service.namespace_live)
    );
}

#[tokio::test(start_paused = true)]
async fn a_restarted_sharer_leaves_the_others_alone() {
    let host = running_stack().await;
    control(&host, ControlAction::Restart, &["omni"])
        .await
        .unwrap();
    assert_eq!(changes(&host), ["stop omni", "start omni"]);
}

#[tokio::test(start_paused = true)]
async fn everything_stops_from_the_end_and_starts_from_the_beginning() {
    let host = running_stack().await;
    control(&host, ControlAction::Stop, &[]).await.unwrap();
    assert_eq!(
        changes(&host),
        ["stop provider", "stop omni", "stop sidecar"]
    );
    let again = control(&host, ControlAction::Stop, &[]).await.unwrap();
    assert_eq!(again.summary, "nothing to do");
    changes(&host);
    control(&host, ControlAction::Start, &[]).await.unwrap();
    assert_eq!(
        changes(&host),
        ["start sidecar", "start omni", "start provider"]
    );
    assert_eq!(
        control(&host, ControlAction::Start, &[])
            .await
            .unwrap()
            .summary,
        "nothing to do"
    );
}

#[tokio::test(start_paused = true)]
async fn a_sharer_with_a_dead_namespace_is_started_anew() {
    let host = running_stack().await;
    host.engine.tamper("omni-omni-tailscale-1", |details| {
        details.started_at_milliseconds += 1_000_000;
    });
    let done = control(&host, ControlAction::Start, &["omni"])
        .await
        .unwrap();
    assert_eq!(done.summary, "started omni");
    assert_eq!(changes(&host), ["stop omni", "start omni"]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_sidecar_takes_its_sharers_with_it() {
    let host = running_stack().await;
    let done = control(&host, ControlAction::Stop, &["omni-tailscale"])
        .await
        .unwrap();
    assert_eq!(
        done.summary,
        "stopped proxmox-provider, omni, omni-tailscale"
    );
}

fn runs(host: &StackHost, container: &str) -> bool {
    host.engine.named(container).unwrap().is_running()
}

/// A host whose sidecar was restarted and did not become healthy; the next time it would.
async fn after_a_failed_restart() -> StackHost {
    let host = running_stack().await;
    host.engine.behave("omni-tailscale", Behaviour::Unhealthy);
    control(&host, ControlAction::Restart, &["omni-tailscale"])
        .await
        .unwrap_err();
    host.engine.behave("omni-tailscale", Behaviour::Healthy);
    host
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_restart_left_stopped_runs_after_the_next() {
    let host = after_a_failed_restart().await;
    assert!(!runs(&host, "omni-omni-1"));
    // Failing once more forgets nothing.
    host.engine.behave("omni-tailscale", Behaviour::Unhealthy);
    control(&host, ControlAction::Restart, &["omni-tailscale"])
        .await
        .unwrap_err();
    host.engine.behave("omni-tailscale", Behaviour::Healthy);
    let done = control(&host, ControlAction::Restart, &["omni-tailscale"])
        .await
        .unwrap();
    assert_eq!(
        done.summary,
        "restarted omni-tailscale, omni, proxmox-provider"
    );
    assert!(runs(&host, "omni-omni-1") && runs(&host, "omni-proxmox-provider-1"));
    let done = control(&host, ControlAction::Start, &["omni"]).await;
    assert_eq!(done.unwrap().summary, "nothing to do");
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_agent_left_stopped_runs_after_the_next() {
    for (action, again) in [
        (ControlAction::Restart, "restarted"),
        (ControlAction::Start, "started"),
    ] {
        let host = running_stack().await;
        host.engine.hang("start omni-omni-tailscale-1");
        let killed = tokio::select! {
            ended = control(&host, ControlAction::Restart, &["omni-tailscale"]) => Some(ended),
            () = host.engine.hangs() => None,
        };
        assert!(killed.is_none(), "{killed:?}");
        let done = control(&host, action, &["omni-tailscale"]).await.unwrap();
        let all = "omni-tailscale, omni, proxmox-provider";
        assert_eq!(done.summary, format!("{again} {all}"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_stopped_on_purpose_is_not_started_with_others() {
    let host = after_a_failed_restart().await;
    control(&host, ControlAction::Stop, &["proxmox-provider"])
        .await
        .unwrap();
    let done = control(&host, ControlAction::Restart, &["omni-tailscale"]).await;
    assert_eq!(done.unwrap().summary, "restarted omni-tailscale, omni");

    let host = after_a_failed_restart().await;
    // Its sharers would have been stopped with it.
    control(&host, ControlAction::Stop, &["omni-tailscale"])
        .await
        .unwrap();
    let done = control(&host, ControlAction::Start, &["omni-tailscale"]).await;
    assert_eq!(done.unwrap().summary, "started omni-tailscale");
}

#[tokio::test(start_paused = true)]
async fn an_apply_makes_good_what_a_restart_left_stopped() {
    let host = after_a_failed_restart().await;
    let stack = testing::stack();
    let record = || host.stacks.record(&"omni".parse().unwrap()).unwrap();
    host.engine
        .set_health("omni-omni-tailscale-1", v1::ContainerHealth::Healthy);
    host.apply_services(&stack, &["omni-tailscale", "omni"])
        .await
        .unwrap();
    assert_eq!(Vec::from_iter(record().owed), ["proxmox-provider"]);
    host.apply(&stack).await.unwrap();
    assert!(record().owed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_done_once_for_one_operation() {
    let host = running_stack().await;
    let once = testing::new_operation();
    for services in [&[] as &[&str], &["omni-tailscale"]] {
        control_as(&host, once.clone(), ControlAction::Restart, services)
            .await
            .unwrap();
        assert_eq!(
            changes(&host).len(),
            if services.is_empty() { 6 } else { 0 }
        );
    }
    control(&host, ControlAction::Restart, &[]).await.unwrap();
    assert_eq!(changes(&host).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_was_broken_off_goes_on_where_it_was() {
    let host = running_stack().await;
    let once = testing::new_operation();
    host.engine.hang("start omni-omni-1");
    let killed = tokio::select! {
        ended = control_as(&host, once.clone(), ControlAction::Restart, &["omni-tailscale"]) => Some(ended),
        () = host.engine.hangs() => None,
    };
    assert!(killed.is_none(), "{killed:?}");
    changes(&host);
    control_as(&host, once, ControlAction::Restart, &["omni-tailscale"])
        .await
        .unwrap();
    assert_eq!(changes(&host), ["start omni", "start provider"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_named() {
    let host = running_stack().await;
    let failure = control(&host, ControlAction::Start, &["gone"])
        .await
        .unwrap_err();
    assert_eq!(
        failure.message,
        "service `gone` of stack `omni` has no container"
    );
    let control = Control {
        operation: testing::new_operation(),
        name: "other".parse().unwrap(),
        action: ControlAction::Start,
        services: Vec::new(),
        deadline: Instant::now(),
    };
    let failure = host
        .stacks
        .control(&control, &Reporter::default())
        .await
        .unwrap_err();
    assert_eq!(failure.message, "no stack `other` was applied on this host");
}
