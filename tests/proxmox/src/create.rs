//! `POST /nodes/{node}/qemu`: the VMID is taken within the request, the rest is a task (qemu-server `Qemu.pm`
//! `create_vm`, facts §1.4).
//!
//! Until the task's last step the configuration holds nothing but `lock: create`.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::answer::{Handled, Success};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::config;
use crate::drive::{Drive, Wanted, device_order};
use crate::jobs::{Job, LOCK_POLL, Scratch, Step, lock_timeout, vm_lock};
use crate::plug;
use crate::refusal::Refusal;
use crate::rights;
use crate::schema;
use crate::vms::Vm;

/// How long a worker waits for the lock of a storage, in milliseconds (pve-storage `Plugin.pm` `cluster_lock_storage`
/// without a time of its own: ten seconds).
const STORAGE_WAIT: u64 = 10_000;

/// What create takes that is no configuration.
const NOT_CONFIG: [&str; 9] = [
    "node",
    "vmid",
    "bwlimit",
    "ha-managed",
    "import-working-storage",
    "live-restore",
    "pool",
    "start",
    "storage",
];

/// A VM that is being made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Create {
    vmid: u32,
    config: BTreeMap<String, String>,
    default_storage: Option<String>,
    queue: VecDeque<String>,
    /// Volumes allocated so far, to be freed if it fails.
    allocated: Vec<String>,
    start: bool,
    ha_managed: bool,
    phase: Phase,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Phase {
    Begin,
    /// Waits for the storage of the drive at the head of the queue.
    Waiting {
        gives_up_at: u64,
    },
    /// Holds that storage's lock.
    Allocating {
        storage: String,
    },
    /// Copies into the volume.
    Copying,
    Finish,
}

impl Cluster {
    pub(crate) fn create_vm(&mut self, call: &Call) -> Handled {
        let (node, vmid, caller) = (call.node().to_owned(), call.vmid(), call.caller.clone());
        let pool = call.get("pool");
        let default_storage = call.get("storage").map(str::to_owned);
        self.check_quorum()?;
        if let Some(pool) = pool {
            return Err(Refusal::Forbidden(format!("pool '{pool}' does not exist")));
        }
        if let Some(storage) = &default_storage {
            self.access.check(
                &caller,
                &format!("/storage/{storage}"),
                &["Datastore.AllocateSpace"],
            )?;
        }
        if call.flag("ha-managed") {
            self.access.check(&caller, "/", &["Sys.Console"])?;
        }
        if call.flag("start") {
            self.access
                .check_vm(&caller, vmid, pool, &["VM.PowerMgmt"])?;
        }
        if !self
            .access
            .may(&caller, &format!("/vms/{vmid}"), "VM.Allocate")
        {
            return Err(Refusal::Forbidden(String::new()));
        }
        let mut config = call.values.clone();
        config.retain(|key, _| !NOT_CONFIG.contains(&key.as_str()));
        self.check_storage_access(&caller, vmid, &config, default_storage.as_deref())?;
        rights::check_keys(&self.access, &caller, vmid, config.keys())?;
        rights::check_serial(&self.access, &caller, vmid, &config)?;
        self.check_bridges(&caller, &config)?;
        Self::check_drives(&mut config)?;
        for (key, value) in config.iter_mut().filter(|(key, _)| key.starts_with("net")) {
            *value = config::print_net(value, &mut self.random)
                .map_err(|text| Refusal::parameter(key, text))?;
        }
        self.reserve(&node, vmid)?;
        let mut keys: Vec<String> = config
            .keys()
            .filter(|key| schema::is_drive(key))
            .cloned()
            .collect();
        keys.sort_by_key(|key| device_order(key));
        let job = Job::Create(Create {
            vmid,
            config,
            default_storage,
            queue: keys.into(),
            allocated: Vec::new(),
            start: call.flag("start"),
            ha_managed: call.flag("ha-managed"),
            phase: Phase::Begin,
        });
        // A worker that cannot be started leaves the stub behind (facts §1.2).
        self.spawn(&caller, &node, "qmcreate", &vmid.to_string(), job)
            .map(Success::new)
    }

