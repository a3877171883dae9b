//! Machines as they change: looked at every few seconds, and only while somebody watches. And the health of the
//! cluster that was asked last. A cluster that refuses is asked every few minutes.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use omni_scale_proto::v1::{self, FailureClass};
use omni_scale_proxmox::Class;
use tokio::sync::watch;
use tokio::time::sleep;

use super::observe::{Images, unknown};
use super::{Machines, Question};
use crate::operation::Failure;
use crate::service::health::{Health, HealthSource};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two questions whether the cluster is well.
const ASK_EVERY: Duration = Duration::from_secs(15);
/// Before the next question to a cluster that refuses this one: it does not pass by itself, and whoever knocks with a
/// wrong token all day is taken for an intruder.
const REFUSED_REST: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(300);
/// The name of the cluster's health.
const HEALTH_NAME: &str = "proxmox";

impl Machines {
    /// The machines now, then each time they are others. While the cluster does not answer they are not known, and it
    /// is said why. Never ends by itself.
    pub fn watch(&self, question: Question) -> BoxStream<'static, v1::MachinesObservation> {
        let watcher = Watcher {
            machines: self.clone(),
            question,
            last: None,
            pace: Pace::every(LOOK_EVERY),
        };
        stream::unfold(watcher, |mut watcher| async {
            let observation = watcher.next().await;
            Some((observation, watcher))
        })
        .boxed()
    }
}

/// How long to rest before the next question.
struct Pace {
    usual: Duration,
    rest: Duration,
}

impl Pace {
    const fn every(usual: Duration) -> Self {
        Self { usual, rest: usual }
    }

    /// An answer has come; longer and longer rests while it is a refusal.
    fn heard(&mut self, refused: bool) {
        self.rest = if refused {
            (self.rest * 2).clamp(*REFUSED_REST.start(), *REFUSED_REST.end())
        } else {
            self.usual
        };
    }
}

struct Watcher {
    machines: Machines,
    question: Question,
    last: Option<v1::MachinesObservation>,
    pace: Pace,
}

impl Watcher {
    async fn next(&mut self) -> v1::MachinesObservation {
        loop {
            if self.last.is_some() {
                sleep(self.pace.rest).await;
            }
            let look = self.machines.look(&self.question, Images::LeftOut).await;
            let refused = |failure: &Failure| failure.class == FailureClass::Refused;
            self.pace.heard(look.as_ref().is_err_and(refused));
            let mut observation = look.unwrap_or_else(unknown);
            for node in &mut observation.nodes {
                // A measurement is no change.
                node.free_memory_mebibytes = 0;
            }
            if self.last.as_ref() != Some(&observation) {
                self.last = Some(observation.clone());
                return observation;
            }
        }
    }
}

/// Health of the cluster, for whoever watches. Nobody watches: nothing is asked.
#[derive(Debug, Clone)]
pub struct MachineHealth {
    machines: Machines,
    watched: Arc<Mutex<Option<watch::Sender<Health>>>>,
}

impl MachineHealth {
    /// Watches nothing yet.
    pub fn new(machines: Machines) -> Self {
        Self {
            machines,
            watched: Arc::default(),
        }
    }

    async fn follow(self, sender: watch::Sender<Health>) {
        let mut pace = Pace::every(ASK_EVERY);
        loop {
            let now = self.machines.health(&mut pace).await;
            sender.send_if_modified(|health| std::mem::replace(health, now) != now);
            tokio::select! {
                () = sender.closed() => if self.ends(&sender) { return },
                () = sleep(pace.rest) => {}
            }
        }
    }

    /// Whether nobody watches any more.
    fn ends(&self, sender: &watch::Sender<Health>) -> bool {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = sender.receiver_count() == 0;
        if ends {
            *watched = None;
        }
        ends
    }
}

impl Machines {
    /// Whether the cluster that was asked last answers. Without one, nobody can say.
    async fn health(&self, pace: &mut Pace) -> Health {
        let Some(hypervisor) = self.inner.last.get() else {
            return Health::Unknown;
        };
        let Ok(client) = self.client(&hypervisor).await else {
            return Health::NotServing;
        };
        let version = client.version().await;
        pace.heard(matches!(&version, Err(error) if error.class() == Class::Refused));
        match version {
            Ok(_) => Health::Serving,
            Err(error) if error.class() == Class::Unknown => Health::Unknown,
            Err(_) => Health::NotServing,
        }
    }
}

impl HealthSource for MachineHealth {
    fn watch(&self, name: &str) -> Option<watch::Receiver<Health>> {
        if name != HEALTH_NAME {
            return None;
        }
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*watched {
            return Some(sender.subscribe());
        }
        let (sender, receiver) = watch::channel(Health::Unknown);
        *watched = Some(sender.clone());
        tokio::spawn(self.clone().follow(sender));
        Some(receiver)
    }
}
