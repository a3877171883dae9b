use std::time::Duration;

use omni_scale_probe::BodyExpectation;

use super::*;
use crate::files;
use crate::service::health::{Health, HealthSource as _};
use crate::stack::engine::{Containers as _, HeldPort};
use crate::stack::health::StackHealth;
use crate::stack::testing::{StackHost, image, running_stack};

fn report(met: bool) -> String {
    format!(
        r#"{{"url":"http://127.0.0.1:8080/healthz","met":{met},"steps":[],"nameservers":[],"addresses":[],"elapsed_milliseconds":1}}"#
    )
}

/// The example stack, with a probe that finds what it should.
async fn host() -> StackHost {
    let host = running_stack().await;
    let program = host.directory.path().join("omni-scale-probe");
    files::write_atomically(&program, b"\x7fELF", 0o755).unwrap();
    host.engine.answer("run", 0, &report(true));
    host
}

fn healthz() -> ProbeRequest {
    ProbeRequest::status(
        "http://127.0.0.1:8080/healthz",
        200,
        BodyExpectation::Empty,
        "",
    )
}

#[tokio::test(start_paused = true)]
async fn the_engine_is_named_with_its_versions_or_why_it_is_not() {
    let host = host().await;
    assert_eq!(
        host.stacks.engine().await.summary,
        "Docker Engine model, API 1.45"
    );
    host.engine.go_away();
    let finding = host.stacks.engine().await;
    assert_eq!(finding.status, CheckStatus::Unknown);
    assert!(finding.hint.contains("systemctl status docker"));
    assert_eq!(host.stacks.engine_version().await, None);
}

#[tokio::test(start_paused = true)]
async fn tun_is_what_the_engine_can_give() {
    let host = host().await;
    assert_eq!(host.stacks.tun().await.status, CheckStatus::Passed);
    host.engine.fail(
        "run",
        EngineError::Failed {
            attempt: "cannot run container `x`".to_owned(),
            status: 500,
            message: "error gathering device information while adding custom device \"/dev/net/tun\": no such file or directory".to_owned(),
        },
    );
    let finding = host.stacks.tun().await;
    assert_eq!(finding.status, CheckStatus::Failed);
    assert!(finding.hint.contains("modprobe tun"));
}

#[tokio::test(start_paused = true)]
async fn a_stack_is_held_against_agent_toml() {
    let host = host().await;
    let mut stack = crate::stack::testing::stack();
    let check = |stack: &v1::Stack| v1::StackPolicyCheck {
        stack: Some(stack.clone()),
    };
    assert_eq!(
        host.stacks.stack_policy(&check(&stack)).await.status,
        CheckStatus::Passed
    );
    stack.services[0].image = image("evil.example/x", '1');
    let finding = host.stacks.stack_policy(&check(&stack)).await;
    assert_eq!(finding.status, CheckStatus::Failed);
    assert!(
        finding.hint.contains("`policy.image_repositories`"),
        "{}",
        finding.hint
    );
    assert!(!finding.may_change);
}

