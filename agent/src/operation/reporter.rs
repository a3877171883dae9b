//! Progress of an operation, for whoever listens. Losing it loses nothing else.

use std::sync::{Arc, Mutex, PoisonError};

use omni_scale_proto::v1::{self, progress::Event};
use tokio::sync::broadcast;

use crate::secrets::Secrets;

/// How many progress events a slow listener may fall behind before it misses some.
const BACKLOG: usize = 1024;

/// Where work tells what it is doing. Cheap to clone; never blocks.
#[derive(Debug, Clone)]
pub struct Reporter {
    events: broadcast::Sender<v1::Progress>,
    latest: Arc<Mutex<Option<v1::Stage>>>,
    secrets: Option<Arc<Secrets>>,
}

impl Default for Reporter {
    fn default() -> Self {
        Self {
            events: broadcast::channel(BACKLOG).0,
            latest: Arc::default(),
            secrets: None,
        }
    }
}

impl Reporter {
    /// Hides known secret values in log lines and warnings.
    pub(super) fn masked_by(secrets: Arc<Secrets>) -> Self {
        Self {
            secrets: Some(secrets),
            ..Self::default()
        }
    }

    /// Listens from now on. The first part of the answer is the stage that the work is in, if it told one.
    pub fn subscribe(&self) -> (Option<v1::Progress>, broadcast::Receiver<v1::Progress>) {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let stage = latest.clone().map(|stage| v1::Progress {
            event: Some(Event::Stage(stage)),
        });
        // Under the lock, so that a stage is neither missed nor heard twice.
        (stage, self.events.subscribe())
    }

    /// The stage that the work is in, if it told one.
    pub fn latest_stage(&self) -> Option<v1::Stage> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.clone()
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
    pub fn send(&self, mut event: Event) {
        if let Some(secrets) = &self.secrets {
            match &mut event {
                Event::LogLine(log_line) => log_line.line = secrets.mask(&log_line.line),
                Event::Warning(warning) => *warning = secrets.mask(warning),
                Event::Stage(_) | Event::Pull(_) | Event::HealthTransition(_) => {}
            }
        }
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::Stage(stage) = &event {
            *latest = Some(stage.clone());
        }
        // No listener is no fault: the work goes on without an audience.
        let _ = self.events.send(v1::Progress { event: Some(event) });
    }
}
