//! Progress of an operation, for whoever listens. Losing it loses nothing else.

use omni_scale_proto::v1::{self, progress::Event};
use tokio::sync::broadcast;

/// How many progress events a slow listener may fall behind before it misses some.
const BACKLOG: usize = 1024;

/// Where work tells what it is doing. Cheap to clone; never blocks.
#[derive(Debug, Clone)]
pub struct Reporter {
    events: broadcast::Sender<v1::Progress>,
}

impl Default for Reporter {
    fn default() -> Self {
        Self {
            events: broadcast::channel(BACKLOG).0,
        }
    }
}

impl Reporter {
    /// Listens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<v1::Progress> {
        self.events.subscribe()
    }

    /// The work on `subject` has come to a new part.
    pub fn stage(&self, subject: impl Into<String>, activity: impl Into<String>) {
        self.send(Event::Stage(v1::Stage {
            subject: subject.into(),
            activity: activity.into(),
        }));
    }

    /// A state has changed while waiting for it.
    pub fn transition(
        &self,
        subject: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
    ) {
        self.send(Event::HealthTransition(v1::HealthTransition {
            subject: subject.into(),
            from: from.into(),
            to: to.into(),
        }));
    }

    /// Something that does not stop the work.
    pub fn warning(&self, text: impl Into<String>) {
        self.send(Event::Warning(text.into()));
    }

    /// Any event.
    pub fn send(&self, event: Event) {
        // No listener is no fault: the work goes on without an audience.
        let _ = self.events.send(v1::Progress { event: Some(event) });
    }
}
