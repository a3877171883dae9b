//! What workers do, step by step, and the locks that they do it under.
//!
//! A step happens at one moment of virtual time and says when the next is due. A worker that works on a VM holds the
//! file lock of its configuration, and waits ten seconds for it at most (pve-guest-common `AbstractConfig.pm`:332).

use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::config::Change;
use crate::create::Create;
use crate::images::{Download, Import};
use crate::power::Power;
use crate::vms::missing;

/// How long a worker waits for the lock of a configuration, in milliseconds.
const LOCK_WAIT: u64 = 10_000;

/// How often it looks.
pub(crate) const LOCK_POLL: u64 = 100;

/// The work of one task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    Create(Create),
    OnVm(OnVm),
    Download(Download),
    Import(Import),
    /// Somebody else's, which is whole when it ends.
    Restore {
        vmid: u32,
        name: String,
        lasts: Option<u64>,
    },
    Remove {
        id: String,
        started: bool,
    },
    /// Asks the HA manager, which acts later.
    AskHa {
        vmid: u32,
        running: bool,
        asked: bool,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Again(u64),
    Done(Result<(), String>),
}

/// What a step may know of its task, and what it says.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) upid: String,
    pub(crate) node: String,
    pub(crate) user: String,
    pub(crate) lines: Vec<String>,
    pub(crate) warnings: u32,
}

impl Scratch {
    pub(crate) fn new(upid: &str, node: &str, user: &str) -> Self {
        Self {
            upid: upid.to_owned(),
            node: node.to_owned(),
            user: user.to_owned(),
            lines: Vec::new(),
            warnings: 0,
        }
    }

    pub(crate) fn log(&mut self, line: String) {
        self.lines.push(line);
    }

    /// A warning makes the task end as `WARNINGS: n`, which is a success (facts §1.7).
    pub(crate) fn warn(&mut self, line: &str) {
        self.lines.push(format!("WARN: {line}"));
        self.warnings += 1;
    }
}

/// Work on one VM under the lock of its configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OnVm {
    pub(crate) vmid: u32,
    pub(crate) act: Act,
    gives_up_at: Option<u64>,
    locked: bool,
}

/// The work itself: `begin` checks and says how long it takes, `finish` has the effect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Act {
    Power(Power),
    Destroy {
        unreferenced: bool,
        purge: bool,
        skip_lock: bool,
    },
    Resize {
        disk: String,
        size: String,
        digest: Option<String>,
        skip_lock: bool,
    },
    Change(Change),
}

impl OnVm {
    pub(crate) fn job(vmid: u32, act: Act) -> Job {
        Job::OnVm(Self {
            vmid,
            act,
            gives_up_at: None,
            locked: false,
        })
    }

    fn step(&mut self, cluster: &mut Cluster, scratch: &mut Scratch) -> Step {
        if self.locked {
            return Step::Done(self.finish(cluster, scratch));
        }
        let gives_up_at = *self.gives_up_at.get_or_insert(cluster.now + LOCK_WAIT);
        if !cluster.try_lock(&vm_lock(self.vmid), &scratch.upid) {
            return if cluster.now >= gives_up_at {
                Step::Done(Err(lock_timeout(self.vmid)))
            } else {
                Step::Again(LOCK_POLL)
            };
        }
        self.locked = true;
        match self.begin(cluster, scratch) {
            Ok(after) => Step::Again(after),
            Err(message) => Step::Done(Err(message)),
        }
    }

    fn begin(&mut self, cluster: &mut Cluster, scratch: &mut Scratch) -> Result<u64, String> {
        match &mut self.act {
            Act::Power(power) => power.begin(cluster, scratch, self.vmid),
            Act::Destroy { skip_lock, .. } => {
                cluster.check_destroy(&scratch.node, self.vmid)?;
                let vm = cluster.vm_on(&scratch.node, self.vmid)?;
                check_lock(vm.lock(), *skip_lock)?;
                Ok(cluster.settings.destroy_ms)
            }
            Act::Resize {
                disk,
                size,
                digest,
                skip_lock,
            } => {
                cluster.resize(
                    scratch,
                    self.vmid,
                    disk,
                    size,
                    digest.as_deref(),
                    *skip_lock,
                )?;
                Ok(cluster.settings.resize_ms)
            }
            Act::Change(change) => {
                change.check(cluster, &scratch.node, self.vmid)?;
                Ok(cluster.settings.config_ms)
            }
        }
    }

