//! Kills by seed: an agent that dies at any instant, any number of times, with an issuer that fails
//! it meanwhile. When it is left in peace once, there is one client of ours, and it is stored.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::net::Ipv4Addr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use omni_scale_noise::Dice;
use omni_scale_proto::client::client_digest;
use omni_scale_proto::operation::Target;
use omni_scale_proto::v1;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::tests::{DCR_ONLY, ID, ISSUER, NAME, OPEN, SECRET, checked, moved, wire};
use crate::client::fake::{Endpoint, FakeTsidp, Fault, Kind};
use crate::client::omni_client::{ClientParts, OmniClient};
use crate::operation::testing::Desk;
use crate::tailnet::FakeTailnet;

const SEEDS: u64 = 200;
/// An undisturbed application has fewer places where it can be killed.
const MOST_POLLS: usize = 40;

/// Goes so far with the work. `None`: it was not done by then, and is dropped.
async fn polled<Work: Future>(work: Work, polls: usize) -> Option<Work::Output> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

/// One host, over the lives of its agent.
struct World {
    directory: Option<TempDir>,
    tsidp: FakeTsidp,
    /// The number of the operation, and of its generation.
    operation: u8,
}

impl World {
    /// One life of the agent, which ends after so many places. The outcome, if there was one.
    fn live(&mut self, wire: &v1::Client, polls: Option<usize>) -> Option<v1::Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let directory = self.directory.take().unwrap();
        let (directory, outcome) = runtime.block_on(self.life(directory, wire, polls));
        // With the runtime goes everything that was in memory.
        drop(runtime);
        self.directory = Some(directory);
        if outcome.is_some() {
            // What was killed is asked for again; what has ended is asked for anew.
            self.operation += 1;
        }
        outcome
    }

    async fn life(
        &self,
        directory: TempDir,
        wire: &v1::Client,
        polls: Option<usize>,
    ) -> (TempDir, Option<v1::Outcome>) {
        let mut desk = Desk::open(directory);
        desk.epoch = desk.lease("one").await;
        let address = Ipv4Addr::new(100, 64, 0, 7);
        let omni = OmniClient::open(ClientParts {
            issuer: self.tsidp.issuer(),
            tailnet: Arc::new(FakeTailnet::running("omni-host.tail.test", address)),
            secrets: desk.secrets.clone(),
            directory: desk.directory.path().join("client"),
        });
        let (omni, client) = (omni.unwrap(), checked(wire.clone()));
        let digest = client_digest(&client).to_string();
        let (kill, killed) = oneshot::channel();
        let operation = desk.operation(self.operation, self.operation.into());
        let work = async move |reporter| {
            let deadline = Instant::now() + Duration::from_secs(50);
            let work = omni.apply(&client, deadline, &reporter);
            if let Some(ended) = polled(work, polls.unwrap_or(usize::MAX)).await {
                return ended;
            }
            let _ = kill.send(());
            std::future::pending().await
        };
        let running = desk
            .operations
            .run(operation, Target::Client, "apply", &digest, work)
            .await
            .unwrap();
        let outcome = tokio::select! {
            outcome = running.outcome() => Some(outcome),
            Ok(()) = killed => None,
        };
        desk.operations.kill();
        (desk.directory, outcome)
    }

    fn path(&self) -> &Path {
        self.directory.as_ref().unwrap().path()
    }
}

/// All files below, with what stands in them.
fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let contents = std::fs::read(&path).unwrap();
            found.push((path.display().to_string(), contents));
        }
    }
    found
}

