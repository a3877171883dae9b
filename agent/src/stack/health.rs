//! Health of the names `omni`, `omni/SERVICE` and `provider`.
//!
//! A service is healthy when its container runs, says so itself if it has a health check, and is
//! on the live network namespace; one that is done once it has ended well is healthy then as well.
//! `omni` is the whole of the stacks of this host, and the
//! product's own answer where one is known: what a gate once asked inside of a namespace, and got,
//! is asked again every 15 s. An answer is worth nothing once containers run that did not when it
//! was given; until there is a good one it is asked for more often, and one that does not come is
//! not known. State comes from the Engine's events, and from a look every 15 s, since an Engine that
//! hangs tells nothing; all of this rests while nobody watches.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, SelectAll};
use omni_scale_proto::difference::is_one_shot;
use omni_scale_proto::stack::CheckedStack;
use omni_scale_proto::v1::{self, ContainerHealth, ContainerState};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::Stacks;
use crate::service::health::{Health, HealthSource};

/// Between two questions to the product, and between two looks whether anybody still watches.
const INTERVAL: Duration = Duration::from_secs(15);
/// Between the first two questions to a product that has just begun; doubled up to [`INTERVAL`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The service that `provider` stands for.
const PROVIDER: &str = "proxmox-provider";

/// Health of the stacks of this host. Needs a tokio runtime.
pub struct StackHealth {
    stacks: Stacks,
    names: Names,
}

/// Who watches what. Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
struct Names {
    /// Everybody who watches, by name. Empty: nothing runs.
    watched: Arc<Mutex<HashMap<String, watch::Sender<Health>>>>,
    /// A name was added to others.
    added: Arc<Notify>,
}

impl StackHealth {
    /// Watches nothing yet.
    pub fn new(stacks: Stacks) -> Self {
        Self {
            stacks,
            names: Names::default(),
        }
    }
}

impl HealthSource for StackHealth {
    fn watch(&self, name: &str) -> Option<watch::Receiver<Health>> {
        if name != "omni" && self.service_of(name).is_none() {
            return None;
        }
        let mut watched = self.names.lock();
        let rests = watched.is_empty();
        let is_new = !watched.contains_key(name);
        let receiver = watched
            .entry(name.to_owned())
            .or_insert_with(|| watch::channel(Health::Unknown).0)
            .subscribe();
        drop(watched);
        if rests {
            tokio::spawn(follow(self.stacks.clone(), self.names.clone()));
        } else if is_new {
            self.names.added.notify_one();
        }
        Some(receiver)
    }
}

impl StackHealth {
    /// The service behind a name, if a stack of this host has it.
    fn service_of(&self, name: &str) -> Option<String> {
        let service = service_name(name)?;
        self.stacks
            .knows_service(service)
            .then(|| service.to_owned())
    }
}

fn service_name(name: &str) -> Option<&str> {
    match name {
        "provider" => Some(PROVIDER),
        _ => name.strip_prefix("omni/"),
    }
}

impl Names {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Health>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the product's own answer is wanted.
    fn has_whole(&self) -> bool {
        self.lock().contains_key("omni")
    }
}

/// The products being asked.
type Asking = BoxFuture<'static, Option<Health>>;

