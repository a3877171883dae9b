//! Putting a value into a configuration: volumes allocated or looked up, and what a running VM takes over at once.

use std::collections::BTreeMap;

use crate::access::Caller;
use crate::cluster::Cluster;
use crate::config::Change;
use crate::drive::{Drive, Wanted};
use crate::jobs::Scratch;
use crate::refusal::Refusal;
use crate::schema::{self, BOOT};
use crate::vms::missing;

impl Cluster {
    /// qemu-server `Qemu.pm` `$check_drive_param`: the forms that a drive may have.
    pub(crate) fn check_drives(config: &mut BTreeMap<String, String>) -> Result<(), Refusal> {
        for (key, value) in config.iter_mut().filter(|(key, _)| schema::is_drive(key)) {
            let drive = Drive::parse(key, value)
                .map_err(|_| Refusal::parameter(key, "unable to parse drive options"))?;
            let wanted = drive.wanted();
            if drive.options.contains_key("import-from") {
                if !matches!(wanted, Wanted::New { bytes: 0, .. }) {
                    let text = "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>";
                    return Err(Refusal::parameter(key, text));
                }
                for needed in ["efitype", "pre-enrolled-keys"] {
                    if key == "efidisk0" && !drive.options.contains_key(needed) {
                        let text = format!("need to specify '{needed}' when using 'import-from'");
                        return Err(Refusal::parameter(key, text));
                    }
                }
            }
            let is_iso =
                matches!(&wanted, Wanted::Existing { name, .. } if name.starts_with("iso/"));
            if is_iso && !drive.is_cdrom() {
                return Err(Refusal::parameter(
                    key,
                    "explicit 'media=cdrom' is required for iso images",
                ));
            }
            *value = drive.print();
        }
        Ok(())
    }

    /// The value of a drive that is set: its volume allocated or looked up.
    pub(crate) fn new_drive(
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

    pub(crate) fn check_boot(
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
                || change.sets(device);
            if !there || change.deletes(device) {
                return Err(Refusal::died(format!(
                    "invalid bootorder: device '{device}' does not exist'"
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn set(
        &mut self,
        node: &str,
        vmid: u32,
        key: &str,
        value: String,
    ) -> Result<(), Refusal> {
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

    pub(crate) fn unset(
        &mut self,
        node: &str,
        vmid: u32,
        key: &str,
        value: &str,
    ) -> Result<(), Refusal> {
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
