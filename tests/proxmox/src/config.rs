//! `…/config`: changes of a configuration, at once or by a task (qemu-server `Qemu.pm` `$update_vm_api`, facts §1.6).
//!
//! A running VM takes over at once what can be plugged; the rest waits as pending for its next cold start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::{Access, Caller};
use crate::answer::{Handled, Success};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::drive::{Drive, Wanted};
use crate::jobs::{Act, OnVm, Scratch, check_lock, lock_timeout, vm_lock};
use crate::random::Random;
use crate::refusal::Refusal;
use crate::schema::{self, BOOT, NET, VM};
use crate::vms::missing;

/// What an update takes that is no configuration.
const NOT_CONFIG: [&str; 9] = [
    "node",
    "vmid",
    "skiplock",
    "digest",
    "delete",
    "revert",
    "force",
    "background_delay",
    "import-working-storage",
];

/// A drive, to its VM's privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriveUse {
    Disk,
    CdRom,
    CloudInit,
}

/// A change that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    user: String,
    set: BTreeMap<String, String>,
    delete: Vec<String>,
    revert: Vec<String>,
    digest: Option<String>,
    skip_lock: bool,
}

impl Cluster {
    /// `POST …/config`: a task.
    pub(crate) fn update_config(&mut self, call: &Call) -> Handled {
        let change = self.change(call)?;
        let (node, vmid) = (call.node(), call.vmid());
        let job = OnVm::job(vmid, Act::Change(change));
        let upid = self.spawn(&call.caller, node, "qmconfig", &vmid.to_string(), job)?;
        if call.get("background_delay").is_none() {
            return Ok(Success::new(upid));
        }
        self.wait_for(&upid).map_err(|refusal| {
            Refusal::died(format!("failed to update VM {vmid}: {}", refusal.text()))
        })
    }

    /// `PUT …/config`: at once. While a worker holds the configuration's lock, it waits ten seconds and gives up.
    pub(crate) fn update_config_now(&mut self, call: &Call) -> Handled {
        let mut change = self.change(call)?;
        let (node, vmid) = (call.node(), call.vmid());
        if self.locks.contains_key(&vm_lock(vmid)) {
            let refusal = Refusal::died(lock_timeout(vmid));
            self.delay_answer(10_000);
            return Err(refusal);
        }
        let mut scratch = Scratch::new("", node, &call.caller.0);
        change.take(self, &mut scratch, vmid)?;
        Ok(Success::default())
    }

    fn change(&mut self, call: &Call) -> Result<Change, Refusal> {
        let (caller, vmid) = (&call.caller, call.vmid());
        if call.flag("skiplock") && !caller.is_root() {
            return Err(Refusal::parameter(
                "skiplock",
                "Only root may use this option.",
            ));
        }
        let mut set = call.values.clone();
        set.retain(|key, _| !NOT_CONFIG.contains(&key.as_str()));
        let names = |key: &str| -> Vec<String> {
            call.get(key)
                .map(|text| schema::list(text).map(str::to_owned).collect())
                .unwrap_or_default()
        };
        let (delete, revert) = (names("delete"), names("revert"));
        if set.is_empty() && delete.is_empty() && revert.is_empty() {
            return Err(Refusal::died("no options specified"));
        }
        for (parameter, list) in [("revert", &revert), ("delete", &delete)] {
            for name in list {
                if schema::lookup(&[VM], name).is_none() {
                    return Err(Refusal::parameter(
                        parameter,
                        format!("unknown option '{name}'"),
                    ));
                }
                if set.contains_key(name) {
                    let text = format!(
                        "you can't use '-{name}' and -{parameter} {name}' at the same time"
                    );
                    return Err(Refusal::parameter("delete", text));
                }
            }
        }
        Self::check_drives(&mut set)?;
        for (key, value) in set.iter_mut().filter(|(key, _)| key.starts_with("net")) {
            *value =
                print_net(value, &mut self.random).map_err(|text| Refusal::parameter(key, text))?;
        }
        check_keys(&self.access, caller, vmid, delete.iter().chain(set.keys()))?;
        check_serial(&self.access, caller, vmid, &set)?;
        self.check_storage_access(caller, vmid, &set, None)?;
        self.check_bridges(caller, &set)?;
        let change = Change {
            user: caller.0.clone(),
            set,
            delete,
            revert,
            digest: call
                .get("digest")
                .filter(|digest| !digest.is_empty())
                .map(str::to_owned),
            skip_lock: call.flag("skiplock"),
        };
        change
            .check(self, call.node(), vmid)
            .map_err(Refusal::Died)?;
        Ok(change)
    }