fn holds(contents: &[u8], needle: &str) -> bool {
    contents
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

/// What may go wrong meanwhile, at which endpoint.
fn fault(dice: &mut Dice) -> (Endpoint, Fault) {
    let endpoints = [
        Endpoint::Register,
        Endpoint::New,
        Endpoint::List,
        Endpoint::Delete,
    ];
    let faults = [
        Fault::NotSent,
        Fault::Failed,
        Fault::FailedAfter,
        Fault::Lost,
        Fault::Cut,
        Fault::Garbled,
        Fault::Late(Duration::from_secs(3)),
        Fault::Hangs,
        Fault::HangsAfter,
        Fault::Refused,
    ];
    (
        endpoints[dice.roll(endpoints.len())],
        faults[dice.roll(faults.len())],
    )
}

/// One seed. Gives the places at which the agent was killed.
fn schedule(seed: u64) -> Vec<usize> {
    let mut dice = Dice::new(seed, 0);
    let kind = [OPEN, Kind::Older, DCR_ONLY][dice.roll(3)];
    let tsidp = FakeTsidp::new(ISSUER, kind);
    let others = ["omni", NAME.trim_end_matches('1')].map(|name| tsidp.add(name, "https://o/"));
    let mut world = World {
        directory: Some(tempfile::tempdir().unwrap()),
        tsidp: tsidp.clone(),
        operation: 1,
    };
    let wanted = match dice.roll(4) {
        // A new one, beside one whose secret nobody has.
        0 => {
            tsidp.add(NAME, &wire().redirect_uri);
            wire()
        }
        // Another one.
        1 => {
            world.live(&wire(), None);
            moved()
        }
        // One that the issuer has lost.
        2 => {
            world.live(&wire(), None);
            for client in tsidp.clients() {
                if client.name == NAME {
                    tsidp.remove(&client.id);
                }
            }
            wire()
        }
        _ => wire(),
    };
    let mut killed_at = Vec::new();
    for _ in 0..=dice.roll(4) {
        let polls = dice.roll(MOST_POLLS);
        if dice.once_in(2) {
            let (endpoint, fault) = fault(&mut dice);
            tsidp.fail_next(endpoint, fault);
        }
        // Somebody turns the deployment round meanwhile.
        let asked = if dice.once_in(6) {
            moved()
        } else {
            wanted.clone()
        };
        if world.live(&asked, Some(polls)).is_none() {
            killed_at.push(polls);
        }
        tsidp.heal();
    }
    // In peace. Where this host may not look, what is lost stays lost until the grant is written.
    let mut outcome = world.live(&wanted, None).unwrap();
    if kind == DCR_ONLY {
        tsidp.become_of(OPEN);
        outcome = world.live(&wanted, None).unwrap();
    }
    assert_eq!(outcome.failure, None, "seed {seed}");
    check(seed, &world, &wanted, &others);
    killed_at
}

fn check(seed: u64, world: &World, wanted: &v1::Client, others: &[String]) {
    let clients = world.tsidp.clients();
    for other in others {
        assert!(
            clients.iter().any(|client| client.id == *other),
            "seed {seed}"
        );
    }
    let ours: Vec<_> = clients.into_iter().filter(|one| one.name == NAME).collect();
    let stored = |name: &str| {
        let secrets = crate::secrets::Secrets::open(&world.path().join("secrets")).unwrap();
        let value = secrets.get(&name.parse().unwrap()).unwrap();
        String::from_utf8(value.expose().to_vec()).unwrap()
    };
    assert_eq!(ours.len(), 1, "seed {seed}: {ours:?}");
    let client = &ours[0];
    assert_eq!(
        client.redirect_uris.join(" "),
        wanted.redirect_uri,
        "seed {seed}"
    );
    assert_eq!(
        (&stored(ID), &stored(SECRET)),
        (&client.id, &client.secret),
        "seed {seed}"
    );
    let holding: Vec<_> = files(world.path())
        .into_iter()
        .filter(|(_, contents)| holds(contents, &client.secret))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(holding.len(), 1, "seed {seed}: {holding:?}");
    assert!(holding[0].ends_with(SECRET), "seed {seed}: {holding:?}");
}

#[test]
fn wherever_the_agent_is_killed_there_is_one_client_in_the_end_and_it_is_stored() {
    let mut killed_at = BTreeSet::new();
    for seed in 0..SEEDS {
        killed_at.extend(schedule(seed));
    }
    // Every place of an undisturbed application was among them.
    let places: BTreeSet<usize> = (0..20).collect();
    assert!(killed_at.is_superset(&places), "{killed_at:?}");
}
