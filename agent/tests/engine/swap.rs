//! Replacing containers: what is kept, what follows, and what comes back.

use omni_scale_proto::v1::{self, ContainerState};

use super::bench::{on_the_engine, stack};

#[tokio::test]
async fn a_new_sidecar_keeps_its_volume_and_takes_its_sharers_along() {
    on_the_engine(async |bench| {
        let mut stack = stack(bench).await;
        bench.apply(&stack).await.unwrap();
        bench
            .inside(
                "omni-tailscale",
                &["/bin/sh", "-c", "echo node-1 > /state/identity"],
            )
            .await;
        let before = bench.observe().await;
        stack.services[2].image = bench
            .registry
            .publish(&bench.docker, "sidecar", "0", "second")
            .await;
        let done = bench.apply(&stack).await.unwrap();
        assert_eq!(
            done.summary,
            "recreated omni-tailscale, omni, proxmox-provider"
        );
        let after = bench.observe().await;
        for (before, after) in before.services.iter().zip(&after.services) {
            assert_ne!(before.container_id, after.container_id);
            assert_eq!(before.container_name, after.container_name);
        }
        assert!(after.services.iter().all(|service| service.namespace_live));
        assert_eq!(
            bench
                .inside("omni-tailscale", &["/bin/cat", "/state/identity"])
                .await,
            "node-1"
        );
        assert_eq!(bench.apply(&stack).await.unwrap().summary, "nothing to do");
    })
    .await;
}

#[tokio::test]
async fn another_image_leaves_the_others_running() {
    on_the_engine(async |bench| {
        let mut stack = stack(bench).await;
        bench.apply(&stack).await.unwrap();
        let sidecar = bench.service("omni-tailscale").await;
        let provider = bench.service("proxmox-provider").await;
        stack.services[1].image = bench
            .registry
            .publish(&bench.docker, "omni-2", "omni", "second")
            .await;
        assert_eq!(bench.apply(&stack).await.unwrap().summary, "recreated omni");
        assert_eq!(bench.service("omni-tailscale").await, sidecar);
        assert_eq!(bench.service("proxmox-provider").await, provider);
        assert_eq!(
            bench.inside("omni", &["/bin/cat", "/etc/layer"]).await,
            "second"
        );
    })
    .await;
}

#[tokio::test]
async fn a_container_that_cannot_start_gives_the_place_back() {
    on_the_engine(async |bench| {
        let mut stack = stack(bench).await;
        bench.apply(&stack).await.unwrap();
        let before = bench.service("omni-tailscale").await;
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        stack.services[2].ports = vec![v1::PublishedPort {
            host_address: "127.0.0.1".to_owned(),
            host_port: taken.local_addr().unwrap().port().into(),
            container_port: 8080,
            protocol: v1::PortProtocol::Tcp.into(),
        }];
        let failure = bench.apply(&stack).await.unwrap_err();
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
        let after = bench.observe().await;
        assert!(
            after
                .services
                .iter()
                .all(|service| service.state() == ContainerState::Running)
        );
        assert!(after.services.iter().all(|service| service.namespace_live));
        assert_eq!(
            bench.service("omni-tailscale").await.container_id,
            before.container_id
        );
        drop(taken);
        let done = bench.apply(&stack).await.unwrap();
        assert!(
            done.summary.starts_with("recreated omni-tailscale"),
            "{}",
            done.summary
        );
    })
    .await;
}
