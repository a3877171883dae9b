use super::*;
use crate::agents::Class;
use crate::agents::fake::{Call, Fault};
use crate::rollout::{Event, StepState};

/// The applies of a story: host, and the how-manieth on it.
const APPLIES: [(&str, u32); 4] = [("idp", 0), ("omni", 0), ("omni", 1), ("omni", 2)];

/// Lets the `skip`-th apply on a host go wrong.
fn strike(agents: &FakeAgents, (host, skip): (&str, u32), fault: Fault, times: u32) {
    if skip > 0 {
        agents.script(host, Call::Apply, Fault::None, skip);
    }
    agents.script(host, Call::Apply, fault, times);
}

async fn from_nothing(disturb: impl Fn(&FakeAgents)) -> (RolloutResult, Desk, FakeAgents) {
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    disturb(&agents);
    let result = desk.apply(plan).await;
    (result, desk, agents)
}

async fn want() -> Vec<String> {
    let (desired, agents) = fresh();
    undisturbed(&desired, &agents).await.0
}

#[tokio::test(start_paused = true)]
async fn what_passes_by_itself_is_tried_again_to_the_same_end() {
    let want = want().await;
    let faults = [
        Fault::Unreachable,
        Fault::Unavailable,
        Fault::LostReply,
        Fault::LostRequest,
        Fault::Fails(Class::Transient),
        Fault::FailsHalfWay(Class::Transient),
        Fault::AgentDies,
    ];
    for apply in APPLIES {
        for fault in &faults {
            for times in [1, 3] {
                let (result, desk, agents) =
                    from_nothing(|agents| strike(agents, apply, fault.clone(), times)).await;
                let told = format!("{fault:?} {times} times at {apply:?}");
                assert_eq!(result, RolloutResult::Done { changed: true }, "{told}");
                assert_eq!(agents.portrait(), want, "{told}");
                // Nothing was tried again behind the journal's back.
                let written = desk.story(FIRST).records.into_iter().filter(|record| {
                    matches!(
                        record.event,
                        Event::AttemptFailed { .. } | Event::ReplyLost { .. }
                    )
                });
                assert!(written.count() >= 1, "{told}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hung_reply_is_given_up_at_the_deadline_and_what_was_done_is_adopted() {
    let want = want().await;
    for apply in APPLIES {
        let (result, desk, agents) =
            from_nothing(|agents| strike(agents, apply, Fault::Hang, 1)).await;
        assert_eq!(result, RolloutResult::Done { changed: true }, "{apply:?}");
        assert_eq!(agents.portrait(), want, "{apply:?}");
        let records = desk.story(FIRST).records;
        let adopted = |event: &Event| matches!(event, Event::StepAdopted { .. });
        assert!(records.iter().any(|record| adopted(&record.event)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_done_and_gone_a_moment_later_is_done_again_twice() {
    let want = want().await;
    for apply in APPLIES {
        for times in [1, 2, 3] {
            let (result, desk, agents) =
                from_nothing(|agents| strike(agents, apply, Fault::Lies, times)).await;
            let told = format!("{times} times at {apply:?}");
            if times == 3 {
                assert!(matches!(result, RolloutResult::Held { .. }), "{told}");
                assert_eq!(
                    desk.resume().await,
                    RolloutResult::Done { changed: true },
                    "{told}"
                );
            } else {
                assert_eq!(result, RolloutResult::Done { changed: true }, "{told}");
            }
            assert_eq!(agents.portrait(), want, "{told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_by_itself_holds_and_a_resume_goes_on() {
    let want = want().await;
    let faults = [
        Fault::Refuse,
        Fault::Fails(Class::Permanent),
        Fault::Fails(Class::Refused),
        Fault::Fails(Class::Bug),
        Fault::FailsHalfWay(Class::Permanent),
    ];
    for apply in APPLIES {
        for fault in &faults {
            let (result, desk, agents) =
                from_nothing(|agents| strike(agents, apply, fault.clone(), 1)).await;
            let told = format!("{fault:?} at {apply:?}");
            let RolloutResult::Held { reason, advice, .. } = &result else {
                panic!("{told}: {result:?}");
            };
            assert_eq!(result.exit().code(), 4, "{told}");
            assert!(reason.contains(apply.0), "{told}: {reason}");
            assert!(!advice.is_empty(), "{told}");
            // A refusal is never tried again by itself.
            let tries = desk
                .story(FIRST)
                .records
                .into_iter()
                .filter(|record| matches!(record.event, Event::AttemptFailed { .. }));
            assert_eq!(tries.count(), 0, "{told}");
            assert_eq!(
                desk.resume().await,
                RolloutResult::Done { changed: true },
                "{told}"
            );
            assert_eq!(agents.portrait(), want, "{told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn questions_that_are_lost_are_asked_again() {
    let want = want().await;
    let calls = [
        ("omni", Call::Describe),
        ("omni", Call::ObserveStack),
        ("idp", Call::ObserveUnit),
        ("omni", Call::RunChecks),
        ("idp", Call::RenewLease),
        ("omni", Call::RenewLease),
        ("omni", Call::ReleaseLease),
    ];
    for (host, call) in calls {
        for fault in [
            Fault::Unreachable,
            Fault::LostReply,
            Fault::Unavailable,
            Fault::Hang,
        ] {
            // A gate has one bound for asking and answering: see the test below.
            if (call, &fault) == (Call::RunChecks, &Fault::Hang) {
                continue;
            }
            let (desired, agents) = fresh();
            let desk = Desk::new("ada@desk", &agents);
            let plan = desk.plan(&desired).await;
            // Past the questions of the preparation, which refuse instead.
            let asked = match call {
                Call::Describe | Call::ObserveStack | Call::ObserveUnit | Call::RunChecks => 1,
                _ => 0,
            };
            if asked > 0 {
                agents.script(host, call, Fault::None, asked);
            }
            agents.script(host, call, fault.clone(), 2);
            let result = desk.apply(plan).await;
            let told = format!("{fault:?} at {call:?} of {host}");
            assert_eq!(result, RolloutResult::Done { changed: true }, "{told}");
            assert_eq!(agents.portrait(), want, "{told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_is_never_answered_holds_in_the_end() {
    let (result, desk, _) = from_nothing(|agents| {
        agents.script("omni", Call::RunChecks, Fault::None, 1);
        agents.script("omni", Call::RunChecks, Fault::Hang, 1);
    })
    .await;
    let RolloutResult::Held { failed, .. } = &result else {
        panic!("{result:?}");
    };
    assert!(failed.iter().all(|check| check.unknown), "{failed:?}");
    assert_eq!(desk.resume().await, RolloutResult::Done { changed: true });
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_cannot_be_found_out_holds_and_is_looked_at_first() {
    let want = want().await;
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    let journal = desk.begin(plan, FIRST);
    let gone = agents.clone();
    let (end, ()) = tokio::join!(desk.drive(journal, None), async move {
        // In the middle of the sidecar's operation the host goes away.
        tokio::time::sleep(Duration::from_secs(7)).await;
        gone.script("omni", Call::Apply, Fault::LostReply, 1);
        gone.world().host("omni").reachable = false;
        gone.cut("omni");
    });
    let result = end.result();
    let RolloutResult::Held { reason, .. } = &result else {
        panic!("{result:?}");
    };
    assert!(reason.contains("not known"), "{reason}");
    agents.world().host("omni").reachable = true;
    assert_eq!(desk.resume().await, RolloutResult::Done { changed: true });
    assert_eq!(agents.portrait(), want);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_may_not_be_looked_at_is_kept_in_flight() {
    let want = want().await;
    let (result, desk, agents) = from_nothing(|agents| {
        strike(agents, ("idp", 0), Fault::LostReply, 1);
        // The preparation looks, then the step before it acts.
        agents.script("idp", Call::ObserveUnit, Fault::None, 2);
        agents.script("idp", Call::ObserveUnit, Fault::Refuse, 1);
    })
    .await;
    let RolloutResult::Held { reason, .. } = &result else {
        panic!("{result:?}");
    };
    assert!(reason.contains("not known"), "{reason}");
    let states = desk.story(FIRST).state;
    let mut states = states.steps().values().map(|step| &step.state);
    assert!(states.any(|state| matches!(state, StepState::Running(_))));
    assert_eq!(desk.resume().await, RolloutResult::Done { changed: true });
    assert_eq!(agents.portrait(), want);
    let started =
        |event: &Event| matches!(event, Event::StepStarted { step, .. } if step.wave == 2);
    let records = desk.story(FIRST).records.into_iter();
    assert_eq!(records.filter(|record| started(&record.event)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_is_refused_when_it_is_asked_for_again_is_kept_in_flight() {
    let want = want().await;
    let (result, desk, agents) = from_nothing(|agents| {
        strike(agents, ("idp", 0), Fault::LostReply, 1);
        agents.script("idp", Call::Apply, Fault::Refuse, 1);
    })
    .await;
    let RolloutResult::Held { reason, .. } = &result else {
        panic!("{result:?}");
    };
    assert!(reason.contains("not known"), "{reason}");
    let states = desk.story(FIRST).state;
    let mut states = states.steps().values().map(|step| &step.state);
    assert!(states.any(|state| matches!(state, StepState::Running(_))));
    assert_eq!(desk.resume().await, RolloutResult::Done { changed: true });
    assert_eq!(agents.portrait(), want);
}

#[tokio::test(start_paused = true)]
async fn what_is_done_and_may_not_be_looked_at_has_spent_its_operation() {
    let want = want().await;
    let (result, desk, agents) = from_nothing(|agents| {
        agents.script("idp", Call::ObserveUnit, Fault::None, 2);
        agents.script("idp", Call::ObserveUnit, Fault::Refuse, 1);
    })
    .await;
    assert!(matches!(result, RolloutResult::Held { .. }), "{result:?}");
    let records = desk.story(FIRST).records;
    let failure = records.iter().find_map(|record| match &record.event {
        Event::StepFailed { failure, .. } => Some(failure),
        _ => None,
    });
    assert!(failure.unwrap().operation_spent, "{failure:?}");
    assert_eq!(desk.resume().await, RolloutResult::Done { changed: true });
    assert_eq!(agents.portrait(), want);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_does_not_pass_holds_and_is_asked_again_by_a_resume() {
    let want = want().await;
    for (gate, wave) in [
        ("identity/", 2),
        ("client/", 3),
        ("sidecar/", 4),
        ("omni/", 5),
        ("provider/", 6),
    ] {
        let (result, desk, agents) = from_nothing(|agents| {
            agents.world().failing_checks.push(gate.to_owned());
        })
        .await;
        let RolloutResult::Held { reason, failed, .. } = &result else {
            panic!("{gate}: {result:?}");
        };
        assert!(reason.contains(&format!("wave {wave}")), "{reason}");
        assert!(!failed.is_empty());
        agents.world().failing_checks.clear();
        assert_eq!(
            desk.resume().await,
            RolloutResult::Done { changed: true },
            "{gate}"
        );
        assert_eq!(agents.portrait(), want, "{gate}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_changed_meanwhile_is_not_overwritten() {
    let (result, desk, agents) =
        from_nothing(|agents| strike(agents, ("omni", 1), Fault::Refuse, 1)).await;
    assert_eq!(result.exit().code(), 4);
    let target = "stack/omni".to_owned();
    let generation = |agents: &FakeAgents| agents.world().host("omni").targets[&target].generation;
    let before = generation(&agents);
    agents
        .world()
        .host("omni")
        .targets
        .get_mut(&target)
        .unwrap()
        .generation += 1;
    let result = desk.resume().await;
    let RolloutResult::Held { reason, advice, .. } = &result else {
        panic!("{result:?}");
    };
    assert!(reason.contains("somebody else has changed"), "{reason}");
    assert!(advice.contains("plan again"), "{advice}");
    assert_eq!(generation(&agents), before + 1);
}

/// As an Engine does that was killed and has come back: the container was there when the step was
/// verified, and ends before the gate has seen it.
#[tokio::test(start_paused = true)]
async fn what_is_gone_before_its_gate_has_passed_is_done_again() {
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let ending = ("sidecar/omni/running", "omni-tailscale");
    agents
        .world()
        .ends_when_asked
        .push((ending.0.to_owned(), ending.1.to_owned()));
    let plan = desk.plan(&desired).await;
    assert_eq!(
        desk.apply(plan).await,
        RolloutResult::Done { changed: true }
    );
    assert!(agents.world().host("omni").stack.runs("proxmox-provider"));
    let records = desk.story(FIRST).records;
    let gone = |event: &Event| matches!(event, Event::StepGone { .. });
    assert_eq!(
        records.iter().filter(|record| gone(&record.event)).count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_each_time_is_not_done_for_ever() {
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    for _ in 0..3 {
        let ending = ("sidecar/omni/running", "omni-tailscale");
        agents
            .world()
            .ends_when_asked
            .push((ending.0.to_owned(), ending.1.to_owned()));
    }
    let plan = desk.plan(&desired).await;
    let result = desk.apply(plan).await;
    assert!(matches!(result, RolloutResult::Held { .. }), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn a_resume_looks_whether_what_was_done_is_still_there() {
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let broken = "sidecar/omni/issuer".to_owned();
    agents.world().failing_checks.push(broken);
    let plan = desk.plan(&desired).await;
    let held = desk.apply(plan).await;
    assert!(matches!(held, RolloutResult::Held { .. }), "{held:?}");
    {
        let mut world = agents.world();
        world.failing_checks.clear();
        let stack = &mut world.host("omni").stack;
        let sidecar = stack.containers.get_mut("omni-tailscale").unwrap();
        sidecar.state = omni_scale_proto::v1::ContainerState::Exited;
    }
    assert_eq!(desk.resume().await, RolloutResult::Done { changed: true });
    assert!(agents.world().host("omni").stack.runs("omni-tailscale"));
}