    /// Takes the VMID: `create_and_lock_config`, the compare-and-swap of Proxmox VE.
    fn reserve(&mut self, node: &str, vmid: u32) -> Result<(), Refusal> {
        let refused = |text: &str| Refusal::died(format!("unable to create VM {vmid} - {text}"));
        if self.locks.contains_key(&vm_lock(vmid)) {
            return Err(refused(&lock_timeout(vmid)));
        }
        if let Some(taken) = self.taken_by(vmid) {
            return Err(refused(&taken));
        }
        self.vms
            .insert(vmid, Vm::stub(vmid, node, self.settings.guest_shutdown_ms));
        Ok(())
    }
}

impl Create {
    pub(crate) fn step(&mut self, cluster: &mut Cluster, scratch: &mut Scratch) -> Step {
        match self.work(cluster, scratch) {
            Ok(Some(after)) => Step::Again(after),
            Ok(None) => Step::Done(Ok(())),
            Err(message) => {
                self.clone().clean_up(cluster, &scratch.node);
                Step::Done(Err(format!(
                    "unable to create VM {} - {message}",
                    self.vmid
                )))
            }
        }
    }

    /// What a failed create leaves: nothing (facts §1.4).
    pub(crate) fn clean_up(self, cluster: &mut Cluster, node: &str) {
        for id in &self.allocated {
            cluster.free(node, id);
        }
        let ours = |vm: &Vm| vm.node == node && vm.lock() == Some("create");
        if cluster.vms.get(&self.vmid).is_some_and(ours) {
            cluster.vms.remove(&self.vmid);
        }
    }

    /// One step; the time to the next, or none when all is done.
    fn work(
        &mut self,
        cluster: &mut Cluster,
        scratch: &mut Scratch,
    ) -> Result<Option<u64>, String> {
        match self.phase.clone() {
            Phase::Begin => {
                if !cluster.try_lock(&vm_lock(self.vmid), &scratch.upid) {
                    return Err(lock_timeout(self.vmid));
                }
                self.next(cluster);
                Ok(Some(cluster.settings.create_ms))
            }
            Phase::Waiting { gives_up_at } => self.allocate(cluster, scratch, gives_up_at),
            Phase::Allocating { storage } => {
                cluster.unlock(&storage_lock(&scratch.node, &storage));
                let copy = self.copy_time(cluster, scratch)?;
                self.phase = Phase::Copying;
                Ok(Some(copy))
            }
            Phase::Copying => {
                self.drive_done(scratch)?;
                self.next(cluster);
                Ok(Some(1))
            }
            Phase::Finish => {
                self.finish(cluster, scratch)?;
                Ok(None)
            }
        }
    }

    fn next(&mut self, cluster: &Cluster) {
        self.phase = if self.queue.is_empty() {
            Phase::Finish
        } else {
            Phase::Waiting {
                gives_up_at: cluster.now + STORAGE_WAIT,
            }
        };
    }

    fn head(&self) -> Result<(String, Drive), String> {
        let key = self.queue.front().cloned().unwrap_or_default();
        let drive = Drive::parse(&key, self.config.get(&key).map_or("", String::as_str))?;
        Ok((key, drive))
    }

    fn allocate(
        &mut self,
        cluster: &mut Cluster,
        scratch: &mut Scratch,
        gives_up_at: u64,
    ) -> Result<Option<u64>, String> {
        let (key, mut drive) = self.head()?;
        let (storage, suffix, bytes) = match drive.wanted() {
            Wanted::Nothing | Wanted::Host | Wanted::Existing { .. } => {
                plug::attach(cluster, &scratch.node, &mut drive)?;
                self.config.insert(key, drive.print());
                self.phase = Phase::Copying;
                return Ok(Some(1));
            }
            Wanted::CloudInit(storage) => (storage, Some("cloudinit"), 4 << 20),
            Wanted::New { storage, bytes } => {
                let none = "no storage ID specified (and no default storage)";
                let storage = storage
                    .or_else(|| self.default_storage.clone())
                    .ok_or(none)?;
                (
                    storage,
                    None,
                    plug::new_size(cluster, &scratch.node, &key, &drive, bytes)?,
                )
            }
        };
        if !cluster.try_lock(&storage_lock(&scratch.node, &storage), &scratch.upid) {
            if cluster.now >= gives_up_at {
                return Err(format!(
                    "can't lock file '/var/lock/pve-manager/pve-storage-{storage}' - got timeout"
                ));
            }
            return Ok(Some(LOCK_POLL));
        }
        let format = drive.options.remove("format");
        let id = cluster.allocate(
            &scratch.node,
            &storage,
            self.vmid,
            suffix,
            format.as_deref(),
            bytes,
        )?;
        self.allocated.push(id.clone());
        if suffix.is_some() {
            drive.options.insert("media".to_owned(), "cdrom".to_owned());
        } else {
            drive
                .options
                .insert("size".to_owned(), schema::print_size(bytes));
        }
        drive.file = id;
        self.config.insert(key, drive.print());
        self.phase = Phase::Allocating { storage };
        Ok(Some(cluster.settings.allocate_ms))
    }

