//! A stack as it changes: looked at when the Engine tells of something, silent otherwise. An Engine
//! that hangs tells nothing either, so that it is looked at now and then as well.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use omni_scale_proto::id::StackName;
use omni_scale_proto::v1;
use tokio::time::{Instant, sleep, sleep_until};

use super::Stacks;
use super::feed::{self, Feed};
use super::observe;

impl Stacks {
    /// The stack now, then each time it is another one. While the Engine cannot be reached it is
    /// not known, and says why. Never ends by itself.
    pub fn watch(&self, name: StackName) -> BoxStream<'static, v1::StackObservation> {
        let watcher = Watcher {
            feed: feed::follow(self.engine.clone(), &name),
            stacks: self.clone(),
            name,
            owed: Owed::Connection,
            bound: LOOK_BOUND,
            last: None,
        };
        stream::unfold(watcher, |mut watcher| async {
            let observation = watcher.next().await?;
            Some((observation, watcher))
        })
        .boxed()
    }
}

/// After a look that failed while the Engine's events still come: none may come for long.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Between two looks while the Engine tells nothing.
const INTERVAL: Duration = Duration::from_secs(15);
/// The Engine answers at once. One that has just been slow is given more time, up to
/// [`LONGEST_BOUND`].
const LOOK_BOUND: Duration = Duration::from_secs(5);
/// Nothing that the Engine is asked takes longer.
const LONGEST_BOUND: Duration = Duration::from_secs(60);

struct Watcher {
    stacks: Stacks,
    name: StackName,
    feed: BoxStream<'static, Feed>,
    owed: Owed,
    /// The next look is given up then.
    bound: Duration,
    last: Option<v1::StackObservation>,
}

/// When the containers are to be looked at next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    /// Once the Engine is there.
    Connection,
    /// Once something happens, or after a while.
    Nothing,
    /// Something has happened since the last look began.
    Look,
    /// The last look failed.
    AnotherLook,
}

impl Watcher {
    async fn next(&mut self) -> Option<v1::StackObservation> {
        loop {
            let observation = match self.hear().await? {
                Some(reason) => observe::unknown(&self.name, reason),
                None => self.look().await,
            };
            if self.last.as_ref() != Some(&observation) {
                self.last = Some(observation.clone());
                return Some(observation);
            }
        }
    }

    /// Waits until there is something to look at, or the Engine is gone, and why. A change is often
    /// several events: one look after the last of them is enough.
    async fn hear(&mut self) -> Option<Option<String>> {
        let mut heard = match self.owed {
            Owed::Connection => Some(self.feed.next().await?),
            Owed::Look => None,
            Owed::Nothing | Owed::AnotherLook => {
                let pause = if self.owed == Owed::Nothing {
                    INTERVAL
                } else {
                    LOOK_AGAIN
                };
                tokio::select! {
                    heard = self.feed.next() => Some(heard?),
                    () = sleep(pause) => None,
                }
            }
        };
        loop {
            if let Some(Feed::Lost { reason }) = heard {
                self.owed = Owed::Connection;
                return Some(Some(reason));
            }
            match self.feed.next().now_or_never() {
                Some(next) => heard = Some(next?),
                None => return Some(None),
            }
        }
    }