/// What the products say, when they are being asked.
async fn answer_to(asking: &mut Option<Asking>) -> Option<Health> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Tells everybody who watches, until nobody does.
async fn follow(stacks: Stacks, names: Names) {
    let mut observations: SelectAll<BoxStream<'static, v1::StackObservation>> = SelectAll::new();
    let mut observed: HashMap<String, Seen> = HashMap::new();
    let mut watched = stacks.names();
    for stack in &watched {
        observations.push(stacks.watch(stack.clone()));
    }
    // Absent: not asked yet.
    let mut answer: Option<Option<Health>> = None;
    let mut pause = FIRST_PAUSE;
    let mut question = Instant::now();
    let mut asking: Option<Asking> = None;
    let mut asked_at = Instant::now();
    // What is being asked is about containers that run no more.
    let mut outdated = false;
    let mut asks = names.has_whole();
    loop {
        tokio::select! {
            // Who comes later hears at once what the others know.
            () = names.added.notified() => {
                let asked = std::mem::replace(&mut asks, names.has_whole());
                if asks && !asked {
                    answer = None;
                    pause = FIRST_PAUSE;
                    question = Instant::now();
                }
            }
            // Beside the rest: an Engine that hangs answers late, and events go on.
            answered = answer_to(&mut asking) => {
                asking = None;
                if std::mem::take(&mut outdated) {
                    question = Instant::now();
                } else {
                    answer = asks.then_some(answered);
                    pause = match answered {
                        Some(Health::NotServing | Health::Unknown) => (pause * 2).min(INTERVAL),
                        Some(Health::Serving) | None => INTERVAL,
                    };
                    question = Instant::now() + pause;
                }
            }
            Some(observation) = observations.next() => {
                let before = observed.get(&observation.name);
                if before.is_some_and(|before| runs(&before.stack) != runs(&observation)) {
                    answer = None;
                    pause = FIRST_PAUSE;
                    outdated = asking.is_some();
                    question = Instant::now();
                }
                observed.insert(observation.name.clone(), Seen::of(observation, &stacks));
            }
            () = sleep_until(question) => {
                if nobody_watches(&names) {
                    return;
                }
                // A stack may have been applied for the first time.
                for stack in stacks.names() {
                    if !watched.contains(&stack) {
                        observations.push(stacks.watch(stack.clone()));
                        watched.push(stack);
                    }
                }
                // An answer that nobody wanted is not kept for who comes next.
                asks = names.has_whole();
                if !asks {
                    answer = None;
                } else if asking.is_none() {
                    let stacks = stacks.clone();
                    asked_at = Instant::now();
                    asking = Some(Box::pin(async move { stacks.products_answer().await }));
                } else if asked_at.elapsed() >= INTERVAL {
                    // It goes on: the Engine may still have to put the probe away.
                    answer = Some(Some(Health::Unknown));
                }
                question = Instant::now() + INTERVAL;
            }
        }
        let all = watched.len() == observed.len();
        for (name, sender) in names.lock().iter() {
            let health = match service_name(name) {
                Some(service) => observed
                    .values()
                    .find_map(|seen| service_health(seen, service))
                    .unwrap_or(if all {
                        Health::NotServing
                    } else {
                        Health::Unknown
                    }),
                None => match answer {
                    Some(answer) if all => whole(observed.values(), answer),
                    _ => Health::Unknown,
                },
            };
            sender.send_if_modified(|known| {
                let changed = *known != health;
                *known = health;
                changed
            });
        }
    }
}

/// A stack as it was seen.
struct Seen {
    stack: v1::StackObservation,
    /// Services that have ended well and are not to run on.
    done: BTreeSet<String>,
}

impl Seen {
    fn of(stack: v1::StackObservation, stacks: &Stacks) -> Self {
        let record = stack
            .name
            .parse()
            .ok()
            .and_then(|name| stacks.record(&name));
        let applied = record.and_then(|record| CheckedStack::try_from(record.stack).ok());
        let done = |seen: &&v1::ServiceObservation| {
            let has_ended_well = seen.state() == ContainerState::Exited && seen.exit_code == 0;
            has_ended_well
                && applied.as_ref().is_some_and(|applied| {
                    let service = applied.service(&seen.service);
                    service.is_some_and(|service| is_one_shot(applied, service))
                })
        };
        let done = stack.services.iter().filter(done);
        let done = done.map(|service| service.service.clone()).collect();
        Self { stack, done }
    }
}

/// What runs, and since when.
fn runs(observation: &v1::StackObservation) -> Vec<(&str, i64)> {
    let running = observation
        .services
        .iter()
        .filter(|service| service.state() == ContainerState::Running);
    running
        .map(|service| {
            (
                service.container_id.as_str(),
                service.started_at_milliseconds,
            )
        })
        .collect()
}

/// Forgets names that nobody watches any more; true when none is left.
fn nobody_watches(names: &Names) -> bool {
    let mut watched = names.lock();
    watched.retain(|_, sender| sender.receiver_count() > 0);
    watched.is_empty()
}

/// Health of one service. `None`: this stack does not have it.
fn service_health(seen: &Seen, service: &str) -> Option<Health> {
    if !seen.stack.known {
        return Some(Health::Unknown);
    }
    let service = seen
        .stack
        .services
        .iter()
        .find(|other| other.service == service)?;
    let healthy = service.state() == ContainerState::Running
        && service.namespace_live
        && matches!(
            service.health(),
            ContainerHealth::None | ContainerHealth::Healthy
        );
    Some(if healthy || seen.done.contains(&service.service) {
        Health::Serving
    } else {
        Health::NotServing
    })
}