    /// qemu-server `QemuServer.pm` `check_bridge_access`: SDN.Use on the bridge, or on its tag.
    pub(crate) fn check_bridges(
        &self,
        caller: &Caller,
        config: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        for (key, value) in config.iter().filter(|(key, _)| key.starts_with("net")) {
            let net = schema::parse_property_string(NET, value)
                .map_err(|text| Refusal::parameter(key, text))?;
            let Some(bridge) = net.get("bridge") else {
                continue;
            };
            let path = match net.get("tag") {
                Some(tag) => format!("/sdn/zones/localnetwork/{bridge}/{tag}"),
                None => format!("/sdn/zones/localnetwork/{bridge}"),
            };
            self.access.check(caller, &path, &["SDN.Use"])?;
        }
        Ok(())
    }

    /// pve-guest-common `GuestHelpers.pm` `assert_tag_permissions` (:314): on the VM, never on a pool.
    pub(crate) fn check_tags(
        &self,
        caller: &Caller,
        vmid: u32,
        old: &str,
        new: &str,
    ) -> Result<(), String> {
        let in_task = |refusal: Refusal| format!("{} {}", refusal.status(), refusal.text());
        self.access
            .check(caller, &format!("/vms/{vmid}"), &["VM.Config.Options"])
            .map_err(in_task)?;
        let Some(registered) = &self.settings.registered_tags else {
            return Ok(());
        };
        let had: Vec<&str> = schema::list(old).collect();
        let added = schema::list(new).filter(|tag| !had.contains(tag));
        for tag in added {
            if !registered.iter().any(|known| known == tag)
                && !self.access.may(caller, "/", "Sys.Modify")
            {
                let missing = format!("/, Sys.Modify for modifying tag '{tag}'");
                return Err(in_task(Refusal::Forbidden(missing)));
            }
        }
        Ok(())
    }
}

impl Change {
    /// What is checked before the task, and again under the lock.
    pub(crate) fn check(&self, cluster: &Cluster, node: &str, vmid: u32) -> Result<(), String> {
        let vm = cluster.vm_on(node, vmid)?;
        if self
            .digest
            .as_ref()
            .is_some_and(|digest| *digest != vm.digest())
        {
            return Err("checksum mismatch (file change by other user?)".to_owned());
        }
        check_lock(vm.lock(), self.skip_lock)?;
        if !cluster.has_quorum() {
            return Err(format!(
                "unable to open file '/etc/pve/nodes/{node}/qemu-server/{vmid}.conf.tmp.1234' - Permission denied"
            ));
        }
        Ok(())
    }

    /// The effect, in a task.
    pub(crate) fn apply(
        &mut self,
        cluster: &mut Cluster,
        scratch: &mut Scratch,
        vmid: u32,
    ) -> Result<(), String> {
        scratch.log(format!("update VM {vmid}: {}", self.words()));
        self.take(cluster, scratch, vmid)
            .map_err(|refusal| match refusal {
                Refusal::Died(text) => text,
                other => format!("{} {}", other.status(), other.text()),
            })
    }

    fn words(&self) -> String {
        let mut words: Vec<String> = self
            .set
            .iter()
            .map(|(key, value)| {
                format!(
                    "-{key} {}",
                    if key == "cipassword" {
                        "<hidden>"
                    } else {
                        value
                    }
                )
            })
            .collect();
        if !self.delete.is_empty() {
            words.push(format!("-delete {}", self.delete.join(",")));
        }
        words.join(" ")
    }

