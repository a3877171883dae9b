//! A running operation as somebody who listens sees it: progress while it comes, one outcome at the end.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
use omni_scale_proto::v1;
use tokio::sync::{broadcast, watch};

use super::reporter::Reporter;

/// What a listener hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Something on the way. Events that a slow listener missed are left out.
    Progress(v1::Progress),
    /// The end. Nothing comes after it.
    Outcome(v1::Outcome),
}

/// A stream of [`Event`]s that ends with exactly one outcome. Dropping it stops nothing.
pub struct Running {
    events: BoxStream<'static, Event>,
}

impl Running {
    /// Listens to work that goes on: the stage it is in, then each event, then the outcome.
    pub(super) fn attached(
        reporter: &Reporter,
        outcome: watch::Receiver<Option<v1::Outcome>>,
    ) -> Self {
        let (latest, progress) = reporter.subscribe();
        let first = stream::iter(latest.map(Event::Progress));
        let listener = Listener {
            progress,
            outcome,
            silent: false,
            ended: false,
        };
        let rest = stream::unfold(listener, |mut listener| async {
            let event = listener.next().await?;
            Some((event, listener))
        });
        Self {
            events: first.chain(rest).boxed(),
        }
    }

    /// An outcome that is known already.
    pub(super) fn ended(outcome: v1::Outcome) -> Self {
        Self {
            events: stream::iter([Event::Outcome(outcome)]).boxed(),
        }
    }

    /// Waits for the end, for callers who do not care about the way.
    ///
    /// Bounded by the operation's own deadline.
    pub async fn outcome(mut self) -> v1::Outcome {
        while let Some(event) = self.events.next().await {
            if let Event::Outcome(outcome) = event {
                return outcome;
            }
        }
        lost()
    }
}

impl Stream for Running {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.as_mut().poll_next(context)
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Running").finish_non_exhaustive()
    }
}

struct Listener {
    progress: broadcast::Receiver<v1::Progress>,
    outcome: watch::Receiver<Option<v1::Outcome>>,
    silent: bool,
    ended: bool,
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.ended {
                return None;
            }
            let known = tokio::select! {
                // Events that came before the outcome are heard before it.
                biased;
                event = self.progress.recv(), if !self.silent => {
                    match event {
                        Ok(progress) => return Some(Event::Progress(progress)),
                        Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => self.silent = true,
                    }
                    continue;
                }
                known = self.outcome.wait_for(Option::is_some) => known.map(|known| known.clone()),
            };
            self.ended = true;
            return Some(Event::Outcome(known.ok().flatten().unwrap_or_else(lost)));
        }
    }
}

/// The work's supervisor is gone without an outcome: the agent is going down.
fn lost() -> v1::Outcome {
    v1::Outcome {
        failure: Some(v1::Failure {
            failure_class: v1::FailureClass::Transient.into(),
            message: "outcome unknown: the agent stopped while the operation ran".to_owned(),
            hint: "ask again: the agent looks at what is there before it acts".to_owned(),
            evidence: Vec::new(),
            outcome_unknown: true,
        }),
        ..v1::Outcome::default()
    }
}