/// Health of all services together, and of the product's own answer if it is known how to ask.
fn whole<'a>(observations: impl Iterator<Item = &'a Seen>, answer: Option<Health>) -> Health {
    let mut healths = Vec::from_iter(answer);
    for seen in observations {
        if !seen.stack.known {
            return Health::Unknown;
        }
        let services = seen.stack.services.iter();
        healths.extend(services.filter_map(|service| service_health(seen, &service.service)));
    }
    let has = |wanted: Health| healths.contains(&wanted);
    if healths.is_empty() || has(Health::NotServing) {
        Health::NotServing
    } else if has(Health::Unknown) {
        Health::Unknown
    } else {
        Health::Serving
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::testing::{self, Behaviour, StackHost, running_stack};

    async fn next(receiver: &mut watch::Receiver<Health>) -> Health {
        receiver.changed().await.unwrap();
        *receiver.borrow_and_update()
    }

    #[tokio::test(start_paused = true)]
    async fn health_follows_the_containers() {
        let host = running_stack().await;
        let source = StackHealth::new(host.stacks.clone());
        let mut whole = source.watch("omni").unwrap();
        let mut provider = source.watch("provider").unwrap();
        let mut sidecar = source.watch("omni/omni-tailscale").unwrap();
        assert_eq!(*whole.borrow(), Health::Unknown);
        assert_eq!(next(&mut whole).await, Health::Serving);
        assert_eq!(next(&mut provider).await, Health::Serving);
        assert_eq!(next(&mut sidecar).await, Health::Serving);
        host.engine
            .set_health("omni-omni-tailscale-1", ContainerHealth::Unhealthy);
        assert_eq!(next(&mut sidecar).await, Health::NotServing);
        assert_eq!(next(&mut whole).await, Health::NotServing);
        assert!(!provider.has_changed().unwrap());
        host.engine.go_away();
        assert_eq!(next(&mut provider).await, Health::Unknown);
        assert_eq!(next(&mut whole).await, Health::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_sidecar_makes_its_sharers_unhealthy() {
        let host = running_stack().await;
        let source = StackHealth::new(host.stacks.clone());
        let mut provider = source.watch("provider").unwrap();
        assert_eq!(next(&mut provider).await, Health::Serving);
        host.engine.tamper("omni-omni-tailscale-1", |details| {
            details.started_at_milliseconds += 1_000_000;
        });
        // Its health check starts anew, which is an event.
        host.engine
            .set_health("omni-omni-tailscale-1", ContainerHealth::Healthy);
        assert_eq!(next(&mut provider).await, Health::NotServing);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_has_done_its_work_is_no_fault() {
        let host = StackHost::new();
        let mut stack = testing::stack();
        stack.services.push(testing::service("migrate"));
        stack.services[1].depends_on.push(testing::after(
            "migrate",
            v1::DependencyCondition::CompletedSuccessfully,
        ));
        host.engine.behave("migrate", Behaviour::Exits(0));
        host.apply(&stack).await.unwrap();
        let source = StackHealth::new(host.stacks.clone());
        let mut whole = source.watch("omni").unwrap();
        let mut migrate = source.watch("omni/migrate").unwrap();
        assert_eq!(next(&mut whole).await, Health::Serving);
        assert_eq!(next(&mut migrate).await, Health::Serving);
        host.engine.end("omni-migrate-1", 1);
        assert_eq!(next(&mut migrate).await, Health::NotServing);
        assert_eq!(next(&mut whole).await, Health::NotServing);
    }

    #[tokio::test(start_paused = true)]
    async fn who_watches_another_name_later_hears_at_once() {
        let host = running_stack().await;
        let source = StackHealth::new(host.stacks.clone());
        let mut whole = source.watch("omni").unwrap();
        assert_eq!(next(&mut whole).await, Health::Serving);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut provider = source.watch("provider").unwrap();
        let heard = tokio::time::timeout(Duration::from_secs(5), next(&mut provider)).await;
        assert_eq!(heard, Ok(Health::Serving));
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_is_no_evidence() {
        let host = running_stack().await;
        let source = StackHealth::new(host.stacks.clone());
        let mut provider = source.watch("provider").unwrap();
        assert_eq!(next(&mut provider).await, Health::Serving);
        host.engine.hang("list omni");
        let bound = Duration::from_secs(60);
        let heard = tokio::time::timeout(bound, next(&mut provider)).await;
        assert_eq!(heard, Ok(Health::Unknown));
        // The next look is answered again.
        assert_eq!(next(&mut provider).await, Health::Serving);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_stack_the_role_is_there_and_does_not_serve() {
        let host = StackHost::new();
        let source = StackHealth::new(host.stacks.clone());
        let mut whole = source.watch("omni").unwrap();
        assert_eq!(next(&mut whole).await, Health::NotServing);
        assert!(source.watch("omni/omni").is_none());
        assert!(source.watch("tsidp").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_runs_while_nobody_watches() {
        let host = running_stack().await;
        let source = StackHealth::new(host.stacks.clone());
        let mut provider = source.watch("provider").unwrap();
        assert_eq!(next(&mut provider).await, Health::Serving);
        drop(provider);
        tokio::time::sleep(INTERVAL * 2).await;
        assert!(source.names.lock().is_empty());
        host.engine.forget_calls();
        host.engine.end("omni-omni-1", 1);
        tokio::time::sleep(INTERVAL * 2).await;
        assert!(host.engine.calls().is_empty());
        let mut omni = source.watch("omni/omni").unwrap();
        assert_eq!(next(&mut omni).await, Health::NotServing);
    }
}