    fn take(
        &mut self,
        cluster: &mut Cluster,
        scratch: &mut Scratch,
        vmid: u32,
    ) -> Result<(), Refusal> {
        let caller = Caller(self.user.clone());
        let node = scratch.node.clone();
        for name in std::mem::take(&mut self.revert) {
            if let Some(vm) = cluster.vms.get_mut(&vmid) {
                vm.pending.remove(&name);
            }
        }
        for name in &self.delete {
            let vm = cluster.vm_on(&node, vmid).map_err(Refusal::Died)?;
            let Some(value) = vm
                .config
                .get(name)
                .or_else(|| vm.pending.get(name)?.as_ref())
                .cloned()
            else {
                scratch.log(format!(
                    "cannot delete '{name}' - not set in current configuration!"
                ));
                continue;
            };
            if schema::is_drive(name) {
                if vm.flag("protection") {
                    return Err(Refusal::died(format!(
                        "can't remove drive '{name}' - protection mode enabled"
                    )));
                }
                cluster.check_drive_use(&caller, vmid, name, &value)?;
            } else if name == "tags" {
                cluster
                    .check_tags(&caller, vmid, &value, "")
                    .map_err(Refusal::Died)?;
            }
            cluster.unset(&node, vmid, name, &value)?;
        }
        for (key, value) in self.set.clone() {
            let value = if schema::is_drive(&key) {
                cluster.new_drive(&caller, scratch, vmid, &key, &value)?
            } else if key == "tags" {
                let vm = cluster.vm_on(&node, vmid).map_err(Refusal::Died)?;
                let old = vm.config.get("tags").cloned().unwrap_or_default();
                cluster
                    .check_tags(&caller, vmid, &old, &value)
                    .map_err(Refusal::Died)?;
                sorted_tags(&value)
            } else {
                value
            };
            if key == "boot" {
                cluster.check_boot(&node, vmid, &value, self)?;
            }
            cluster.set(&node, vmid, &key, value)?;
        }
        Ok(())
    }
}

impl Cluster {
    fn check_drive_use(
        &self,
        caller: &Caller,
        vmid: u32,
        key: &str,
        value: &str,
    ) -> Result<(), Refusal> {
        let privileges: &[&str] = match Self::drive_use(key, value) {
            DriveUse::Disk => &["VM.Config.Disk"],
            DriveUse::CdRom => &["VM.Config.CDROM"],
            DriveUse::CloudInit => &["VM.Config.Cloudinit", "VM.Config.CDROM"],
        };
        self.access.check_vm(caller, vmid, None, privileges)
    }

    /// The value of a drive that is set: its volume allocated or looked up.
    fn new_drive(
        &mut self,
        caller: &Caller,
        scratch: &Scratch,
        vmid: u32,
        key: &str,
        value: &str,
    ) -> Result<String, Refusal> {
        let node = scratch.node.as_str();
        if let Some(old) = self
            .vm_on(node, vmid)
            .map_err(Refusal::Died)?
            .config
            .get(key)
            .cloned()
        {
            self.check_drive_use(caller, vmid, key, &old)?;
        }
        self.check_drive_use(caller, vmid, key, value)?;
        let mut drive = Drive::parse(key, value).map_err(|text| Refusal::parameter(key, text))?;
        match drive.wanted() {
            Wanted::CloudInit(storage) => {
                let id = self
                    .allocate(node, &storage, vmid, Some("cloudinit"), None, 4 << 20)
                    .map_err(Refusal::Died)?;
                drive.file = id;
                drive.options.insert("media".to_owned(), "cdrom".to_owned());
            }
            Wanted::New { storage, bytes } => {
                let storage = storage.unwrap_or_default();
                let bytes = new_size(self, node, key, &drive, bytes).map_err(Refusal::Died)?;
                let format = drive.options.remove("format");
                let id = self
                    .allocate(node, &storage, vmid, None, format.as_deref(), bytes)
                    .map_err(Refusal::Died)?;
                drive.file = id;
                drive.options.remove("import-from");
                drive
                    .options
                    .insert("size".to_owned(), schema::print_size(bytes));
            }
            Wanted::Nothing | Wanted::Host | Wanted::Existing { .. } => {
                attach(self, node, &mut drive).map_err(Refusal::Died)?;
            }
        }
        Ok(drive.print())
    }

    fn check_boot(
        &self,
        node: &str,
        vmid: u32,
        value: &str,
        change: &Change,
    ) -> Result<(), Refusal> {
        let vm = self.vm_on(node, vmid).map_err(Refusal::Died)?;
        let boot = schema::parse_property_string(BOOT, value)
            .map_err(|text| Refusal::parameter("boot", text))?;
        for device in schema::list(boot.get("order").map_or("", String::as_str)) {
            let there = vm.config.contains_key(device)
                || matches!(vm.pending.get(device), Some(Some(_)))
                || change.set.contains_key(device);
            if !there || change.delete.iter().any(|name| name == device) {
                return Err(Refusal::died(format!(
                    "invalid bootorder: device '{device}' does not exist'"
                )));
            }
        }
        Ok(())
    }

