//! A stack from its first start on: order, files, labels, namespaces, volumes, events.

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::KillContainerOptionsBuilder;
use futures_util::StreamExt as _;
use omni_scale_agent::stack::engine::EventKind;
use omni_scale_agent::stack::feed::{Feed, follow};
use omni_scale_agent::stack::testing::{file, literal, secret};
use omni_scale_proto::v1::{self, ContainerHealth, ContainerState};

use super::bench::{on_the_engine, stack};

#[tokio::test]
async fn a_stack_comes_up_and_stays_as_it_is() {
    on_the_engine(async |bench| {
        bench.set_secret("client", "hunter2hunter2");
        let mut stack = stack(bench).await;
        stack.services[1].files = vec![
            file("/etc/omni/config.yaml", literal("account: 1\n")),
            file("/run/key", secret("client")),
        ];
        let (_, mut heard) = bench.reporter.subscribe();
        let done = bench.apply(&stack).await.unwrap();
        assert_eq!(
            done.summary,
            "created omni-tailscale, omni, proxmox-provider"
        );

        // Both layers of the image were told of, with their bytes.
        let mut layers = Vec::new();
        while let Ok(progress) = heard.try_recv() {
            if let Some(v1::progress::Event::Pull(step)) = progress.event
                && step.status == "Pull complete"
            {
                layers.push(step.layer);
            }
        }
        assert_eq!(layers.len(), 2, "{layers:?}");

        let sidecar = bench.service("omni-tailscale").await;
        assert_eq!(sidecar.health(), ContainerHealth::Healthy);
        let omni = bench.service("omni").await;
        assert_eq!(omni.state(), ContainerState::Running);
        assert!(omni.namespace_live && omni.namespace_of == "omni-tailscale");
        assert!(omni.image_digest.starts_with("sha256:"));

        // It is the sidecar's namespace indeed: its server is on the sharer's loopback.
        let fetch = [
            "/bin/wget",
            "-q",
            "-O",
            "-",
            "http://127.0.0.1:8080/etc/layer",
        ];
        assert_eq!(bench.inside("omni", &fetch).await, "first");

        // The files are the image's user's and nobody else's, in a directory that was not there.
        let stat = [
            "/bin/stat",
            "-c",
            "%a %u %g %n",
            "/run/key",
            "/etc/omni/config.yaml",
            "/etc/omni",
        ];
        assert_eq!(
            bench.inside("omni", &stat).await,
            "400 1000 1001 /run/key\n400 1000 1001 /etc/omni/config.yaml\n755 0 0 /etc/omni"
        );
        assert_eq!(
            bench.inside("omni", &["/bin/cat", "/run/key"]).await,
            "hunter2hunter2"
        );
        let labels = bench.labels(&omni.container_id).await;
        assert_eq!(
            labels["com.docker.compose.depends_on"],
            "omni-tailscale:service_healthy:false"
        );
        assert!(labels["com.docker.compose.image"].starts_with("sha256:"));
        assert!(!labels.values().any(|value| value.contains("hunter2")));

        let before: Vec<_> = ids(&bench.observe().await);
        assert_eq!(bench.apply(&stack).await.unwrap().summary, "nothing to do");
        assert_eq!(ids(&bench.observe().await), before);
    })
    .await;
}

fn ids(observed: &v1::StackObservation) -> Vec<(String, i64)> {
    let id = |service: &v1::ServiceObservation| {
        (
            service.container_id.clone(),
            service.started_at_milliseconds,
        )
    };
    observed.services.iter().map(id).collect()
}

#[tokio::test]
async fn a_container_that_is_killed_is_heard_of() {
    on_the_engine(async |bench| {
        let stack = stack(bench).await;
        bench.apply(&stack).await.unwrap();
        let omni = bench.service("omni").await.container_id;
        let mut feed = follow(
            Arc::clone(&bench.engine) as Arc<_>,
            &bench.project.parse().unwrap(),
        );
        assert_eq!(feed.next().await, Some(Feed::Connected));
        let options = KillContainerOptionsBuilder::new().signal("KILL").build();
        bench
            .docker
            .kill_container(&omni, Some(options))
            .await
            .unwrap();
        let died = async {
            loop {
                if let Some(Feed::Event(event)) = feed.next().await
                    && event.container == omni
                    && matches!(event.kind, EventKind::Died { .. })
                {
                    return event;
                }
            }
        };
        let died = tokio::time::timeout(Duration::from_secs(5), died)
            .await
            .unwrap();
        assert_eq!(died.kind, EventKind::Died { exit_code: 137 });
        assert_eq!(bench.service("omni").await.state(), ContainerState::Exited);
        let done = bench.apply(&stack).await.unwrap();
        assert_eq!(done.summary, "started omni");
    })
    .await;
}
