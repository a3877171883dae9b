//! Containers that run once: fed by standard input, inside of another one's namespace, bounded,
//! and gone afterwards.

use std::time::Duration;

use omni_scale_agent::service::checks::StackChecks as _;
use omni_scale_agent::stack::engine::{
    ContainerSpecification, Containers as _, EngineError, Images as _, NetworkAttachment, OneShot,
};
use omni_scale_agent::stack::probe::{ProbeError, ProbeImage};
use omni_scale_probe::{BodyExpectation, ProbeRequest};
use omni_scale_proto::v1::{self, CheckStatus};

use super::bench::{Bench, on_the_engine, stack};
use super::registry::program;

fn one_shot(bench: &Bench, stack: &v1::Stack, command: &[&str]) -> OneShot {
    OneShot {
        container: ContainerSpecification {
            name: format!("{}-once", bench.project),
            image: stack.services[1].image.clone(),
            command: Some(command.iter().map(ToString::to_string).collect()),
            user: "65534:65534".to_owned(),
            capabilities_drop: vec!["ALL".to_owned()],
            security_options: vec!["no-new-privileges".to_owned()],
            read_only: true,
            logging: Some(v1::Logging {
                driver: "none".to_owned(),
                ..v1::Logging::default()
            }),
            process_limit: Some(32),
            memory_limit: Some(64 * 1024 * 1024),
            ..ContainerSpecification::default()
        },
        input: Vec::new(),
        bound: Duration::from_secs(30),
    }
}

#[tokio::test]
async fn what_goes_in_comes_out_and_nothing_stays() {
    on_the_engine(async |bench| {
        let stack = stack(bench).await;
        bench.apply(&stack).await.unwrap();
        let mut echo = one_shot(
            bench,
            &stack,
            &["/bin/sh", "-c", "cat; echo fault >&2; exit 3"],
        );
        // As large as the roots of a host.
        echo.input = b"0123456789abcde\n".repeat(16 * 1024);
        let output = bench.engine.run_to_end(&echo).await.unwrap();
        assert_eq!(output.exit_code, 3);
        assert_eq!(output.stdout, echo.input);
        assert_eq!(output.stderr, b"fault\n");
        let left = bench.engine.container(&echo.container.name).await.unwrap();
        assert!(left.is_none());

        let mut fetch = one_shot(
            bench,
            &stack,
            &[
                "/bin/wget",
                "-q",
                "-O",
                "-",
                "http://127.0.0.1:8080/etc/layer",
            ],
        );
        let sidecar = bench.service("omni-tailscale").await.container_id;
        fetch.container.network = NetworkAttachment::Container(sidecar);
        let output = bench.engine.run_to_end(&fetch).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "first");

        let mut endless = one_shot(bench, &stack, &["/bin/sleep", "1000"]);
        endless.bound = Duration::from_secs(2);
        let bounded = bench.engine.run_to_end(&endless).await;
        assert!(
            matches!(bounded, Err(EngineError::TimedOut { .. })),
            "{bounded:?}"
        );
        let left = bench
            .engine
            .container(&endless.container.name)
            .await
            .unwrap();
        assert!(left.is_none());
    })
    .await;
}

#[tokio::test]
async fn the_probe_becomes_an_image_and_runs_in_the_namespace() {
    on_the_engine(async |bench| {
        let stack = stack(bench).await;
        bench.apply(&stack).await.unwrap();
        // Not the probe, but as static as it is: it runs, and says that it is not a probe.
        let path = bench.directory.path().join("program");
        omni_scale_agent::files::write_atomically(&path, &program(), 0o755).unwrap();
        let probe = ProbeImage::new(path);
        let request = ProbeRequest::status("http://127.0.0.1:8080/", 200, BodyExpectation::Any, "");
        let omni = bench.service("omni").await.container_id;
        for _ in 0..2 {
            let error = probe
                .probe(&*bench.engine, &omni, &request)
                .await
                .unwrap_err();
            let ProbeError::Silent {
                exit_code: 127,
                said,
            } = error
            else {
                panic!("{error}");
            };
            assert!(said.contains("applet not found"), "{said}");
        }
        let left = bench
            .engine
            .labelled_containers("omni-scale.probe=run")
            .await
            .unwrap();
        assert!(left.is_empty(), "{left:?}");
        tun_is_told_by_the_engine_itself(bench).await;
        for image in bench
            .engine
            .labelled_images("omni-scale.probe")
            .await
            .unwrap()
        {
            bench.engine.forget_image(&image).await.unwrap();
        }
    })
    .await;
}

async fn tun_is_told_by_the_engine_itself(bench: &Bench) {
    let path = bench.directory.path().join("omni-scale-probe");
    omni_scale_agent::files::write_atomically(&path, &program(), 0o755).unwrap();
    let finding = bench.stacks.tun().await;
    let expected = if std::path::Path::new("/dev/net/tun").exists() {
        CheckStatus::Passed
    } else {
        CheckStatus::Failed
    };
    assert_eq!(finding.status, expected, "{finding:?}");
    assert_eq!(bench.stacks.engine().await.status, CheckStatus::Passed);
}