    fn finish(&mut self, cluster: &mut Cluster, scratch: &mut Scratch) -> Result<(), String> {
        match &mut self.act {
            Act::Power(power) => power.finish(cluster, scratch, self.vmid),
            Act::Destroy {
                unreferenced,
                purge,
                ..
            } => cluster.destroy(scratch, self.vmid, *unreferenced, *purge),
            Act::Resize { .. } => Ok(()),
            Act::Change(change) => change.apply(cluster, scratch, self.vmid),
        }
    }
}

impl Job {
    pub(crate) fn step(&mut self, cluster: &mut Cluster, scratch: &mut Scratch) -> Step {
        match self {
            Self::Create(create) => create.step(cluster, scratch),
            Self::OnVm(work) => work.step(cluster, scratch),
            Self::Download(download) => download.step(cluster, scratch),
            Self::Import(import) => import.step(cluster, scratch),
            Self::Restore { vmid, name, lasts } => {
                if let Some(lasts) = lasts.take() {
                    return Step::Again(lasts);
                }
                cluster.make_whole(*vmid, name);
                Step::Done(Ok(()))
            }
            Self::Remove { id, started } => {
                if !*started {
                    *started = true;
                    return Step::Again(cluster.settings.remove_ms);
                }
                if cluster.volume(&scratch.node, id).is_none() {
                    let (storage, name) = id.split_once(':').unwrap_or_default();
                    let file = name.rsplit('/').next().unwrap_or_default();
                    return Step::Done(Err(format!(
                        "cannot remove volume '{file}' in '{storage}' - no such file"
                    )));
                }
                cluster.free(&scratch.node, id);
                scratch.log(format!("Removed volume '{id}'"));
                Step::Done(Ok(()))
            }
            Self::AskHa {
                vmid,
                running,
                asked,
            } => {
                if !*asked {
                    *asked = true;
                    let wanted = if *running { "start" } else { "stop" };
                    scratch.log(format!("Requesting HA {wanted} for VM {vmid}"));
                    return Step::Again(cluster.settings.config_ms);
                }
                cluster.ha_acts_later(*vmid, *running);
                Step::Done(Ok(()))
            }
        }
    }

    /// What a worker cleans up that is interrupted, as its `die` would.
    pub(crate) fn interrupted(self, cluster: &mut Cluster, upid: &str) {
        if let Self::Create(create) = self {
            let node = upid.split(':').nth(1).unwrap_or_default().to_owned();
            create.clean_up(cluster, &node);
        }
    }
}

/// The lock of a VM's configuration file.
pub(crate) fn vm_lock(vmid: u32) -> String {
    format!("vm/{vmid}")
}

/// pve-common `Tools.pm` `lock_file_full`.
pub(crate) fn lock_timeout(vmid: u32) -> String {
    format!("can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout")
}

/// pve-guest-common `AbstractConfig.pm` `check_lock`.
pub(crate) fn check_lock(lock: Option<&str>, skip: bool) -> Result<(), String> {
    match lock.filter(|_| !skip) {
        Some(lock) => Err(format!("VM is locked ({lock})")),
        None => Ok(()),
    }
}

impl Cluster {
    /// qemu-server `Qemu.pm` `destroy_vm`, `$early_checks`: made before the task, and again in it.
    pub(crate) fn check_destroy(&self, node: &str, vmid: u32) -> Result<(), String> {
        let vm = self.vm_on(node, vmid)?;
        if vm.flag("protection") {
            return Err(format!("can't remove VM {vmid} - protection mode enabled"));
        }
        if vm.is_running() {
            return Err(format!("VM {vmid} is running - destroy failed"));
        }
        Ok(())
    }

    fn destroy(
        &mut self,
        scratch: &mut Scratch,
        vmid: u32,
        unreferenced: bool,
        purge: bool,
    ) -> Result<(), String> {
        let node = scratch.node.clone();
        let vm = self
            .vms
            .get(&vmid)
            .filter(|vm| vm.node == node)
            .ok_or_else(|| missing(&node, vmid))?;
        for id in vm.volumes() {
            let owned = self
                .volume(&node, &id)
                .is_some_and(|volume| volume.vmid == Some(vmid));
            if owned {
                self.free(&node, &id);
            }
        }
        if unreferenced {
            // facts §1.6: every disk of that VMID on all storages.
            self.volumes.retain(|_, volume| {
                volume.vmid != Some(vmid) || volume.node.as_deref().is_some_and(|at| at != node)
            });
        }
        if purge {
            scratch.log(format!("purging VM {vmid} from related configurations.."));
        }
        self.access
            .entries
            .retain(|entry| entry.path != format!("/vms/{vmid}"));
        self.vms.remove(&vmid);
        Ok(())
    }
}