    fn copy_time(&self, cluster: &Cluster, scratch: &mut Scratch) -> Result<u64, String> {
        let (_, drive) = self.head()?;
        match (drive.options.get("import-from"), drive.size()) {
            (Some(source), Some(size)) => {
                scratch.log(format!("importing disk '{source}'"));
                for percent in [25, 50, 75, 100] {
                    let done = schema::print_size(size / 100 * percent);
                    let all = schema::print_size(size);
                    scratch.log(format!("transferred {done} of {all} ({percent}.00%)"));
                }
                Ok((size.saturating_mul(1000) / cluster.settings.copy_per_second.max(1)).max(1))
            }
            _ => Ok(1),
        }
    }

    fn drive_done(&mut self, scratch: &mut Scratch) -> Result<(), String> {
        let (key, mut drive) = self.head()?;
        drive.options.remove("import-from");
        let printed = drive.print();
        scratch.log(format!("{key}: successfully created disk '{printed}'"));
        self.config.insert(key, printed);
        self.queue.pop_front();
        Ok(())
    }

    fn finish(&mut self, cluster: &mut Cluster, scratch: &mut Scratch) -> Result<(), String> {
        let caller = Caller(scratch.user.clone());
        let config = &mut self.config;
        if !config.contains_key("boot") {
            config.insert("boot".to_owned(), default_boot(config));
        }
        if !config.contains_key("smbios1") {
            config.insert(
                "smbios1".to_owned(),
                format!("uuid={}", cluster.random.uuid()),
            );
        }
        if config.get("vmgenid").is_none_or(|value| value == "1") {
            config.insert("vmgenid".to_owned(), cluster.random.uuid());
        }
        if let Some(tags) = config.get("tags").cloned() {
            cluster.check_tags(&caller, self.vmid, "", &tags)?;
            config.insert("tags".to_owned(), config::sorted_tags(&tags));
        }
        let seconds = cluster.now / 1000;
        config.insert(
            "meta".to_owned(),
            format!("creation-qemu=10.1.2,ctime={seconds}"),
        );
        let vm = cluster
            .vms
            .get_mut(&self.vmid)
            .ok_or("failed to write config file")?;
        vm.config = std::mem::take(config);
        vm.ha_managed = self.ha_managed;
        if self.start {
            // facts §1.4: a start that fails is only a warning in this task.
            scratch.log("Execute autostart".to_owned());
            if let Err(message) = cluster.start_now(&scratch.node, self.vmid) {
                scratch.warn(&message);
            }
        }
        Ok(())
    }
}

fn storage_lock(node: &str, storage: &str) -> String {
    format!("storage/{node}/{storage}")
}

/// First disk, first CD-ROM, first NIC (qemu-server `QemuServer.pm` `get_default_bootdevices`).
fn default_boot(config: &BTreeMap<String, String>) -> String {
    let mut drives: Vec<(u8, u32, String, bool)> = config
        .iter()
        .filter_map(|(key, value)| {
            let (name, number) = device_order(key);
            let rank = ["ide", "sata", "scsi", "virtio"]
                .iter()
                .position(|bus| *bus == name)?;
            let drive = Drive::parse(key, value).ok()?;
            Some((
                u8::try_from(rank).ok()?,
                number,
                key.clone(),
                drive.is_cdrom(),
            ))
        })
        .collect();
    drives.sort();
    let first = |cdrom: bool| {
        drives
            .iter()
            .find(|drive| drive.3 == cdrom)
            .map(|drive| drive.2.clone())
    };
    let net = config
        .keys()
        .filter(|key| key.starts_with("net"))
        .min_by_key(|key| device_order(key))
        .cloned();
    let order: Vec<String> = [first(false), first(true), net]
        .into_iter()
        .flatten()
        .collect();
    format!("order={}", order.join(";"))
}
