//! The Engine's events as one stream that outlives the connection.
//!
//! A listener looks when it hears [`Feed::Connected`] and after each event; between
//! [`Feed::Lost`] and the next `Connected` nothing is known. Events tell that something happened,
//! never what is: state is always looked up.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use omni_scale_proto::id::StackName;

use super::engine::{ContainerEvent, Engine, EngineError};
use crate::clock;
use crate::error::chain;

/// First pause before another attempt to connect; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A daemon that restarts is back within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feed {
    /// Events come from now on: look, then listen.
    Connected,
    /// Something happened.
    Event(ContainerEvent),
    /// The connection is gone, or could not be made.
    Lost {
        /// Why.
        reason: String,
    },
}

/// Follows the events of a stack's containers for as long as the stream is kept. Never ends.
pub fn follow(engine: Arc<dyn Engine>, stack: &StackName) -> BoxStream<'static, Feed> {
    let follower = Follower {
        engine,
        project: stack.to_string(),
        events: None,
        pause: Duration::ZERO,
        told_lost: false,
        // The Engine keeps its last events: nothing falls between asking and being connected.
        since: clock::now_milliseconds() * 1_000_000,
    };
    stream::unfold(follower, |mut follower| async {
        let feed = follower.next().await;
        Some((feed, follower))
    })
    .boxed()
}

struct Follower {
    engine: Arc<dyn Engine>,
    project: String,
    events: Option<BoxStream<'static, Result<ContainerEvent, EngineError>>>,
    pause: Duration,
    told_lost: bool,
    since: i64,
}

impl Follower {
    async fn next(&mut self) -> Feed {
        loop {
            let Some(events) = &mut self.events else {
                tokio::time::sleep(self.pause).await;
                match self.engine.events(&self.project, Some(self.since)).await {
                    Ok(events) => {
                        self.events = Some(events);
                        self.told_lost = false;
                        return Feed::Connected;
                    }
                    Err(error) => {
                        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                        if let Some(lost) = self.lost(chain(&error)) {
                            return lost;
                        }
                    }
                }
                continue;
            };
            let reason = match events.next().await {
                Some(Ok(event)) => {
                    self.pause = Duration::ZERO;
                    self.since = self.since.max(event.time_nanoseconds + 1);
                    return Feed::Event(event);
                }
                Some(Err(error)) => chain(&error),
                None => "the Docker Engine closed the stream of events".to_owned(),
            };
            self.events = None;
            // A connection that breaks at once must not be made again at once.
            self.pause = self.pause.max(FIRST_PAUSE);
            if let Some(lost) = self.lost(reason) {
                return lost;
            }
        }
    }

    /// Each loss is told once.
    fn lost(&mut self, reason: String) -> Option<Feed> {
        let told = std::mem::replace(&mut self.told_lost, true);
        (!told).then_some(Feed::Lost { reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::engine::{Containers as _, EventKind, Images as _};
    use crate::stack::testing::{self, FakeEngine};
    use crate::stack::{container, labels};
    use omni_scale_proto::stack::CheckedStack;

    async fn engine_with_sidecar() -> FakeEngine {
        let engine = FakeEngine::default();
        let stack = testing::stack();
        engine.publish_all(&stack);
        let checked = CheckedStack::try_from(stack).unwrap();
        let service = checked.service("omni-tailscale").unwrap();
        engine.pull(&service.image, &|_| {}).await.unwrap();
        let mut specification = container::specification(
            &checked,
            service,
            container::Surroundings {
                name: labels::container_name("omni", service),
                ..container::Surroundings::default()
            },
        )
        .unwrap();
        specification.network = crate::stack::engine::NetworkAttachment::None;
        engine.create(&specification).await.unwrap();
        engine
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_is_told_once_and_comes_back() {
        let engine = engine_with_sidecar().await;
        let mut feed = follow(Arc::new(engine.clone()), &"omni".parse().unwrap());
        assert_eq!(feed.next().await, Some(Feed::Connected));
        engine.start("omni-omni-tailscale-1").await.unwrap();
        let Some(Feed::Event(event)) = feed.next().await else {
            panic!("an event was expected");
        };
        assert_eq!(event.kind, EventKind::Started);
        engine.go_away();
        assert!(matches!(feed.next().await, Some(Feed::Lost { .. })));
        let back = engine.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            back.come_back();
        });
        assert_eq!(feed.next().await, Some(Feed::Connected));
    }
}
