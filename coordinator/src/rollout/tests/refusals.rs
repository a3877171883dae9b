use super::*;
use crate::agents::fake::Call;
use crate::rollout::Refusal;

async fn refused(change: impl Fn(&FakeAgents)) -> (RolloutResult, FakeAgents) {
    let (desired, agents) = running(&[("omni", "siderolabs/omni:v1.5")]);
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    change(&agents);
    let result = desk.apply(plan).await;
    assert_eq!(agents.calls("omni", Call::Apply), 0);
    (result, agents)
}

async fn deviation(change: impl Fn(&FakeAgents)) -> String {
    let (result, _) = refused(change).await;
    let RolloutResult::Refused(Refusal::BasisChanged { deviations }) = &result else {
        panic!("{result:?}");
    };
    assert_eq!(result.exit().code(), 3);
    let facts = deviations
        .iter()
        .map(|one| format!("{} {}", one.host, one.fact));
    facts.collect::<Vec<_>>().join(", ")
}

#[tokio::test(start_paused = true)]
async fn a_changed_basis_is_refused_with_the_facts_that_differ() {
    let machine = deviation(|agents| {
        agents.world().host("idp").machine_id = "other".to_owned();
    });
    assert_eq!(machine.await, "idp machine id");
    let generation = deviation(|agents| {
        let mut world = agents.world();
        let targets = &mut world.host("omni").targets;
        targets.get_mut("stack/omni").unwrap().generation += 1;
    });
    assert_eq!(generation.await, "omni generation of stack/omni");
    let tag = deviation(|agents| {
        let mut world = agents.world();
        let registry = &mut world.host("omni").registry;
        let digest = format!("siderolabs/omni:v1.5@sha256:{}", "9".repeat(64));
        registry.insert("siderolabs/omni:v1.5".to_owned(), digest);
    });
    assert_eq!(tag.await, "omni image siderolabs/omni:v1.5");
    let secret = deviation(|agents| {
        agents.world().host("omni").set_secret("provider-key");
    });
    assert_eq!(secret.await, "omni secret provider-key");
    let container = deviation(|agents| {
        let mut world = agents.world();
        world
            .host("omni")
            .stack
            .containers
            .remove("proxmox-provider");
    });
    assert_eq!(container.await, "omni service proxmox-provider");
}

#[tokio::test(start_paused = true)]
async fn a_measurement_that_changed_is_no_changed_basis() {
    let (desired, agents) = running(&[("omni", "siderolabs/omni:v1.5")]);
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    agents.world().host("omni").clock_offset_milliseconds = 2_000;
    assert_eq!(
        desk.apply(plan).await,
        RolloutResult::Done { changed: true }
    );
}

#[tokio::test(start_paused = true)]
async fn the_preflight_lists_everything_that_is_missing() {
    let (result, _) = refused(|agents| {
        let mut world = agents.world();
        let missing = [
            "preflight/idp/tailnet",
            "preflight/omni/port",
            "preflight/omni/tun",
        ];
        world.failing_checks.extend(missing.map(str::to_owned));
    })
    .await;
    let RolloutResult::Refused(Refusal::ChecksFailed { failed }) = &result else {
        panic!("{result:?}");
    };
    assert_eq!(failed.len(), 3);
    assert_eq!(result.exit().code(), 3);
    let text = Refusal::ChecksFailed {
        failed: failed.clone(),
    }
    .to_string();
    assert!(text.contains("port 8090/tcp is free"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_rollout_is_over() {
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    agents.world().failing_checks.push("preflight/".to_owned());
    desk.apply(plan).await;
    let end = desk.drive(desk.open(FIRST), None).await;
    let End::Result(Err(error)) = end else {
        panic!("{end:?}");
    };
    assert_eq!(error.to_string(), "the rollout is refused; plan again");
}
