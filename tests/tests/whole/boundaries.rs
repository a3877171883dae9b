//! A connection cut, and an agent killed and started again, at every request of a rollout: each
//! ends in the world of the undisturbed one, by itself or after `resume`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use omni_scale::agents::Agents;
use omni_scale::agents::grpc::{GrpcAgents, Network};
use omni_scale::deployment::{Disk, load};
use omni_scale::exit::Exit;
use omni_scale::journal::{Header, Journal, JournalDirectory, JournalLock, LockHolder, RolloutId};
use omni_scale::login::FakeIssuers;
use omni_scale::pki::Store;
use omni_scale::plan::{Choices, Plan, Scope, plan};
use omni_scale::render::render;
use omni_scale::rollout::{
    Engine, RolloutResult, Settings, Silence, StopSignal, SystemClock, observe,
};

use crate::disturbed::{Disturbance, Disturbed};
use crate::site::Site;

/// A rollout from nothing over a way that is disturbed at one request. The result, and how many
/// requests there were.
async fn roll_out(
    site: &Arc<Site>,
    at: Option<(usize, Disturbance)>,
) -> (Option<RolloutResult>, usize) {
    let desk = &site.desk;
    let id = desk.id();
    let deployment = load(&Disk, &desk.path("deployment.yaml")).unwrap();
    let desired = render(&Disk, &deployment).unwrap();
    let store = Store::new(desk.path("config/omni-scale").join(&id), None);
    let credential = store.credential().unwrap();
    let hosts = deployment.hosts.iter();
    let hosts = hosts.map(|(name, host)| (name.clone(), host.dns_name.to_string()));
    let network: Arc<dyn Network> = Arc::new(desk.network.clone());
    let inner = GrpcAgents::new(hosts, &credential, &network).unwrap();
    let agents = Arc::new(Disturbed::new(inner, site, at));
    let observed = observe(agents.as_ref(), &SystemClock, &Scope::of(&desired)).await;
    let Ok(plan) = plan(&desired, &observed, Choices::default()) else {
        return (None, agents.asked());
    };
    let journal = journal(&desk.path("state/omni-scale").join(id), plan);
    let settings = Settings {
        by: "ada@desk".to_owned(),
        lease_wait: Duration::ZERO,
        running_wait: Duration::from_secs(600),
    };
    let asking: Arc<dyn Agents> = agents.clone();
    let engine = Engine::new(
        asking,
        Arc::new(FakeIssuers::default()),
        Arc::new(SystemClock),
        settings,
    );
    let result = engine.run(journal, &Silence, &StopSignal::never()).await;
    (Some(result.unwrap()), agents.asked())
}

fn journal(state: &Path, plan: Plan) -> Journal {
    let files = Arc::new(JournalDirectory::open(state.join("rollouts")).unwrap());
    let holder = LockHolder {
        by: "ada@desk".to_owned(),
        process: 1,
        since: 0,
    };
    let lock = JournalLock::take(files, &holder).unwrap();
    let header = Header {
        deployment: plan.deployment(),
        rollout: RolloutId::new(uuid::Uuid::from_u128(1)),
        created: 0,
        by: "ada@desk".to_owned(),
        plan,
    };
    Journal::create(lock, header).unwrap()
}

/// Goes on as a person would, until everything is as it should be.
async fn finish(site: &Site, result: Option<RolloutResult>, story: &str) {
    if matches!(result, Some(RolloutResult::Done { .. })) {
        return;
    }
    // Whatever lease was left runs out, and who was killed is back.
    tokio::time::sleep(Duration::from_secs(40)).await;
    let resumed = site.desk.run("resume").await;
    assert!(
        matches!(resumed.exit, Exit::Done),
        "{story}: {result:?}\n{}",
        resumed.errors
    );
    site.desk.run("apply --yes").await.done();
}

/// Disturbs each request in its turn.
async fn every_boundary(disturbance: Disturbance) {
    let enrolled = Site::new().await;
    let site = Arc::new(enrolled.again().await);
    let (result, requests) = Box::pin(roll_out(&site, None)).await;
    assert_eq!(result, Some(RolloutResult::Done { changed: true }));
    assert!(requests > 15, "{requests}");
    let want = site.portrait();
    for at in 0..requests {
        let story = format!("{disturbance:?} at request {at}");
        let site = Arc::new(enrolled.again().await);
        let (result, _) = Box::pin(roll_out(&site, Some((at, disturbance)))).await;
        Box::pin(finish(&site, result, &story)).await;
        // Who was killed at the very end is back.
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(site.portrait(), want, "{story}");
        site.omni.engine.forget_calls();
        site.desk.run("apply --yes").await.done();
        assert_eq!(site.changes(), Vec::<String>::new(), "{story}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_cut_before_each_request_changes_nothing_in_the_end() {
    every_boundary(Disturbance::CutBefore).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_cut_during_each_request_changes_nothing_in_the_end() {
    every_boundary(Disturbance::CutMeanwhile).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_killed_before_each_request_changes_nothing_in_the_end() {
    every_boundary(Disturbance::KillBefore).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_killed_during_each_request_changes_nothing_in_the_end() {
    every_boundary(Disturbance::KillMeanwhile).await;
}
