use super::*;
use crate::agents::Class;
use crate::agents::fake::{Call, Fault};

/// The applies of the story of a host that does not exist: its machine, and its enrolment.
const APPLIES: u32 = 2;

async fn made(disturb: impl Fn(&FakeAgents)) -> (RolloutResult, FakeAgents) {
    let (desired, agents) = without_a_host();
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    disturb(&agents);
    (desk.apply(plan).await, agents)
}

fn strike(agents: &FakeAgents, skip: u32, fault: Fault, times: u32) {
    if skip > 0 {
        agents.script("idp", Call::Apply, Fault::None, skip);
    }
    agents.script("idp", Call::Apply, fault, times);
}

async fn want() -> Vec<String> {
    let (desired, agents) = without_a_host();
    undisturbed(&desired, &agents).await.0
}

#[tokio::test(start_paused = true)]
async fn a_host_is_made_once_whatever_passes_by_itself() {
    let want = want().await;
    let faults = [
        Fault::Unreachable,
        Fault::Unavailable,
        Fault::LostReply,
        Fault::LostRequest,
        Fault::Fails(Class::Transient),
        Fault::FailsHalfWay(Class::Transient),
        Fault::AgentDies,
        Fault::Hang,
    ];
    for skip in 0..APPLIES {
        for fault in &faults {
            let (result, agents) = made(|agents| strike(agents, skip, fault.clone(), 1)).await;
            let told = format!("{fault:?} at {skip}");
            assert_eq!(result, RolloutResult::Done { changed: true }, "{told}");
            assert_eq!(agents.portrait(), want, "{told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_cannot_be_made_holds_and_goes_on_when_it_can() {
    let want = want().await;
    for skip in 0..APPLIES {
        for fault in [
            Fault::Fails(Class::Permanent),
            Fault::FailsHalfWay(Class::Permanent),
        ] {
            let (desired, agents) = without_a_host();
            let desk = Desk::new("ada@desk", &agents);
            let plan = desk.plan(&desired).await;
            strike(&agents, skip, fault.clone(), 1);
            let result = desk.apply(plan).await;
            assert!(
                matches!(result, RolloutResult::Held { .. }),
                "{fault:?} {result:?}"
            );
            assert_eq!(desk.resume().await, RolloutResult::Done { changed: true });
            assert_eq!(agents.portrait(), want, "{fault:?} at {skip}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn machines_of_one_agent_are_made_side_by_side() {
    let (desired, agents) = without_control_planes();
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    assert_eq!(plan.steps().count(), 3);
    let began = tokio::time::Instant::now();
    assert_eq!(
        desk.apply(plan).await,
        RolloutResult::Done { changed: true }
    );
    let took = began.elapsed();
    // One works for 5 s in the model; three in turn would need 15.
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_came_up_elsewhere_meanwhile_refuses_the_plan() {
    let (desired, agents) = without_control_planes();
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    agents.carry_out(&plan);
    agents
        .world()
        .host("idp")
        .machines
        .delete("control-plane-1");
    let result = desk.apply(plan).await;
    assert_eq!(result.exit().code(), 3, "{result:?}");
    let text = format!("{result:?}");
    assert!(text.contains("machine control-plane-1"), "{text}");
}
