//! An engine that is only a model: it keeps the rules of the port and remembers what was asked.

mod containers;
mod others;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use omni_scale_proto::v1::{self, ContainerHealth, ContainerState, LogStream};
use tokio::sync::{Notify, broadcast};

use super::model::{Behaviour, FakeImage, Model};
use crate::stack::engine::{
    ContainerDetails, ContainerEvent, ContainerSpecification, EngineError, EventKind, LogPiece,
};

/// What a listener to the model hears: an event, or that the connection is gone.
type Heard = Option<ContainerEvent>;

/// A model of an engine. All clones are the same engine.
#[derive(Debug, Clone)]
pub struct FakeEngine {
    model: Arc<Mutex<Model>>,
    heard: broadcast::Sender<Heard>,
    hanging: Arc<Notify>,
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self {
            model: Arc::default(),
            heard: broadcast::channel(1024).0,
            hanging: Arc::default(),
        }
    }
}

impl FakeEngine {
    /// Puts an image into the registry under a reference by digest, or by tag and digest.
    pub fn publish(&self, reference: &str, image: FakeImage) {
        let mut model = self.lock();
        if let Some((named, digest)) = reference.split_once('@') {
            model.tags.insert(named.to_owned(), digest.to_owned());
        }
        model.registry.insert(by_digest(reference), image);
    }

    /// Puts every image of a stack into the registry.
    pub fn publish_all(&self, stack: &v1::Stack) {
        for service in &stack.services {
            let layers = vec!["a1".to_owned(), "b2".to_owned()];
            self.publish(
                &service.image,
                FakeImage {
                    layers,
                    ..FakeImage::default()
                },
            );
        }
    }

    /// How containers of a service behave from their next start on.
    pub fn behave(&self, service: &str, behaviour: Behaviour) {
        let mut model = self.lock();
        model.behaviours.insert(service.to_owned(), behaviour);
    }

    /// The next call whose log line begins with `call` fails so.
    pub fn fail(&self, call: &str, error: EngineError) {
        self.lock().failures.push_back((call.to_owned(), error));
    }

    /// The next start whose log line is `call` has its effect, and its answer is lost.
    pub fn lose_answer(&self, call: &str) {
        self.lock().lost_answers.push(call.to_owned());
    }

    /// What `execute` and `run_to_end` answer when the whole command, its first word or the image is
    /// this.
    pub fn answer(&self, to: &str, exit_code: i64, output: &str) {
        let mut model = self.lock();
        model
            .answers
            .insert(to.to_owned(), (exit_code, output.to_owned()));
    }

