//! What happens to a cluster without its clients: crashes, lost quorum, and other people's work.

use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::cluster::Cluster;
use crate::jobs::{Job, vm_lock};
use crate::random::Random;
use crate::storage::split;
use crate::vms::Vm;

/// Something that happens at its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happening {
    /// The cluster is not quorate for a while.
    QuorumLost {
        /// Milliseconds.
        lasts: u64,
    },
    /// A node crashes, with its VMs and workers, and comes back.
    NodeCrash {
        /// The node.
        node: String,
        /// Milliseconds.
        down: u64,
    },
    /// Somebody else creates a VM; nothing if the VMID is taken.
    ForeignCreate {
        /// Its id.
        vmid: u32,
        /// Its node.
        node: String,
        /// Its name.
        name: String,
    },
    /// Somebody else restores a VM from a backup; nothing if the VMID is taken.
    ForeignRestore {
        /// Its id.
        vmid: u32,
        /// Its node.
        node: String,
        /// Its name, once it is whole.
        name: String,
        /// Milliseconds.
        lasts: u64,
    },
    /// Somebody else deletes a VM, whosever it is.
    ForeignDestroy {
        /// Its id.
        vmid: u32,
    },
    /// Somebody else deletes a VM and makes a new one with its VMID.
    ForeignRecreate {
        /// The id.
        vmid: u32,
        /// The new one's name.
        name: String,
    },
    /// Somebody migrates a VM; nothing while it is locked or worked on.
    ForeignMigrate {
        /// Its id.
        vmid: u32,
        /// Where to.
        to: String,
    },
    /// Somebody's backup (or the like) holds a configuration for a while.
    ForeignLock {
        /// Its id.
        vmid: u32,
        /// `backup`, `migrate`…
        lock: String,
        /// Milliseconds; 0 for ever.
        lasts: u64,
    },
    /// The lock goes away: the end of the above, or an operator's `qm unlock`.
    Unlock {
        /// The id.
        vmid: u32,
    },
    /// The HA manager does what it was asked for.
    HaActs {
        /// The id.
        vmid: u32,
        /// Whether to start.
        running: bool,
    },
}

/// A happening and its time in virtual milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// When.
    pub at: u64,
    /// What.
    pub what: Happening,
}

impl Cluster {
    /// Something will happen, so many milliseconds from now.
    pub fn schedule(&mut self, after: u64, what: Happening) {
        self.agenda.push(Scheduled {
            at: self.now + after,
            what,
        });
    }

    /// Happenings drawn from a seed, within `within` milliseconds: other people's VMs on the given VMIDs, migrations,
    /// locks, lost quorum, and crashes of nodes.
    pub fn unsettle(&mut self, seed: u64, vmids: std::ops::Range<u32>, within: u64) {
        let mut random = Random::seeded(seed ^ 0x5EED);
        let nodes: Vec<String> = self.nodes.keys().cloned().collect();
        for _ in 0..random.below(6) {
            let vmid = vmids.start
                + u32::try_from(random.below(u64::from(vmids.end - vmids.start))).unwrap_or(0);
            let node = usize::try_from(random.below(nodes.len() as u64))
                .ok()
                .and_then(|at| nodes.get(at).cloned());
            let Some(node) = node else { return };
            let lasts = 1 + random.below(20_000);
            let what = match random.below(8) {
                0 | 1 => Happening::ForeignCreate {
                    vmid,
                    node,
                    name: format!("foreign-{vmid}"),
                },
                2 => Happening::ForeignRecreate {
                    vmid,
                    name: format!("recycled-{vmid}"),
                },
                3 | 4 => Happening::ForeignMigrate { vmid, to: node },
                5 => Happening::ForeignLock {
                    vmid,
                    lock: "backup".to_owned(),
                    lasts,
                },
                6 => Happening::QuorumLost { lasts },
                _ => Happening::NodeCrash { node, down: lasts },
            };
            let after = random.below(within);
            self.schedule(after, what);
        }
    }

    pub(crate) fn ha_acts_later(&mut self, vmid: u32, running: bool) {
        self.schedule(self.settings.ha_ms, Happening::HaActs { vmid, running });
    }