#[tokio::test(start_paused = true)]
async fn a_port_of_the_stack_itself_is_known() {
    let host = host().await;
    host.engine.tamper("omni-omni-tailscale-1", |details| {
        details.held_ports = vec![HeldPort {
            address: "192.0.2.7".to_owned(),
            port: 8090,
            protocol: PortProtocol::Tcp,
        }];
    });
    let holds = async |address: &str, port, protocol: PortProtocol| {
        let check = v1::PortFreeCheck {
            address: address.to_owned(),
            port,
            protocol: protocol.into(),
            stack: "omni".to_owned(),
        };
        host.stacks.holds_port("omni", &check).await
    };
    assert!(holds("192.0.2.7", 8090, PortProtocol::Tcp).await);
    assert!(holds("0.0.0.0", 8090, PortProtocol::Tcp).await);
    assert!(!holds("192.0.2.8", 8090, PortProtocol::Tcp).await);
    assert!(!holds("192.0.2.7", 8090, PortProtocol::Udp).await);
    assert!(!holds("192.0.2.7", 8091, PortProtocol::Tcp).await);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ended_cannot_be_probed_and_says_how_it_ended() {
    let host = host().await;
    host.engine
        .write_log("omni-omni-1", "no such file: /omni.asc\n");
    host.engine.end("omni-omni-1", 1);
    let omni = "omni".parse().unwrap();
    let stack = "omni".parse().unwrap();
    let finding = host
        .stacks
        .probe_in_namespace(&stack, &omni, healthz())
        .await
        .unwrap_err();
    assert_eq!(
        finding.summary,
        "service `omni` does not run: it ended with exit code 1"
    );
    assert_eq!(finding.evidence, ["no such file: /omni.asc"]);
    assert!(host.stacks.service_start(&stack, &omni).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_sidecar_is_asked_for_its_name() {
    let host = host().await;
    let check = v1::SidecarNameCheck {
        stack: "omni".to_owned(),
        service: "omni-tailscale".to_owned(),
        dns_name: "omni.tail.ts.net".to_owned(),
    };
    // Userspace networking is containerboot's default, and no fault.
    host.engine.answer(
        "tailscale",
        0,
        r#"{"BackendState":"Running","Self":{"DNSName":"omni.tail.ts.net."}}"#,
    );
    assert_eq!(
        host.stacks.sidecar_name(&check).await.status,
        CheckStatus::Passed
    );
    // The same words in the observation, for who looks at the whole.
    host.engine.answer(
        "tailscale",
        0,
        r#"{"BackendState":"NeedsLogin","HaveNodeKey":true,"Self":{"Expired":true}}"#,
    );
    let mut observed = host.observe().await;
    let sidecar = observed
        .services
        .iter_mut()
        .find(|other| other.service == "omni-tailscale")
        .unwrap();
    // What tells a service of containerboot from others.
    let applied = sidecar.applied.as_mut().unwrap();
    applied.environment.push(v1::EnvironmentVariable {
        name: "TS_STATE_DIR".to_owned(),
        value: None,
    });
    host.stacks.look_at_nodes(&mut observed).await;
    let said = |service: &str| {
        let mut services = observed.services.iter();
        let found = services.find(|other| other.service == service).unwrap();
        let kinds = found.node_conditions.iter().map(v1::NodeCondition::kind);
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(said("omni-tailscale"), [v1::NodeConditionKind::KeyExpired]);
    assert_eq!(said("omni"), []);
    // What a running node warns of, by its code.
    host.engine.answer(
        "tailscale",
        0,
        r#"{"BackendState":"Running","TUN":true,"Self":{"DNSName":"omni.tail.test.","Online":true},
            "CurrentTailnet":{"MagicDNSEnabled":true},"CertDomains":["omni.tail.test"]}"#,
    );
    host.engine.answer(
        "tailscale --socket=/tmp/tailscaled.sock debug watch-ipn --initial --initial-health --count=1",
        0,
        r#"{"Health": {"Warnings": {"no-derp-home": {"Severity": "high", "Text": "no relay"}}}}"#,
    );
    host.stacks.look_at_nodes(&mut observed).await;
    let sidecar = observed
        .services
        .iter()
        .find(|other| other.service == "omni-tailscale");
    let conditions = &sidecar.unwrap().node_conditions;
    assert_eq!(conditions[0].kind(), v1::NodeConditionKind::NoRelay);
    assert_eq!(conditions[0].code, "no-derp-home");
    // One that is too old to tell its codes.
    host.engine.answer(
        "tailscale --socket=/tmp/tailscaled.sock debug watch-ipn --initial --initial-health --count=1",
        2,
        "",
    );
    host.stacks.look_at_nodes(&mut observed).await;
    let sidecar = observed
        .services
        .iter()
        .find(|other| other.service == "omni-tailscale");
    let conditions = &sidecar.unwrap().node_conditions;
    assert_eq!(
        conditions[0].summary,
        "does not tell what it warns of: `tailscale debug watch-ipn` ended with 2"
    );
    assert_eq!(conditions[0].severity(), v1::NodeConditionSeverity::Note);
    host.engine.answer("tailscale", 1, "");
    assert_eq!(
        host.stacks.sidecar_name(&check).await.status,
        CheckStatus::Unknown
    );
}

#[tokio::test(start_paused = true)]
async fn the_products_own_answer_counts_for_its_health() {
    let host = host().await;
    let (stack, omni) = ("omni".parse().unwrap(), "omni".parse().unwrap());
    assert_eq!(host.stacks.products_answer().await, None);
    assert!(
        host.stacks
            .probe_in_namespace(&stack, &omni, healthz())
            .await
            .unwrap()
            .met
    );
    assert_eq!(host.stacks.products_answer().await, Some(Health::Serving));
    host.engine.answer("run", 1, &report(false));
    let source = StackHealth::new(host.stacks.clone());
    let mut health = source.watch("omni").unwrap();
    health
        .wait_for(|health| *health != Health::Unknown)
        .await
        .unwrap();
    assert_eq!(*health.borrow_and_update(), Health::NotServing);
    host.engine.answer("run", 0, &report(true));
    health.changed().await.unwrap();
    assert_eq!(*health.borrow(), Health::Serving);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_worth_nothing_for_who_watches_after_a_while() {
    let host = host().await;
    let (stack, omni) = ("omni".parse().unwrap(), "omni".parse().unwrap());
    host.stacks
        .probe_in_namespace(&stack, &omni, healthz())
        .await
        .unwrap();
    let source = StackHealth::new(host.stacks.clone());
    let _others = source.watch("provider").unwrap();
    let mut health = source.watch("omni").unwrap();
    health
        .wait_for(|health| *health == Health::Serving)
        .await
        .unwrap();
    drop(health);
    tokio::time::sleep(Duration::from_secs(60)).await;
    host.engine.answer("run", 1, &report(false));
    let mut health = source.watch("omni").unwrap();
    let soon = Duration::from_secs(5);
    let heard = tokio::time::timeout(soon, health.changed()).await;
    heard.unwrap().unwrap();
    assert_eq!(*health.borrow(), Health::NotServing);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_unknown_and_holds_nothing_up() {
    let host = host().await;
    let (stack, omni) = ("omni".parse().unwrap(), "omni".parse().unwrap());
    host.stacks
        .probe_in_namespace(&stack, &omni, healthz())
        .await
        .unwrap();
    let calls = host.engine.calls();
    let probe = calls.iter().find(|call| call.starts_with("run ")).unwrap();
    let source = StackHealth::new(host.stacks.clone());
    let mut health = source.watch("omni").unwrap();
    let mut sidecar = source.watch("omni/omni-tailscale").unwrap();
    health
        .wait_for(|health| *health == Health::Serving)
        .await
        .unwrap();
    sidecar
        .wait_for(|health| *health == Health::Serving)
        .await
        .unwrap();
    health.borrow_and_update();
    host.engine.hang(probe);
    host.engine.hangs().await;
    host.engine
        .set_health("omni-omni-tailscale-1", v1::ContainerHealth::Unhealthy);
    let at_once = Duration::from_secs(1);
    let heard = sidecar.wait_for(|health| *health == Health::NotServing);
    assert!(tokio::time::timeout(at_once, heard).await.is_ok());
    host.engine
        .set_health("omni-omni-tailscale-1", v1::ContainerHealth::Healthy);
    let unknown = health.wait_for(|health| *health == Health::Unknown);
    let bound = Duration::from_secs(60);
    assert!(tokio::time::timeout(bound, unknown).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_worth_nothing_for_the_next_run_which_is_asked_soon() {
    let host = host().await;
    let (stack, omni) = ("omni".parse().unwrap(), "omni".parse().unwrap());
    host.stacks
        .probe_in_namespace(&stack, &omni, healthz())
        .await
        .unwrap();
    let source = StackHealth::new(host.stacks.clone());
    let mut health = source.watch("omni").unwrap();
    health
        .wait_for(|health| *health == Health::Serving)
        .await
        .unwrap();
    // It is restarted, and takes five seconds until it answers.
    host.engine.answer("run", 1, &report(false));
    host.engine.end("omni-omni-1", 0);
    let id = host.engine.named("omni-omni-1").unwrap().id;
    host.engine.start(&id).await.unwrap();
    health
        .wait_for(|health| *health == Health::NotServing)
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_ne!(*health.borrow_and_update(), Health::Serving);
    host.engine.answer("run", 0, &report(true));
    let served = health.wait_for(|health| *health == Health::Serving);
    tokio::time::timeout(std::time::Duration::from_secs(6), served)
        .await
        .expect("it is asked soon")
        .unwrap();
}
