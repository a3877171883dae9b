//! A cluster that others can call: its time runs with tokio's, its state is kept in a file, its VMs' power is told.
//!
//! Tests call [`Simulator::call`] or serve it on a socket; time can be paused, and [`Simulator::cluster`] reaches in.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::answer::Outcome;
use crate::cluster::Cluster;
use crate::files;
use crate::machines::{Machines, NoMachines, PowerEvent};
use crate::request::Request;

/// How often [`Simulator::run`] looks whether something has happened.
const TICK: Duration = Duration::from_millis(100);

/// A cluster with a clock.
pub struct Simulator {
    cluster: Mutex<Cluster>,
    /// Virtual time `began` was at this instant.
    epoch: Instant,
    began: u64,
    speed: u32,
    state: Option<PathBuf>,
    record: Option<Mutex<File>>,
    machines: Arc<dyn Machines>,
    events: Mutex<Vec<PowerEvent>>,
    woken: Notify,
    saved: Mutex<u64>,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Simulator")
            .field("speed", &self.speed)
            .finish_non_exhaustive()
    }
}

impl Simulator {
    /// A cluster whose time runs with tokio's, `speed` times as fast; 0 is taken for 1.
    pub fn new(cluster: Cluster, speed: u32) -> Self {
        Self {
            began: cluster.now(),
            cluster: Mutex::new(cluster),
            epoch: Instant::now(),
            speed: speed.max(1),
            state: None,
            record: None,
            machines: Arc::new(NoMachines),
            events: Mutex::new(Vec::new()),
            woken: Notify::new(),
            saved: Mutex::new(u64::MAX),
        }
    }

    /// Told of every start and stop. Takes effect with [`Self::run`].
    #[must_use]
    pub fn with_machines(mut self, machines: Arc<dyn Machines>) -> Self {
        self.machines = machines;
        self
    }

    /// Kept in this file, before any answer to a change goes out.
    #[must_use]
    pub fn with_state(mut self, path: PathBuf) -> Self {
        self.state = Some(path);
        self
    }

    /// Every exchange appended to this file, one JSON object a line ([`crate::Exchange`]).
    pub fn with_record(mut self, path: &std::path::Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        lock(&self.cluster).record();
        self.record = Some(Mutex::new(file));
        Ok(self)
    }

    /// The cluster at this moment.
    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        let mut cluster = lock(&self.cluster);
        let elapsed = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        cluster.advance_to(
            self.began
                .saturating_add(elapsed.saturating_mul(u64::from(self.speed))),
        );
        cluster
    }

    /// One request, and its outcome at the time that the client sees it.
    pub async fn call(&self, request: &Request) -> std::io::Result<Outcome> {
        let outcome = {
            let mut cluster = self.cluster();
            let outcome = cluster.handle(request);
            self.keep(&mut cluster)?;
            outcome
        };
        if outcome.after > 0 {
            tokio::time::sleep(Duration::from_millis(outcome.after) / self.speed).await;
        }
        Ok(outcome)
    }

    /// Moves what is to be told and recorded out of the cluster, and writes its state if that has changed.
    fn keep(&self, cluster: &mut Cluster) -> std::io::Result<()> {
        let events = cluster.take_power_events();
        if !events.is_empty() {
            lock(&self.events).extend(events);
            self.woken.notify_one();
        }
        if let Some(record) = &self.record {
            let mut lines = String::new();
            for exchange in cluster.take_recorded() {
                lines.push_str(&json!(exchange).to_string());
                lines.push('\n');
            }
            lock(record).write_all(lines.as_bytes())?;
        }
        let mut saved = lock(&self.saved);
        if let Some(path) = self.state.as_ref().filter(|_| *saved != cluster.revision()) {
            files::write(path, serde_json::to_string(cluster)?.as_bytes())?;
            *saved = cluster.revision();
        }
        Ok(())
    }

    /// Keeps the cluster's time going and its machines told, until it is dropped. Every VM is told of at the start.
    pub async fn run(&self) -> std::io::Result<()> {
        let known: Vec<PowerEvent> = {
            let cluster = self.cluster();
            let facts = cluster
                .vms
                .values()
                .filter_map(|vm| Some((vm.is_running(), cluster.facts(vm.vmid)?)));
            facts
                .map(|(running, facts)| {
                    if running {
                        PowerEvent::Started(Box::new(facts))
                    } else {
                        PowerEvent::Stopped(Box::new(facts))
                    }
                })
                .collect()
        };
        lock(&self.events).splice(0..0, known);
        loop {
            let next = {
                let mut events = lock(&self.events);
                if events.is_empty() {
                    None
                } else {
                    Some(events.remove(0))
                }
            };
            match next {
                Some(PowerEvent::Started(facts)) => self.machines.started(&facts).await,
                Some(PowerEvent::Stopped(facts)) => self.machines.stopped(&facts).await,
                None => {
                    // Either is enough: the next look is never far.
                    let _ = tokio::time::timeout(TICK, self.woken.notified()).await;
                    let mut cluster = self.cluster();
                    self.keep(&mut cluster)?;
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
