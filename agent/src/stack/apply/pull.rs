//! Getting an image, with the progress of each layer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use omni_scale_proto::v1::{self, FailureClass, progress::Event};
use tokio::time::Instant;

use super::{Run, failure};
use crate::operation::{Failure, Reporter};
use crate::stack::engine::ImageDetails;

/// The Engine tells of each few kilobytes; a listener needs no more than this.
const INTERVAL: Duration = Duration::from_millis(200);

impl Run<'_> {
    /// Pulls a service's image unless the host holds it.
    pub(super) async fn ensure_image(&self, service: &v1::Service) -> Result<(), Failure> {
        let held = self.engine.image(&service.image).await;
        if held.map_err(|error| failure(&error))?.is_some() {
            return Ok(());
        }
        self.reporter
            .stage(&service.name, format!("pulling {}", service.image));
        let calm = Calm::new(self.reporter.clone());
        let pulled = self
            .engine
            .pull(&service.image, &|step| calm.pass(step))
            .await;
        pulled.map_err(|error| {
            failure(&error).with_hint(format!(
                "can this host reach the registry? `docker pull {}`",
                service.image
            ))
        })
    }

    /// The image of a service, which is there.
    pub(super) async fn image(&self, service: &v1::Service) -> Result<ImageDetails, Failure> {
        let held = self.engine.image(&service.image).await;
        held.map_err(|error| failure(&error))?.ok_or_else(|| {
            let message = format!("image `{}` is gone again", service.image);
            Failure::new(FailureClass::Transient, message)
        })
    }
}

/// Passes progress on: each new status of a layer at once, bytes now and then.
struct Calm {
    reporter: Reporter,
    layers: Mutex<HashMap<String, (String, Instant)>>,
}

impl Calm {
    fn new(reporter: Reporter) -> Self {
        Self {
            reporter,
            layers: Mutex::default(),
        }
    }

    fn pass(&self, step: v1::PullProgress) {
        let now = Instant::now();
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let last = layers.get(&step.layer);
        let same = last.is_some_and(|(status, told)| {
            *status == step.status && now.duration_since(*told) < INTERVAL
        });
        if same {
            return;
        }
        layers.insert(step.layer.clone(), (step.status.clone(), now));
        self.reporter.send(Event::Pull(step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_are_told_now_and_then_and_each_status_at_once() {
        let reporter = Reporter::default();
        let (_, mut heard) = reporter.subscribe();
        let calm = Calm::new(reporter);
        let step = |status: &str, current| v1::PullProgress {
            layer: "a1".to_owned(),
            status: status.to_owned(),
            current,
            ..v1::PullProgress::default()
        };
        calm.pass(step("Downloading", 1));
        calm.pass(step("Downloading", 2));
        tokio::time::advance(INTERVAL).await;
        calm.pass(step("Downloading", 3));
        calm.pass(step("Pull complete", 3));
        let mut told = Vec::new();
        while let Ok(progress) = heard.try_recv() {
            if let Some(Event::Pull(step)) = progress.event {
                told.push((step.status, step.current));
            }
        }
        assert_eq!(
            told,
            [
                ("Downloading".to_owned(), 1),
                ("Downloading".to_owned(), 3),
                ("Pull complete".to_owned(), 3)
            ]
        );
    }
}