    /// Looks, and listens meanwhile: an Engine that stops lets a look wait until it is back, and in
    /// between nothing is known. Nor is it when the Engine hangs.
    async fn look(&mut self) -> v1::StackObservation {
        let mut look = pin!(self.stacks.observe(&self.name, &[]));
        let begun = Instant::now();
        self.owed = Owed::Nothing;
        loop {
            tokio::select! {
                biased;
                Some(heard) = self.feed.next() => match heard {
                    Feed::Lost { reason } => {
                        self.owed = Owed::Connection;
                        return observe::unknown(&self.name, reason);
                    }
                    Feed::Connected | Feed::Event(_) => self.owed = Owed::Look,
                },
                observation = &mut look => {
                    self.bound = (begun.elapsed() * 2).clamp(LOOK_BOUND, LONGEST_BOUND);
                    if !observation.known && self.owed == Owed::Nothing {
                        self.owed = Owed::AnotherLook;
                    }
                    return observation;
                }
                () = sleep_until(begun + self.bound) => {
                    self.bound = (self.bound * 2).min(LONGEST_BOUND);
                    if self.owed == Owed::Nothing {
                        self.owed = Owed::AnotherLook;
                    }
                    let reason = "the Docker Engine does not say in time what runs";
                    return observe::unknown(&self.name, reason.to_owned());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use omni_scale_proto::v1::{ContainerHealth, ContainerState};

    use super::*;
    use crate::stack::engine::EngineError;
    use crate::stack::testing::{Behaviour, running_stack};

    async fn state_of(
        watched: &mut BoxStream<'static, v1::StackObservation>,
        service: &str,
    ) -> (ContainerState, ContainerHealth) {
        let observed = watched.next().await.unwrap();
        assert!(observed.known, "{}", observed.reason);
        let service = observed
            .services
            .iter()
            .find(|other| other.service == service)
            .unwrap();
        (service.state(), service.health())
    }

    #[tokio::test(start_paused = true)]
    async fn each_change_is_told_once_and_silence_is_silent() {
        let host = running_stack().await;
        let mut watched = host.stacks.watch("omni".parse().unwrap());
        let running = (ContainerState::Running, ContainerHealth::None);
        assert_eq!(state_of(&mut watched, "omni").await, running);
        let silent = tokio::time::timeout(Duration::from_secs(3600), watched.next()).await;
        assert!(silent.is_err(), "{silent:?}");
        host.engine.end("omni-omni-1", 1);
        assert_eq!(
            state_of(&mut watched, "omni").await.0,
            ContainerState::Exited
        );
        host.engine.behave("omni-tailscale", Behaviour::Silent);
        host.engine
            .set_health("omni-omni-tailscale-1", ContainerHealth::Unhealthy);
        assert_eq!(
            state_of(&mut watched, "omni-tailscale").await.1,
            ContainerHealth::Unhealthy
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_failed_is_made_again_without_an_event() {
        let host = running_stack().await;
        let mut watched = host.stacks.watch("omni".parse().unwrap());
        assert!(watched.next().await.unwrap().known);
        let error = EngineError::TimedOut {
            attempt: "cannot list the containers".to_owned(),
            seconds: 60,
        };
        host.engine.fail("list omni", error);
        host.engine.end("omni-omni-1", 1);
        assert!(!watched.next().await.unwrap().known);
        let ended = state_of(&mut watched, "omni").await.0;
        assert_eq!(ended, ContainerState::Exited);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_without_an_event_is_unknown_soon() {
        let host = running_stack().await;
        let mut watched = host.stacks.watch("omni".parse().unwrap());
        assert!(watched.next().await.unwrap().known);
        host.engine.hang("list omni");
        let bound = INTERVAL + LOOK_BOUND + Duration::from_secs(1);
        let heard = tokio::time::timeout(bound, watched.next()).await;
        assert!(!heard.unwrap().unwrap().known);
        assert!(watched.next().await.unwrap().known);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_goes_while_it_is_looked_at_is_unknown_at_once() {
        let host = running_stack().await;
        let mut watched = host.stacks.watch("omni".parse().unwrap());
        assert!(watched.next().await.unwrap().known);
        host.engine.hang("list omni");
        host.engine.end("omni-omni-1", 1);
        let engine = host.engine.clone();
        tokio::spawn(async move {
            engine.hangs().await;
            engine.go_away();
            engine.come_back();
        });
        let lost = tokio::time::timeout(Duration::from_secs(60), watched.next()).await;
        let lost = lost.unwrap().unwrap();
        assert!(!lost.known && !lost.reason.is_empty(), "{lost:?}");
        let ended = state_of(&mut watched, "omni").await.0;
        assert_eq!(ended, ContainerState::Exited);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_restarts_is_unknown_in_between() {
        let host = running_stack().await;
        let mut watched = host.stacks.watch("omni".parse().unwrap());
        assert!(watched.next().await.unwrap().known);
        host.engine.go_away();
        let lost = watched.next().await.unwrap();
        assert!(!lost.known && !lost.reason.is_empty(), "{lost:?}");
        let engine = Arc::new(host.engine.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(40)).await;
            engine.come_back();
        });
        assert!(watched.next().await.unwrap().known);
    }
}
