//! The cluster: its state and its time.
//!
//! Nothing here sleeps or draws on the outside: time is virtual milliseconds that the caller advances, and chance
//! comes from a seed. The same calls give the same answers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::containers::Container;
use crate::faults::Faults;
use crate::happenings::Scheduled;
use crate::images::RemoteImage;
use crate::machines::PowerEvent;
use crate::nodes::Node;
use crate::random::Random;
use crate::record::Exchange;
use crate::refusal::Refusal;
use crate::resources::LastSeen;
use crate::settings::Settings;
use crate::storage::{Storage, Volume};
use crate::tasks::Task;
use crate::vms::Vm;

/// When a cluster begins if nobody says otherwise: some day in 2026, in milliseconds.
pub const BEGINNING: u64 = 1_790_000_000_000;

/// A Proxmox VE cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// Virtual time, milliseconds since the epoch.
    pub(crate) now: u64,
    pub(crate) random: Random,
    /// Habits and durations.
    pub settings: Settings,
    /// Nodes by name; the listener stands on the first.
    pub nodes: BTreeMap<String, Node>,
    /// Storages by name.
    pub storages: BTreeMap<String, Storage>,
    /// Who may do what.
    pub access: Access,
    /// What `download-url` finds, by address.
    pub images: BTreeMap<String, RemoteImage>,
    /// VMs by id.
    pub vms: BTreeMap<u32, Vm>,
    /// Containers by id.
    #[serde(default)]
    pub containers: BTreeMap<u32, Container>,
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// Tasks, oldest first.
    pub tasks: Vec<Task>,
    /// Faults to come.
    pub faults: Faults,
    pub(crate) agenda: Vec<Scheduled>,
    pub(crate) locks: BTreeMap<String, String>,
    pub(crate) quorum_lost_until: Option<u64>,
    pub(crate) next_pid: u64,
    pub(crate) last_seen: BTreeMap<u32, LastSeen>,
    pub(crate) next_broadcast: u64,
    pub(crate) foreign: BTreeSet<String>,
    pub(crate) violations: Vec<String>,
    pub(crate) power_events: Vec<PowerEvent>,
    revision: u64,
    #[serde(skip)]
    pub(crate) armed: Armed,
    #[serde(skip)]
    pub(crate) recording: bool,
    #[serde(skip)]
    pub(crate) recorded: Vec<Exchange>,
}

/// Faults that the request under way carries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Armed {
    pub(crate) no_worker: bool,
    pub(crate) worker_dies_after: Option<u64>,
    pub(crate) after: u64,
}

impl Cluster {
    /// A cluster with nothing in it.
    pub fn empty(seed: u64) -> Self {
        Self {
            now: BEGINNING,
            random: Random::seeded(seed),
            settings: Settings::default(),
            nodes: BTreeMap::new(),
            storages: BTreeMap::new(),
            access: Access::default(),
            images: BTreeMap::new(),
            vms: BTreeMap::new(),
            containers: BTreeMap::new(),
            volumes: BTreeMap::new(),
            tasks: Vec::new(),
            faults: Faults::default(),
            agenda: Vec::new(),
            locks: BTreeMap::new(),
            quorum_lost_until: None,
            next_pid: 0x1000,
            last_seen: BTreeMap::new(),
            next_broadcast: BEGINNING,
            foreign: BTreeSet::new(),
            violations: Vec::new(),
            power_events: Vec::new(),
            revision: 0,
            armed: Armed::default(),
            recording: false,
            recorded: Vec::new(),
        }
    }

