use super::*;
use crate::agents::fake::{Call, Fault, LEASE_TIME_TO_LIVE};
use crate::agents::{Agents, LeaseRequest};
use crate::rollout::Refusal;
use crate::rollout::event::Silence;
use crate::rollout::leases::{LeaseTrouble, Leases};

/// Runs a rollout, and something beside it after some seconds.
async fn meanwhile(
    after: u64,
    happens: impl AsyncFnOnce(FakeAgents),
) -> (RolloutResult, Desk, FakeAgents) {
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let journal = desk.begin(desk.plan(&desired).await, FIRST);
    let beside = agents.clone();
    let (end, ()) = tokio::join!(desk.drive(journal, None), async move {
        tokio::time::sleep(Duration::from_secs(after)).await;
        happens(beside).await;
    });
    (end.result(), desk, agents)
}

#[tokio::test(start_paused = true)]
async fn the_second_of_two_coordinators_is_told_who_holds_the_lease() {
    let (desired, agents) = fresh();
    let bob = Desk::new("bob@laptop", &agents);
    let bobs_plan = bob.plan(&desired).await;
    let (result, ..) = {
        let ada = Desk::new("ada@desk", &agents);
        let journal = ada.begin(ada.plan(&desired).await, FIRST);
        let (end, ()) = tokio::join!(ada.drive(journal, None), async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            let refused = bob.apply(bobs_plan.clone()).await;
            assert_eq!(refused.exit().code(), 7);
            let RolloutResult::Refused(Refusal::Locked { host, holder, .. }) = refused else {
                panic!("{refused:?}");
            };
            let holder = holder.unwrap();
            assert_eq!((host.as_str(), holder.holder.as_str()), ("idp", "ada@desk"));
            assert!(holder.since_milliseconds > 0);
            let remaining = Duration::from_millis(holder.remaining_milliseconds.into());
            assert!(remaining > Duration::ZERO && remaining <= LEASE_TIME_TO_LIVE);
        });
        (end.result(), ada)
    };
    assert_eq!(result, RolloutResult::Done { changed: true });
}

#[tokio::test(start_paused = true)]
async fn whoever_plans_while_somebody_is_at_work_is_told_so_and_does_not_wait() {
    let (desired, agents) = fresh();
    let ada = Desk::new("ada@desk", &agents);
    let bob = Desk::new("bob@laptop", &agents);
    let journal = ada.begin(ada.plan(&desired).await, FIRST);
    let mut told = 0;
    let (end, ()) = tokio::join!(ada.drive(journal, None), async {
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let asked = tokio::time::Instant::now();
            if let Err(error) = bob.settled_plan(&desired).await {
                assert!(
                    matches!(&error, AgentError::Held { holder, .. } if holder.holder == "ada@desk"),
                    "{error}"
                );
                told += 1;
            }
            assert!(asked.elapsed() < Duration::from_secs(1));
        }
    });
    assert_eq!(end.result(), RolloutResult::Done { changed: true });
    assert!(told > 0);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_waits_for_the_lease_refuses_what_has_changed_meanwhile() {
    let (desired, agents) = fresh();
    let mut bob = Desk::new("bob@laptop", &agents);
    bob.lease_wait = Duration::from_secs(600);
    let bobs_plan = bob.plan(&desired).await;
    let ada = Desk::new("ada@desk", &agents);
    let journal = ada.begin(ada.plan(&desired).await, FIRST);
    let (end, refused) = tokio::join!(ada.drive(journal, None), async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        bob.apply(bobs_plan).await
    });
    assert_eq!(end.result(), RolloutResult::Done { changed: true });
    let RolloutResult::Refused(Refusal::BasisChanged { deviations }) = &refused else {
        panic!("{refused:?}");
    };
    assert!(
        deviations
            .iter()
            .any(|one| one.fact == "generation of stack/omni")
    );
    assert_eq!(refused.exit().code(), 3);
}

