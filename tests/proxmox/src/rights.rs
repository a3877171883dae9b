//! Who may set what: the privileges behind each key of a configuration, and behind what its drives and NICs name.
//!
//! At create and at change alike (qemu-server `Qemu.pm`); each check is in the words of the real one.

use std::collections::BTreeMap;

use crate::access::{Access, Caller};
use crate::cluster::Cluster;
use crate::drive::{Drive, Wanted};
use crate::refusal::Refusal;
use crate::schema::{self, NET};
use crate::storage::split;

/// A drive, to its VM's privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DriveUse {
    Disk,
    CdRom,
    CloudInit,
}

impl Cluster {
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

    pub(crate) fn check_drive_use(
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

    /// What a drive is to its VM's privileges.
    fn drive_use(key: &str, value: &str) -> DriveUse {
        match Drive::parse(key, value) {
            Ok(drive) if drive.is_cloud_init() => DriveUse::CloudInit,
            Ok(drive) if drive.is_cdrom() => DriveUse::CdRom,
            _ => DriveUse::Disk,
        }
    }

    /// qemu-server `Qemu.pm` `$check_storage_access`.
    pub(crate) fn check_storage_access(
        &self,
        caller: &Caller,
        vmid: u32,
        config: &BTreeMap<String, String>,
        default_storage: Option<&str>,
    ) -> Result<(), Refusal> {
        for (key, value) in config.iter().filter(|(key, _)| schema::is_drive(key)) {
            let drive = Drive::parse(key, value).map_err(|text| Refusal::parameter(key, text))?;
            match drive.wanted() {
                Wanted::Nothing | Wanted::CloudInit(_) => {
                    if drive.file == "cdrom" {
                        self.access.check(caller, "/", &["Sys.Console"])?;
                    }
                }
                Wanted::Host => {
                    return Err(Refusal::died(
                        "Only root can pass arbitrary filesystem paths.",
                    ));
                }
                Wanted::New { storage, .. } => {
                    let none = || Refusal::died("no storage ID specified (and no default storage)");
                    let storage = storage.as_deref().or(default_storage).ok_or_else(none)?;
                    let path = format!("/storage/{storage}");
                    self.access
                        .check(caller, &path, &["Datastore.AllocateSpace"])?;
                    let definition = self.storages.get(storage).ok_or_else(|| {
                        Refusal::died(format!("storage '{storage}' does not exist"))
                    })?;
                    if !definition.content.contains("images") {
                        let text = format!("storage '{storage}' does not support vm images");
                        return Err(Refusal::parameter("storage", text));
                    }
                }
                Wanted::Existing { name, .. } => {
                    self.check_volume_access(caller, Some(vmid), &drive.file)?;
                    let kind = crate::storage::kind_of(&name).map(|(kind, _)| kind);
                    if !["images", "iso"].contains(&kind.unwrap_or_default()) {
                        return Err(Refusal::parameter(
                            key,
                            "content type needs to be 'images' or 'iso'",
                        ));
                    }
                }
            }
            if let Some(source) = drive.options.get("import-from") {
                self.check_import(caller, vmid, key, source)?;
            }
        }
        Ok(())
    }

    fn check_import(
        &self,
        caller: &Caller,
        vmid: u32,
        key: &str,
        source: &str,
    ) -> Result<(), Refusal> {
        let Some((_, name)) = split(source) else {
            return Err(Refusal::died(
                "Only root can pass arbitrary filesystem paths.",
            ));
        };
        let (kind, owner) = crate::storage::kind_of(name).ok_or_else(|| {
            Refusal::died(format!("unable to parse directory volume name '{name}'"))
        })?;
        if kind != "images" && kind != "import" {
            let text =
                format!("{source} has wrong type '{kind}' - needs to be 'images' or 'import'");
            return Err(Refusal::parameter(key, text));
        }
        match owner {
            Some(owner) => self
                .access
                .check(caller, &format!("/vms/{owner}"), &["VM.Clone"]),
            None => self.check_volume_access(caller, Some(vmid), source),
        }
    }
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
