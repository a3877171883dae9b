//! A stack as it changes: looked at when the Engine tells of something, silent otherwise.

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use omni_scale_proto::id::StackName;
use omni_scale_proto::v1;

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
            last: None,
        };
        stream::unfold(watcher, |mut watcher| async {
            let observation = watcher.next().await?;
            Some((observation, watcher))
        })
        .boxed()
    }
}

struct Watcher {
    stacks: Stacks,
    name: StackName,
    feed: BoxStream<'static, Feed>,
    last: Option<v1::StackObservation>,
}

impl Watcher {
    async fn next(&mut self) -> Option<v1::StackObservation> {
        loop {
            let mut heard = self.feed.next().await?;
            // A change is often several events; one look after the last of them is enough.
            while let Some(Some(next)) = self.feed.next().now_or_never() {
                heard = next;
            }
            let observation = match heard {
                Feed::Lost { reason } => observe::unknown(&self.name, reason),
                Feed::Connected | Feed::Event(_) => self.stacks.observe(&self.name, &[]).await,
            };
            if self.last.as_ref() != Some(&observation) {
                self.last = Some(observation.clone());
                return Some(observation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use omni_scale_proto::v1::{ContainerHealth, ContainerState};

    use super::*;
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