    fn set(&mut self, node: &str, vmid: u32, key: &str, value: String) -> Result<(), Refusal> {
        let vm = self
            .vms
            .get_mut(&vmid)
            .ok_or_else(|| Refusal::died(missing(node, vmid)))?;
        let drive = schema::is_drive(key)
            .then(|| Drive::parse(key, &value).ok())
            .flatten();
        if vm.is_running() && !live(key, &value, vm.config.get(key)) {
            vm.pending.insert(key.to_owned(), Some(value));
        } else {
            vm.pending.remove(key);
            vm.config.insert(key.to_owned(), value);
        }
        // A new CD-ROM joins an explicit boot order.
        let boot = vm
            .config
            .get_mut("boot")
            .filter(|boot| boot.starts_with("order="));
        if let Some(order) = boot.filter(|_| drive.is_some_and(|drive| drive.is_cdrom()))
            && !order
                .trim_start_matches("order=")
                .split(';')
                .any(|device| device == key)
        {
            order.push(';');
            order.push_str(key);
        }
        Ok(())
    }

    fn unset(&mut self, node: &str, vmid: u32, key: &str, value: &str) -> Result<(), Refusal> {
        let vm = self
            .vms
            .get_mut(&vmid)
            .ok_or_else(|| Refusal::died(missing(node, vmid)))?;
        if let Some(boot) = vm
            .config
            .get("boot")
            .and_then(|boot| boot.strip_prefix("order="))
        {
            let left: Vec<&str> = boot.split(';').filter(|device| *device != key).collect();
            let left = format!("order={}", left.join(";"));
            vm.config.insert("boot".to_owned(), left);
        }
        if vm.is_running() && !live(key, "", Some(&value.to_owned())) {
            vm.pending.insert(key.to_owned(), None);
            return Ok(());
        }
        vm.pending.remove(key);
        vm.config.remove(key);
        let unused = key.starts_with("unused");
        let Ok(drive) = Drive::parse(key, value) else {
            return Ok(());
        };
        if unused || schema::is_drive(key) && drive.is_cloud_init() {
            self.free(node, &drive.file);
        } else if schema::is_drive(key)
            && !drive.is_cdrom()
            && let Some(vm) = self.vms.get_mut(&vmid)
        {
            let name = (0..256)
                .map(|number| format!("unused{number}"))
                .find(|name| !vm.config.contains_key(name));
            vm.config.insert(name.unwrap_or_default(), drive.file);
        }
        Ok(())
    }
}

/// Whether a running VM takes a change over at once (qemu-server `QemuServer.pm` `$fast_plug_option`,
/// `vmconfig_hotplug_pending` with the default `hotplug=network,disk,usb`).
fn live(key: &str, value: &str, old: Option<&String>) -> bool {
    const FAST: [&str; 9] = [
        "name",
        "onboot",
        "shares",
        "startup",
        "description",
        "protection",
        "vmstatestorage",
        "hookscript",
        "tags",
    ];
    let bus = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let cdrom = |value: &str| Drive::parse(key, value).is_ok_and(|drive| drive.is_cdrom());
    match bus {
        "net" | "scsi" | "virtio" | "unused" => true,
        // A medium can be changed in a drive that is there, on any bus.
        "ide" | "sata" => cdrom(value) && old.is_some_and(|old| cdrom(old)),
        _ => FAST.contains(&key),
    }
}

/// The size of a volume that is to be made: as asked, that of the image it is filled from, or fixed.
pub(crate) fn new_size(
    cluster: &Cluster,
    node: &str,
    key: &str,
    drive: &Drive,
    asked: u64,
) -> Result<u64, String> {
    if let Some(source) = drive.options.get("import-from") {
        return match cluster.volume(node, source) {
            Some(volume) => Ok(volume.size),
            None => Err(format!(
                "cannot import from '{source}' - could not get size of {source}"
            )),
        };
    }
    Ok(
        match (key, drive.options.get("efitype").map(String::as_str)) {
            ("efidisk0", Some("4m")) => 528 << 10,
            ("efidisk0", _) => 128 << 10,
            ("tpmstate0", _) => 4 << 20,
            _ => asked,
        },
    )
}