#[tokio::test(start_paused = true)]
async fn leases_are_taken_on_all_hosts_or_on_none() {
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    agents.world().host("omni").lease_to("eve@desk", "another");
    let result = desk.apply(plan).await;
    assert_eq!(result.exit().code(), 7, "{result:?}");
    assert!(agents.world().host("idp").current_lease().is_none());
    assert_eq!(agents.calls("idp", Call::Apply), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_took_stops_the_rollout_before_its_next_act() {
    let (result, desk, agents) = meanwhile(7, async |agents: FakeAgents| {
        agents.world().host("omni").lease_to("eve@desk", "another");
    })
    .await;
    let RolloutResult::LeaseLost { host, holder } = &result else {
        panic!("{result:?}");
    };
    assert_eq!(result.exit().code(), 7);
    assert_eq!(host.as_str(), "omni");
    assert_eq!(holder.as_ref().unwrap().holder, "eve@desk");
    let applies = agents.calls("omni", Call::Apply);
    assert!(applies <= 2, "{applies}");
    tokio::time::sleep(LEASE_TIME_TO_LIVE).await;
    assert_eq!(desk.resume().await, RolloutResult::Done { changed: true });
}

#[tokio::test(start_paused = true)]
async fn an_act_under_a_stale_epoch_is_a_lost_lease_with_its_holder() {
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let journal = desk.begin(desk.plan(&desired).await, FIRST);
    let thief = agents.clone();
    let (end, ()) = tokio::join!(desk.drive(journal, None), async move {
        // Right after a renewal, and before the next one could tell.
        tokio::time::sleep(Duration::from_millis(10_100)).await;
        thief.world().host("omni").lease_to("eve@desk", "another");
    });
    let RolloutResult::LeaseLost { holder, .. } = end.result() else {
        panic!("it did not stop for the lease");
    };
    assert_eq!(holder.unwrap().holder, "eve@desk");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ran_out_while_its_host_was_away_is_taken_again() {
    let (desired, agents) = fresh();
    let (want, _) = undisturbed(&desired, &agents).await;
    let (result, _, agents) = meanwhile(7, async |agents: FakeAgents| {
        agents.world().host("omni").reachable = false;
        agents.cut("omni");
        tokio::time::sleep(Duration::from_secs(90)).await;
        agents.world().host("omni").reachable = true;
    })
    .await;
    assert_eq!(result, RolloutResult::Done { changed: true });
    assert_eq!(agents.portrait(), want);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_had_in_between_is_lost() {
    let (result, ..) = meanwhile(7, async |agents: FakeAgents| {
        agents.world().host("omni").reachable = false;
        agents.cut("omni");
        tokio::time::sleep(Duration::from_secs(60)).await;
        agents.world().host("omni").lease_to("eve@desk", "another");
        agents.world().host("omni").lease = None;
        agents.world().host("omni").reachable = true;
    })
    .await;
    assert!(
        matches!(result, RolloutResult::LeaseLost { .. }),
        "{result:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_host_refuses_before_anything_is_done() {
    let (desired, agents) = fresh();
    let desk = Desk::new("ada@desk", &agents);
    let plan = desk.plan(&desired).await;
    agents.script("omni", Call::AcquireLease, Fault::Unreachable, 1);
    let result = desk.apply(plan).await;
    assert_eq!(result.exit().code(), 8, "{result:?}");
    assert!(agents.world().host("idp").current_lease().is_none());
    assert_eq!(agents.calls("idp", Call::Apply), 0);
}

/// The leases of a rollout on `omni`, which have run out.
async fn run_out<'a>(agents: &'a FakeAgents, seat: &'a dyn Agents) -> Leases<'a> {
    let (desired, _) = fresh();
    let request = LeaseRequest {
        deployment: desired.deployment,
        holder: "ada@desk".to_owned(),
        rollout: "one".to_owned(),
    };
    let omni = "omni".parse().unwrap();
    let hosts = [&omni].into();
    let taken = Leases::take(seat, request, &hosts, Duration::ZERO, &Silence).await;
    let leases = taken.unwrap();
    assert_eq!(agents.world().host("omni").last_epoch, 1);
    tokio::time::sleep(LEASE_TIME_TO_LIVE).await;
    leases
}

#[tokio::test(start_paused = true)]
async fn steps_side_by_side_do_not_take_a_lease_from_each_other() {
    let (_, agents) = fresh();
    let seat = agents.seat();
    let leases = run_out(&agents, &seat).await;
    let omni = "omni".parse().unwrap();
    let (one, other) = tokio::join!(leases.epoch(&omni), leases.epoch(&omni));
    assert_eq!((one.unwrap(), other.unwrap()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_grant_got_lost_is_ours_all_the_same() {
    let (_, agents) = fresh();
    let seat = agents.seat();
    let leases = run_out(&agents, &seat).await;
    let omni = "omni".parse().unwrap();
    agents.script("omni", Call::AcquireLease, Fault::LostReply, 2);
    for _ in 0..2 {
        let unsure = leases.epoch(&omni).await;
        assert!(matches!(unsure, Err(LeaseTrouble::Unsure(_))), "{unsure:?}");
    }
    assert_eq!(leases.epoch(&omni).await.unwrap(), 4);
    assert_eq!(leases.epoch(&omni).await.unwrap(), 4);
    // What was never sent has raised nothing: the next epoch but one is somebody else's.
    tokio::time::sleep(LEASE_TIME_TO_LIVE).await;
    agents.script("omni", Call::AcquireLease, Fault::Unreachable, 1);
    leases.epoch(&omni).await.unwrap_err();
    agents.world().host("omni").lease_to("eve@desk", "another");
    agents.world().host("omni").lease = None;
    let lost = leases.epoch(&omni).await;
    assert!(matches!(lost, Err(LeaseTrouble::Lost { .. })), "{lost:?}");
}