    /// Nodes `pve1` to `pveN`, each with `local` (files) and `fast` (thin volumes), and one token with every right.
    /// The token is [`crate::TOKEN`].
    pub fn with_nodes(seed: u64, count: u32) -> Self {
        let mut cluster = Self::empty(seed);
        for number in 1..=count {
            cluster
                .nodes
                .insert(format!("pve{number}"), Node::default());
        }
        let storage = |kind: &str, content: &[&str]| Storage {
            kind: kind.to_owned(),
            content: content.iter().map(|kind| (*kind).to_owned()).collect(),
            shared: false,
            total: 1 << 40,
            nodes: None,
            disabled: false,
        };
        cluster.storages.insert(
            "local".to_owned(),
            storage("dir", &["iso", "import", "vztmpl", "snippets"]),
        );
        cluster
            .storages
            .insert("fast".to_owned(), storage("lvmthin", &["images"]));
        let (id, secret) = crate::TOKEN.split_once('=').unwrap_or_default();
        cluster.access.grant(id, secret, "/", "Administrator");
        cluster
    }

    /// Virtual time, milliseconds since the epoch.
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Lets time pass, and everything happen that falls into it.
    pub fn advance(&mut self, milliseconds: u64) {
        self.advance_to(self.now + milliseconds);
    }

    /// As [`Self::advance`], up to a moment; nothing if that is past.
    pub fn advance_to(&mut self, moment: u64) {
        while let Some(next) = self.next_moment().filter(|next| *next <= moment) {
            self.now = self.now.max(next);
            self.do_next();
        }
        self.now = self.now.max(moment);
    }

    /// Lets time pass until nothing runs any more, at most ten minutes of it. Says whether that came about.
    pub fn settle(&mut self) -> bool {
        let limit = self.now + 600_000;
        while self.tasks.iter().any(|task| task.ended.is_none()) {
            match self.next_moment().filter(|next| *next <= limit) {
                Some(next) => self.advance_to(next),
                None => return false,
            }
        }
        true
    }

    fn next_moment(&self) -> Option<u64> {
        let task = self.next_task().map(|(due, _)| due);
        let agenda = self.agenda.iter().map(|entry| entry.at).min();
        let back = self.nodes.values().filter_map(|node| node.down_until).min();
        [task, agenda, back, Some(self.next_broadcast)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whatever is first by now. Happenings come before work, so that a crash at a moment stops what was due then.
    fn do_next(&mut self) {
        let now = self.now;
        if let Some(at) = self.agenda.iter().position(|entry| entry.at <= now) {
            let entry = self.agenda.remove(at);
            self.touch();
            self.happen(entry.what);
        } else if let Some(node) = self
            .nodes
            .values_mut()
            .find(|node| node.down_until.is_some_and(|until| until <= now))
        {
            node.down_until = None;
            self.touch();
        } else if let Some((due, at)) = self.next_task().filter(|(due, _)| *due <= now) {
            let _ = due;
            self.touch();
            self.step_task(at);
        } else {
            self.broadcast();
        }
    }

    pub(crate) fn has_quorum(&self) -> bool {
        self.quorum_lost_until.is_none_or(|until| until <= self.now)
    }

    /// pve-cluster `Cluster.pm` `check_cfs_quorum`.
    pub(crate) fn check_quorum(&self) -> Result<(), Refusal> {
        if self.has_quorum() {
            Ok(())
        } else {
            Err(Refusal::died("cluster not ready - no quorum?"))
        }
    }

    /// The answer to the request under way comes so much later.
    pub(crate) fn delay_answer(&mut self, milliseconds: u64) {
        self.armed.after = milliseconds;
    }

    /// Grows with every change that is worth keeping.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Something was changed from outside.
    pub(crate) const fn touch(&mut self) {
        self.revision += 1;
    }

    /// VMs that somebody else made: their uuids.
    pub const fn foreign(&self) -> &BTreeSet<String> {
        &self.foreign
    }

    /// Changes that were asked of VMs that somebody else made, in words. Empty, or the client is at fault.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// The changes of power that nobody has been told of yet.
    pub fn take_power_events(&mut self) -> Vec<PowerEvent> {
        std::mem::take(&mut self.power_events)
    }

    /// Begins to keep every exchange.
    pub fn record(&mut self) {
        self.recording = true;
    }

    /// What was kept since the last time.
    pub fn take_recorded(&mut self) -> Vec<Exchange> {
        std::mem::take(&mut self.recorded)
    }
}