    /// It happens now.
    pub fn happen(&mut self, what: Happening) {
        match what {
            Happening::QuorumLost { lasts } => self.quorum_lost_until = Some(self.now + lasts),
            Happening::NodeCrash { node, down } => self.crash(&node, down),
            Happening::ForeignCreate { vmid, node, name } => {
                self.foreign_create(vmid, &node, &name);
            }
            Happening::ForeignRestore {
                vmid,
                node,
                name,
                lasts,
            } => self.foreign_restore(vmid, &node, name, lasts),
            Happening::ForeignDestroy { vmid } => self.foreign_destroy(vmid),
            Happening::ForeignRecreate { vmid, name } => {
                if let Some(node) = self.vms.get(&vmid).map(|vm| vm.node.clone()) {
                    self.foreign_destroy(vmid);
                    // Nothing if the old one could not be deleted.
                    self.foreign_create(vmid, &node, &name);
                }
            }
            Happening::ForeignMigrate { vmid, to } => self.migrate(vmid, &to),
            Happening::ForeignLock { vmid, lock, lasts } => {
                let Some(vm) = self.vms.get_mut(&vmid).filter(|vm| vm.lock().is_none()) else {
                    return;
                };
                vm.config.insert("lock".to_owned(), lock);
                if lasts > 0 {
                    self.schedule(lasts, Happening::Unlock { vmid });
                }
            }
            Happening::Unlock { vmid } => {
                let worked_on = self.locks.contains_key(&vm_lock(vmid));
                if let Some(vm) = self.vms.get_mut(&vmid).filter(|_| !worked_on) {
                    vm.config.remove("lock");
                }
            }
            Happening::HaActs { vmid, running } => {
                let node = self.vms.get(&vmid).map(|vm| vm.node.clone());
                match (node, running) {
                    (Some(node), true) => drop(self.start_now(&node, vmid)),
                    (Some(_), false) => self.powered_off(vmid),
                    (None, _) => {}
                }
            }
        }
    }

    fn crash(&mut self, node: &str, down: u64) {
        let until = self.now + down;
        let Some(known) = self.nodes.get_mut(node) else {
            return;
        };
        known.down_until = Some(until);
        let here: Vec<u32> = self
            .vms
            .values()
            .filter(|vm| vm.node == node)
            .map(|vm| vm.vmid)
            .collect();
        for vmid in here {
            self.powered_off(vmid);
        }
        let dead = |task: &crate::Task| task.ended.is_none() && task.node == node;
        while let Some(at) = self.tasks.iter().position(dead) {
            self.kill_task(at);
        }
    }

    fn foreign_create(&mut self, vmid: u32, node: &str, name: &str) {
        if self.is_taken(vmid) || !self.nodes.contains_key(node) {
            return;
        }
        let vm = Vm::stub(vmid, node, self.settings.guest_shutdown_ms);
        self.vms.insert(vmid, vm);
        self.make_whole(vmid, name);
    }

    /// Until its task ends, nothing stands in the configuration but its lock, as with a creation.
    fn foreign_restore(&mut self, vmid: u32, node: &str, name: String, lasts: u64) {
        if self.is_taken(vmid) || !self.nodes.contains_key(node) {
            return;
        }
        let vm = Vm::stub(vmid, node, self.settings.guest_shutdown_ms);
        self.vms.insert(vmid, vm);
        let job = Job::Restore {
            vmid,
            name,
            lasts: Some(lasts),
        };
        let root = Caller("root@pam".to_owned());
        // A fault that waits for a worker of ours would meet this one; then it is not restored.
        if self
            .spawn(&root, node, "qmrestore", &vmid.to_string(), job)
            .is_err()
        {
            self.vms.remove(&vmid);
        }
    }

    /// What somebody else makes is theirs.
    pub(crate) fn make_whole(&mut self, vmid: u32, name: &str) {
        let Some(vm) = self.vms.get_mut(&vmid) else {
            return;
        };
        let uuid = self.random.uuid();
        self.foreign.insert(uuid.clone());
        vm.config = [
            ("name", name),
            ("memory", "512"),
            ("smbios1", &format!("uuid={uuid}")),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    }

    fn foreign_destroy(&mut self, vmid: u32) {
        // What is being made or worked on cannot be deleted by others either.
        let busy = self.locks.contains_key(&vm_lock(vmid));
        let locked = self.vms.get(&vmid).is_some_and(|vm| vm.lock().is_some());
        if busy || locked {
            return;
        }
        self.powered_off(vmid);
        if let Some(vm) = self.vms.remove(&vmid) {
            for id in vm.volumes() {
                if self
                    .volume(&vm.node, &id)
                    .is_some_and(|volume| volume.vmid == Some(vmid))
                {
                    self.free(&vm.node, &id);
                }
            }
        }
    }

    /// The configuration goes to the other node, and disks on local storages with it.
    fn migrate(&mut self, vmid: u32, to: &str) {
        let busy = self.locks.contains_key(&vm_lock(vmid));
        let online = self.nodes.get(to).is_some_and(crate::Node::online);
        let Some(vm) = self
            .vms
            .get_mut(&vmid)
            .filter(|vm| !busy && online && vm.lock().is_none())
        else {
            return;
        };
        let from = std::mem::replace(&mut vm.node, to.to_owned());
        let ids = vm.volumes();
        for id in ids {
            let shared = split(&id)
                .and_then(|(name, _)| self.storages.get(name))
                .is_some_and(|storage| storage.shared);
            if let Some(volume) = self.volume(&from, &id).filter(|_| !shared).cloned() {
                // An ISO is copied along, a disk moves.
                if volume.vmid.is_some() {
                    self.free(&from, &id);
                }
                self.put_volume(to, volume);
            }
        }
    }
}
