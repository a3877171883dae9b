use super::*;
use crate::agents::Class;
use crate::agents::fake::{Call, Fault};

const BAD: &str = "siderolabs/provider:bad";

/// Everything runs, and the provider shall be one that exits at once.
fn bad_provider() -> (Desired, FakeAgents) {
    let (desired, agents) = running(&[("proxmox-provider", BAD)]);
    agents.world().bad_images.insert(resolved(BAD));
    (desired, agents)
}

/// Everything but how often containers were made.
fn without_counts(portrait: &[String]) -> Vec<String> {
    let cut = |line: &String| {
        let line = line.split(" made=").next().unwrap_or_default();
        match line.split_once(" starts=") {
            Some((start, rest)) => {
                let rest = rest.split_once(' ').map_or("", |(_, rest)| rest);
                format!("{start} {rest}")
            }
            None => line.to_owned(),
        }
    };
    portrait.iter().map(cut).collect()
}

async fn undone((desired, agents): (Desired, FakeAgents)) -> (RolloutResult, Desk, FakeAgents) {
    let before = without_counts(&agents.portrait());
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    let result = desk.apply(plan).await;
    assert_eq!(result.exit().code(), 5, "{result:?}");
    assert_eq!(without_counts(&agents.portrait()), before);
    (result, desk, agents)
}

#[tokio::test(start_paused = true)]
async fn a_bad_provider_is_undone_and_that_is_no_success() {
    let (result, desk, _) = undone(bad_provider()).await;
    let RolloutResult::Undone { reason } = result else {
        panic!("{result:?}");
    };
    assert!(reason.contains("has exited with code 1"), "{reason}");
    assert_eq!(desk.phase(), Phase::Undone);
}

#[tokio::test(start_paused = true)]
async fn a_bad_program_of_tsidp_is_undone() {
    let (mut desired, agents) = running(&[]);
    if let crate::plan::DesiredIdentity::Tsidp { configuration, .. } = &mut desired.identity {
        configuration.artifact.as_mut().unwrap().sha256 = examples::sum('b');
    }
    agents.world().bad_programs.insert(examples::sum('b'));
    undone((desired, agents)).await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_sidecar_is_undone_with_everybody_in_its_namespace() {
    let image = "tailscale/tailscale:bad";
    let (desired, agents) = running(&[("omni-tailscale", image)]);
    agents.world().bad_images.insert(resolved(image));
    let (_, _, agents) = undone((desired, agents)).await;
    let world = agents.world();
    let stack = &world.hosts[&examples::host("omni")].stack;
    assert!(stack.runs("omni") && stack.runs("proxmox-provider"));
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_does_not_pass_undoes_its_wave() {
    let (desired, agents) = running(&[("proxmox-provider", "siderolabs/provider:v0.4")]);
    agents.world().failing_checks.push("provider/".to_owned());
    undone((desired, agents)).await;
}

#[tokio::test(start_paused = true)]
async fn omni_itself_is_never_undone() {
    let image = "siderolabs/omni:bad";
    let (desired, agents) = running(&[("omni", image)]);
    agents.world().bad_images.insert(resolved(image));
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    let result = desk.apply(plan).await;
    let RolloutResult::Held { advice, .. } = &result else {
        panic!("{result:?}");
    };
    assert!(advice.contains("omni-scale logs omni"), "{advice}");
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_fails_is_stuck_and_nothing_follows() {
    for fault in [Fault::Refuse, Fault::Fails(Class::Permanent), Fault::Lies] {
        let (desired, agents) = bad_provider();
        let desk = Desk::new("ada@desk", &agents);
        let plan = desk.plan(&desired).await;
        agents.script("omni", Call::Apply, Fault::None, 1);
        // What is done and gone is done again, twice.
        let times = if fault == Fault::Lies { 3 } else { 1 };
        agents.script("omni", Call::Apply, fault.clone(), times);
        let result = desk.apply(plan).await;
        let RolloutResult::Stuck { reason, .. } = &result else {
            panic!("{fault:?}: {result:?}");
        };
        assert_eq!(result.exit().code(), 6);
        assert!(reason.contains("undoing step 6.1"), "{reason}");
        let applies = agents.calls("omni", Call::Apply);
        let End::Result(Err(EngineError::Ended { phase })) =
            desk.drive(desk.open(FIRST), None).await
        else {
            panic!("it went on");
        };
        assert_eq!(phase, "stuck");
        assert_eq!(agents.calls("omni", Call::Apply), applies);
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_is_tried_again_when_that_may_help() {
    let faults = [
        Fault::Unreachable,
        Fault::LostReply,
        Fault::LostRequest,
        Fault::Fails(Class::Transient),
        Fault::AgentDies,
        Fault::Hang,
    ];
    for fault in faults {
        let (desired, agents) = bad_provider();
        agents.script("omni", Call::Apply, Fault::None, 1);
        agents.script("omni", Call::Apply, fault, 1);
        undone((desired, agents)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_dies_while_undoing_undoes_to_the_end() {
    let (_, desk, agents) = undone(bad_provider()).await;
    let records = desk.story(FIRST).records.len();
    let want = agents.portrait();
    for at in 1..=records {
        for moment in [Moment::Before, Moment::Torn, Moment::After] {
            for away in [0, 60] {
                let told = format!("dead {moment:?} record {at}, away {away} s");
                let (desired, agents) = bad_provider();
                let desk = Desk::new("ada@desk", &agents);
                let journal = desk.begin(desk.plan(&desired).await, FIRST);
                let end = desk.drive(journal, Some((at, moment))).await;
                assert!(matches!(end, End::Crashed), "{told}: {end:?}");
                tokio::time::sleep(Duration::from_secs(away)).await;
                if desk.phase() != Phase::Undone {
                    let result = desk.resume().await;
                    assert_eq!(result.exit().code(), 5, "{told}: {result:?}");
                }
                assert_eq!(agents.portrait(), want, "{told}");
            }
        }
    }
}