/// A volume that is there, attached: its size is noted.
pub(crate) fn attach(cluster: &Cluster, node: &str, drive: &mut Drive) -> Result<(), String> {
    if matches!(drive.wanted(), Wanted::Nothing) {
        drive.options.remove("size");
        return Ok(());
    }
    let volume = cluster
        .volume(node, &drive.file)
        .ok_or_else(|| format!("volume {} does not exist", drive.file))?;
    drive
        .options
        .insert("size".to_owned(), schema::print_size(volume.size));
    Ok(())
}

/// A NIC as Proxmox VE writes it: `model=MAC` first, a MAC made up if there is none.
pub(crate) fn print_net(value: &str, random: &mut Random) -> Result<String, String> {
    let mut net = schema::parse_property_string(NET, value)?;
    let model = net
        .remove("model")
        .ok_or_else(|| "unable to parse network options".to_owned())?;
    let mac = net.remove("macaddr").unwrap_or_else(|| random.mac());
    let mut parts = vec![format!("{model}={mac}")];
    parts.extend(net.iter().map(|(key, value)| format!("{key}={value}")));
    Ok(parts.join(","))
}

/// Sorted, each once, in lower case (facts §1.8).
pub(crate) fn sorted_tags(tags: &str) -> String {
    let mut tags: Vec<String> = schema::list(tags).map(str::to_ascii_lowercase).collect();
    tags.sort();
    tags.dedup();
    tags.join(";")
}

/// qemu-server `Qemu.pm` `$check_vm_modify_config_perm`: drives, serial ports and tags are checked elsewhere.
pub(crate) fn check_keys<'a>(
    access: &Access,
    caller: &Caller,
    vmid: u32,
    keys: impl Iterator<Item = &'a String>,
) -> Result<(), Refusal> {
    if caller.is_root() {
        return Ok(());
    }
    let check = |privileges: &[&str]| access.check_vm(caller, vmid, None, privileges);
    for key in keys {
        if schema::is_drive(key) || key == "tags" {
            continue;
        }
        match key.trim_end_matches(|digit: char| digit.is_ascii_digit()) {
            "unused" | "serial" | "usb" | "hostpci" | "virtiofs" => continue,
            "net" => {
                check(&["VM.Config.Network"])?;
                continue;
            }
            "ipconfig" => {
                check_cloud_init(access, caller, vmid)?;
                continue;
            }
            _ => {}
        }
        match key.as_str() {
            "cores" | "cpu" | "cpulimit" | "cpuunits" | "numa" | "sockets" | "vcpus" => {
                check(&["VM.Config.CPU"])?;
            }
            "memory" | "balloon" | "shares" | "allow-ksm" => {
                check(&["VM.Config.Memory"])?;
            }
            "acpi" | "hotplug" | "kvm" | "machine" | "scsihw" | "smbios1" | "tablet" | "vga"
            | "watchdog" | "rng0" => {
                check(&["VM.Config.HWType"])?;
            }
            "agent" | "autostart" | "bios" | "description" | "localtime" | "name" | "onboot"
            | "ostype" | "protection" | "reboot" | "template" => {
                check(&["VM.Config.Options"])?;
            }
            "startup" => {
                check(&["VM.Config.Options"])?;
                access.check(caller, "/", &["Sys.Modify"])?;
            }
            "boot" | "vmstatestorage" => {
                check(&["VM.Config.Disk"])?;
            }
            "cicustom" | "cipassword" | "citype" | "ciuser" | "ciupgrade" | "nameserver"
            | "searchdomain" | "sshkeys" => {
                check_cloud_init(access, caller, vmid)?;
            }
            _ => return Err(Refusal::died(format!("only root can set '{key}' config"))),
        }
    }
    Ok(())
}

/// One of the two will do.
fn check_cloud_init(access: &Access, caller: &Caller, vmid: u32) -> Result<(), Refusal> {
    access.check_any(
        caller,
        &format!("/vms/{vmid}"),
        &["VM.Config.Cloudinit", "VM.Config.Network"],
    )
}

/// qemu-server `Qemu.pm` `$check_vm_create_serial_perm`.
pub(crate) fn check_serial(
    access: &Access,
    caller: &Caller,
    vmid: u32,
    config: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    for (key, value) in config.iter().filter(|(key, _)| key.starts_with("serial")) {
        if value == "socket" {
            access.check_vm(caller, vmid, None, &["VM.Config.HWType"])?;
        } else if !caller.is_root() {
            return Err(Refusal::died(format!(
                "only root can set '{key}' config for real devices"
            )));
        }
    }
    Ok(())
}
