//! Wave 3: Omni's client at the issuer, and the login that shows what the issuer gives.

use super::*;
use crate::agents::Class;
use crate::agents::fake::{Call, Fault};
use crate::login::LoginTrouble;

fn host(agents: &FakeAgents) -> std::sync::MutexGuard<'_, crate::agents::fake::World> {
    agents.world()
}

/// A plan of who goes on without a proof.
async fn plan_of_the_bold(desk: &Desk, desired: &Desired) -> Plan {
    let choices = Choices {
        accept_unproven_identity: true,
        ..Choices::default()
    };
    let clock = desk.clock();
    let scope = Scope::of(desired);
    let observed = observe(&desk.agents.seat(), clock.as_ref(), &scope).await;
    plan(desired, &observed, choices).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_client_is_registered_on_the_way_and_stays() {
    let (desired, agents) = with_client();
    let desk = Desk::new("ada@desk", &agents);
    let planned = desk.plan(&desired).await;
    let done = desk.apply(planned).await;
    assert_eq!(done, RolloutResult::Done { changed: true });
    let client = desired.client.as_ref().unwrap().client.clone();
    {
        let mut world = host(&agents);
        let omni = world.host("omni");
        assert_eq!(omni.client.at_issuer.len(), 1);
        assert!(omni.has_secret(&client.secret_secret));
        assert!(omni.stack.runs("omni"));
    }
    assert!(desk.plan(&desired).await.is_noop());
    let asked = desk.issuers.asked();
    assert_eq!(asked.len(), 1, "one login shows it");
    assert_eq!(asked[0].client_id, "client-1");
    assert_eq!(asked[0].redirect_uri, client.redirect_uri);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_lost_leaves_no_second_client() {
    for fault in [
        Fault::LostReply,
        Fault::LostRequest,
        Fault::AgentDies,
        Fault::FailsHalfWay(Class::Transient),
    ] {
        let (desired, agents) = with_client();
        let desk = Desk::new("ada@desk", &agents);
        let planned = desk.plan(&desired).await;
        agents.script("omni", Call::Apply, fault.clone(), 1);
        let done = desk.apply(planned).await;
        assert_eq!(done, RolloutResult::Done { changed: true }, "{fault:?}");
        let clients = host(&agents).host("omni").client.at_issuer.len();
        assert_eq!(clients, 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn identities_that_let_nobody_in_stop_the_rollout_before_omni() {
    let (desired, agents) = with_client();
    host(&agents).host("omni").client.login = Some(false);
    let desk = Desk::new("ada@desk", &agents);
    let planned = plan_of_the_bold(&desk, &desired).await;
    let RolloutResult::Held { reason, .. } = desk.apply(planned).await else {
        panic!("it went on");
    };
    assert!(reason.contains("holds no `email_verified`"), "{reason}");
    assert!(!host(&agents).host("omni").stack.runs("omni-tailscale"));
    // Once the grant is written, the same rollout goes on.
    host(&agents).host("omni").client.login = Some(true);
    let done = desk.resume().await;
    assert_eq!(done, RolloutResult::Done { changed: true });
    assert_eq!(host(&agents).host("omni").client.count, 1);
}

#[tokio::test(start_paused = true)]
async fn what_no_login_could_show_is_gone_on_with_only_when_that_was_asked_for() {
    let (desired, agents) = with_client();
    host(&agents).host("omni").client.login = None;
    let desk = Desk::new("ada@desk", &agents);
    desk.issuers.answer(Some(LoginTrouble::Unreachable));
    let planned = desk.plan(&desired).await;
    let RolloutResult::Held { reason, .. } = desk.apply(planned).await else {
        panic!("it went on");
    };
    assert!(
        reason.contains("cannot be asked from this machine"),
        "{reason}"
    );

    let (desired, agents) = with_client();
    host(&agents).host("omni").client.login = None;
    let desk = Desk::new("ada@desk", &agents);
    let planned = plan_of_the_bold(&desk, &desired).await;
    let done = desk.apply(planned).await;
    assert_eq!(done, RolloutResult::Done { changed: true });
    let warned = desk.story(FIRST).records.into_iter().any(|record| {
        let crate::rollout::Event::GatePassed { warnings, .. } = record.event else {
            return false;
        };
        warnings
            .iter()
            .any(|warning| warning.contains("gone on without: the device is tagged"))
    });
    assert!(warned);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_the_issuer_does_not_know_stops_the_rollout() {
    let (desired, agents) = with_client();
    let desk = Desk::new("ada@desk", &agents);
    desk.issuers.answer(Some(LoginTrouble::Client));
    let planned = plan_of_the_bold(&desk, &desired).await;
    let RolloutResult::Held { reason, advice, .. } = desk.apply(planned).await else {
        panic!("it went on");
    };
    assert!(reason.contains("does not know Omni's client"), "{reason}");
    assert!(advice.contains("/oidc/consume"), "{advice}");
}