    /// Every call so far, one line each: `start omni-omni-1`.
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.lock().calls.clear();
    }

    /// The container with this name.
    pub fn named(&self, name: &str) -> Option<ContainerDetails> {
        self.lock()
            .find(name)
            .map(|container| container.details.clone())
    }

    /// What the container with this name was made from.
    pub fn made_from(&self, name: &str) -> Option<ContainerSpecification> {
        self.lock()
            .find(name)
            .map(|container| container.specification.clone())
    }

    /// The archives that were put into the container with this name.
    pub fn archives(&self, name: &str) -> Vec<Vec<u8>> {
        self.lock()
            .find(name)
            .map(|container| container.archives.clone())
            .unwrap_or_default()
    }

    /// Names of all containers, sorted.
    pub fn names(&self) -> Vec<String> {
        let model = self.lock();
        let mut names: Vec<String> = model
            .containers
            .values()
            .map(|container| container.details.name.clone())
            .collect();
        names.sort();
        names
    }

    /// Changes a container behind everybody's back.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut ContainerDetails)) {
        if let Some(container) = self.lock().find_mut(name) {
            change(&mut container.details);
        }
    }

    /// Something is written to a container's log.
    pub fn write_log(&self, name: &str, text: &str) {
        self.write_log_at(name, text, 0);
    }

    /// Something is written to a container's log at this time.
    pub fn write_log_at(&self, name: &str, text: &str, time_milliseconds: i64) {
        if let Some(container) = self.lock().find_mut(name) {
            container.log.push(LogPiece {
                stream: LogStream::Stdout,
                bytes: text.as_bytes().to_vec(),
                time_milliseconds,
            });
        }
    }

    /// The program in a container ends by itself.
    pub fn end(&self, name: &str, exit_code: i32) {
        let mut model = self.lock();
        let Some(container) = model.find_mut(name) else {
            return;
        };
        container.details.state = ContainerState::Exited;
        container.details.exit_code = exit_code;
        let id = container.details.id.clone();
        let event = model.event(&id, EventKind::Died { exit_code });
        drop(model);
        self.tell(event);
    }

    /// A container's health check comes to a result.
    pub fn set_health(&self, name: &str, health: ContainerHealth) {
        let mut model = self.lock();
        let Some(container) = model.find_mut(name) else {
            return;
        };
        container.details.health = health;
        let id = container.details.id.clone();
        let event = model.event(&id, EventKind::Health(health));
        drop(model);
        self.tell(event);
    }

    /// The Engine goes away: calls fail, listeners are cut off.
    pub fn go_away(&self) {
        self.lock().away = true;
        let _ = self.heard.send(None);
    }

    /// The Engine is there again.
    pub fn come_back(&self) {
        self.lock().away = false;
    }

    fn tell(&self, event: Option<ContainerEvent>) {
        if event.is_some() {
            let _ = self.heard.send(event);
        }
    }

    /// From now on this many changes are made; the one after never returns. Then whoever asked is
    /// killed by the test, which learns of it by [`Self::hangs`].
    pub fn hang_after(&self, changes: usize) {
        self.lock().changes_left = Some(changes);
    }

    /// The next call whose log line is this never returns.
    pub fn hang(&self, call: &str) {
        self.lock().hanging.push(call.to_owned());
    }

    /// Ends when a call hangs.
    pub async fn hangs(&self) {
        self.hanging.notified().await;
    }

    /// Calls that hang do so no more.
    pub fn hang_never(&self) {
        self.lock().changes_left = None;
    }

    /// Everything that counts about the containers, by name: what a test compares.
    pub fn picture(&self) -> Vec<String> {
        let model = self.lock();
        let mut lines: Vec<String> = model
            .containers
            .values()
            .map(|container| {
                let details = &container.details;
                let namespace = match details.namespace_container() {
                    Some(id) => model
                        .find(id)
                        .map_or("nobody", |owner| owner.details.name.as_str()),
                    None => details.network_mode.as_str(),
                };
                let volumes: Vec<&str> = details
                    .volumes
                    .iter()
                    .map(|volume| volume.name.as_str())
                    .collect();
                let bytes: usize = container.archives.iter().map(Vec::len).sum();
                format!(
                    "{} {} {:?} {} in {namespace} with [{}] and {bytes} bytes",
                    details.name,
                    details.image,
                    details.state,
                    details.restart.as_str_name(),
                    volumes.join(" ")
                )
            })
            .collect();
        lines.sort();
        lines
    }

    /// Writes a call down and fails it if that was asked for.
    async fn called(&self, call: String) -> Result<MutexGuard<'_, Model>, EngineError> {
        if self.lock().hangs_at(&call) {
            self.hanging.notify_one();
            return std::future::pending().await;
        }
        let mut model = self.lock();
        let position = model
            .failures
            .iter()
            .position(|(failing, _)| call.starts_with(failing));
        let failure = position.and_then(|position| model.failures.remove(position));
        if model.away {
            return Err(EngineError::Unreachable {
                attempt: format!("cannot {call}"),
                source: "the model is away".into(),
            });
        }
        model.calls.push(call);
        match failure {
            Some((_, error)) => Err(error),
            None => Ok(model),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A health check comes to its first result a second after the start.
    fn check_later(&self, id: String, health: ContainerHealth) {
        let engine = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let still_starting = engine
                .named(&id)
                .is_some_and(|details| details.health == ContainerHealth::Starting);
            if still_starting {
                engine.set_health(&id, health);
            }
        });
    }
}

fn missing(what: &str, name: &str) -> EngineError {
    EngineError::NotFound {
        attempt: format!("cannot find {what} `{name}`"),
        message: format!("No such {what}: {name}"),
    }
}

/// The Engine keeps images by repository and digest; a tag before the digest does not count.
fn by_digest(reference: &str) -> String {
    match reference.split_once('@') {
        None => reference.to_owned(),
        Some((named, digest)) => {
            let repository = match named.rsplit_once(':') {
                Some((repository, tag)) if !tag.contains('/') => repository,
                _ => named,
            };
            format!("{repository}@{digest}")
        }
    }
}
