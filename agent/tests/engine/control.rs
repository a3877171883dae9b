//! Control, logs and watching on the real Engine.

use std::time::Duration;

use futures_util::StreamExt as _;
use omni_scale_agent::stack::{Control, ControlAction, ReadLogs, testing};
use omni_scale_proto::v1::ContainerState;
use tokio::time::{Instant, timeout};

use super::bench::{Bench, on_the_engine, stack};

async fn control(bench: &Bench, action: ControlAction, services: &[&str]) -> String {
    let control = Control {
        operation: testing::new_operation(),
        name: bench.project.parse().unwrap(),
        action,
        services: services.iter().map(|name| name.parse().unwrap()).collect(),
        deadline: Instant::now() + Duration::from_secs(60),
    };
    let done = bench.stacks.control(&control, &bench.reporter).await;
    done.unwrap().summary
}

#[tokio::test]
async fn a_restarted_sidecar_keeps_its_sharers_on_the_live_namespace() {
    on_the_engine(async |bench| {
        bench.apply(&stack(bench).await).await.unwrap();
        let before = bench.observe().await;
        assert_eq!(
            control(bench, ControlAction::Restart, &["omni-tailscale"]).await,
            "restarted omni-tailscale, omni, proxmox-provider"
        );
        let after = bench.observe().await;
        for (before, after) in before.services.iter().zip(&after.services) {
            assert_eq!(before.container_id, after.container_id);
            assert!(after.namespace_live, "{after:?}");
            assert!(before.started_at_milliseconds < after.started_at_milliseconds);
        }
        let fetch = [
            "/bin/wget",
            "-q",
            "-O",
            "-",
            "http://127.0.0.1:8080/etc/layer",
        ];
        assert_eq!(bench.inside("omni", &fetch).await, "first");
        control(bench, ControlAction::Stop, &[]).await;
        let stopped = bench.observe().await;
        assert!(
            stopped
                .services
                .iter()
                .all(|service| service.state() == ContainerState::Exited)
        );
        control(bench, ControlAction::Start, &[]).await;
        let started = bench.observe().await;
        assert!(
            started
                .services
                .iter()
                .all(|service| service.namespace_live)
        );
    })
    .await;
}

#[tokio::test]
async fn a_log_is_followed_over_a_restart() {
    on_the_engine(async |bench| {
        bench.apply(&stack(bench).await).await.unwrap();
        let wanted = ReadLogs {
            name: bench.project.parse().unwrap(),
            services: vec!["omni".parse().unwrap()],
            lines: 10,
            follow: true,
        };
        let mut lines = bench.stacks.read_logs(wanted).await.unwrap();
        let mut line = async || {
            let line = timeout(Duration::from_secs(20), lines.next()).await;
            line.unwrap().unwrap().unwrap()
        };
        let first = line().await;
        assert_eq!(
            (first.source.as_str(), first.line.as_str()),
            ("omni", "ready")
        );
        assert!(first.time_milliseconds > 0);
        control(bench, ControlAction::Restart, &["omni"]).await;
        assert_eq!(line().await.line, "ready");
    })
    .await;
}

#[tokio::test]
async fn a_change_is_seen_without_asking() {
    on_the_engine(async |bench| {
        bench.apply(&stack(bench).await).await.unwrap();
        let mut watched = bench.stacks.watch(bench.project.parse().unwrap());
        assert!(watched.next().await.unwrap().known);
        control(bench, ControlAction::Stop, &["proxmox-provider"]).await;
        let stopped = async {
            loop {
                let observed = watched.next().await.unwrap();
                let mut services = observed.services.into_iter();
                let provider = services.find(|service| service.service == "proxmox-provider");
                if provider.unwrap().state() == ContainerState::Exited {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(10), stopped).await.unwrap();
    })
    .await;
}
