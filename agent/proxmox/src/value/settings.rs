//! Everything that a new VM is made with. Nothing is left to the API's defaults, which are not those of the web
//! interface (`kvm64`, `lsi`, `i440fx`, 512 MiB, ballooning on).

use std::collections::BTreeMap;

use crate::{VmName, Vmid};

use super::{BootOrder, Cdrom, CloudInit, Disk, EfiDisk, Network, Slot, Smbios, TagList};

/// What starts the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firmware {
    /// A BIOS.
    SeaBios,
    /// UEFI, with its variables on a disk of their own.
    Ovmf(EfiDisk),
}

/// The controller of `scsi0`, `scsi1`, …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScsiController {
    /// `virtio-scsi-pci`: one for all.
    VirtioShared,
    /// `virtio-scsi-single`: one for each disk.
    VirtioSingle,
}

/// What the console shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// A picture.
    Standard,
    /// The serial port.
    Serial,
}

/// A Linux VM on a q35 machine, with a serial port (cloud images of Debian and Ubuntu panic without one after a
/// resize) and without ballooning (Talos sees too little memory with it).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the API, and named where it is set"
)]
pub struct VmSettings {
    /// The VMID that is taken, or the request fails.
    pub vmid: Vmid,
    /// Becomes the guest's host name.
    pub name: VmName,
    /// Notes, shown to people; up to 8192 characters.
    pub description: String,
    /// May be empty: setting them needs `VM.Config.Options` on `/vms/{vmid}` itself.
    pub tags: TagList,
    /// The pool that it joins.
    pub pool: Option<String>,
    /// How it starts.
    pub firmware: Firmware,
    /// The processor's type, such as `x86-64-v2-AES` or `host`.
    pub cpu: String,
    /// Cores; there is one socket.
    pub cores: u32,
    /// In MiB.
    pub memory: u32,
    /// The controller of its SCSI disks.
    pub scsi: ScsiController,
    /// New disks.
    pub disks: BTreeMap<Slot, Disk>,
    /// CD drives.
    pub drives: BTreeMap<Slot, Cdrom>,
    /// `net0`, `net1`, …
    pub networks: Vec<Network>,
    /// What the console shows.
    pub screen: Screen,
    /// Whether a guest agent is expected.
    pub guest_agent: bool,
    /// What is tried in which order.
    pub boot: BootOrder,
    /// Whether it starts with its node.
    pub start_at_boot: bool,
    /// Whether it is protected from being removed.
    pub protection: bool,
    /// Its identity.
    pub smbios: Smbios,
    /// Whether it gets randomness from the node.
    pub randomness: bool,
    /// For Proxmox's own cloud-init drive.
    pub cloud_init: Option<CloudInit>,
}

impl VmSettings {
    /// As parameters of the call, each once.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let flag = |value: bool| if value { "1" } else { "0" }.to_owned();
        let mut parameters: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| parameters.push((name.to_owned(), value));
        add("vmid", self.vmid.to_string());
        add("name", self.name.to_string());
        add("description", self.description.clone());
        if !self.tags.is_empty() {
            add("tags", self.tags.to_string());
        }
        if let Some(pool) = &self.pool {
            add("pool", pool.clone());
        }
        add("ostype", "l26".to_owned());
        add("machine", "q35".to_owned());
        match &self.firmware {
            Firmware::SeaBios => add("bios", "seabios".to_owned()),
            Firmware::Ovmf(disk) => {
                add("bios", "ovmf".to_owned());
                add("efidisk0", disk.to_string());
            }
        }
        add("cpu", self.cpu.clone());
        add("cores", self.cores.to_string());
        add("sockets", "1".to_owned());
        add("memory", self.memory.to_string());
        add("balloon", "0".to_owned());
        let controller = match self.scsi {
            ScsiController::VirtioShared => "virtio-scsi-pci",
            ScsiController::VirtioSingle => "virtio-scsi-single",
        };
        add("scsihw", controller.to_owned());
        for (slot, disk) in &self.disks {
            add(&slot.to_string(), disk.to_string());
        }
        // A slot holds one thing.
        for (slot, drive) in self
            .drives
            .iter()
            .filter(|(slot, _)| !self.disks.contains_key(slot))
        {
            add(&slot.to_string(), drive.to_string());
        }
        for (number, network) in self.networks.iter().enumerate() {
            add(&format!("net{number}"), network.to_string());
        }
        add("serial0", "socket".to_owned());
        let screen = match self.screen {
            Screen::Standard => "std",
            Screen::Serial => "serial0",
        };
        add("vga", screen.to_owned());
        add("agent", flag(self.guest_agent));
        add("boot", self.boot.to_string());
        add("onboot", flag(self.start_at_boot));
        add("protection", flag(self.protection));
        add("smbios1", self.smbios.to_string());
        if self.randomness {
            add("rng0", "source=/dev/urandom".to_owned());
        }
        parameters.extend(self.cloud_init.iter().flat_map(CloudInit::parameters));
        parameters
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{DiskSize, DiskSource, IpConfig, Ipv4, SshKeys, calls};

    pub(crate) fn talos() -> VmSettings {
        let storage: crate::StorageId = "local-lvm".parse().unwrap();
        let slot = |text: &str| text.parse::<Slot>().unwrap();
        VmSettings {
            vmid: Vmid::new(105).unwrap(),
            name: "talos-1.lan".parse().unwrap(),
            description: "made by omni-scale\nid: 3f2a".into(),
            tags: TagList::new(["omni-scale", "group_workers"]).unwrap(),
            pool: None,
            firmware: Firmware::Ovmf(EfiDisk {
                storage: storage.clone(),
                pre_enrolled_keys: false,
            }),
            cpu: "x86-64-v2-AES".into(),
            cores: 4,
            memory: 4096,
            scsi: ScsiController::VirtioShared,
            disks: BTreeMap::from([(
                slot("scsi0"),
                Disk {
                    storage,
                    source: DiskSource::Empty(DiskSize::gibibytes(32)),
                    discard: true,
                    ssd: true,
                    iothread: false,
                },
            )]),
            drives: BTreeMap::from([(
                slot("ide2"),
                Cdrom::Volume("local:iso/talos.iso".parse().unwrap()),
            )]),
            networks: vec![Network::new("vmbr0").unwrap()],
            screen: Screen::Standard,
            guest_agent: false,
            boot: BootOrder(vec![slot("scsi0"), slot("ide2")]),
            start_at_boot: true,
            protection: false,
            smbios: Smbios {
                uuid: "3f2a0000-0000-5000-8000-000000000001".parse().unwrap(),
                serial: None,
            },
            randomness: true,
            cloud_init: None,
        }
    }

    #[test]
    fn everything_is_sent_and_all_of_it_is_in_the_table() {
        let mut settings = talos();
        settings.pool = Some("omni-scale".into());
        settings.cloud_init = Some(CloudInit {
            user: "omni".into(),
            keys: SshKeys::new(["ssh-ed25519 AAAAC3Nz op@lan"]).unwrap(),
            addresses: BTreeMap::from([(
                0,
                IpConfig {
                    ipv4: Ipv4::Dhcp,
                    ipv6: None,
                },
            )]),
            nameservers: vec![
                "192.0.2.53".parse().unwrap(),
                "2001:db8::53".parse().unwrap(),
            ],
            search_domain: "lan".into(),
        });
        let sent = settings.parameters();
        for (name, value) in &sent {
            let parameter = calls::CREATE
                .parameter(name)
                .unwrap_or_else(|| panic!("`{name}` is not in the table"));
            assert!(
                parameter.name != name
                    || parameter.examples.contains(&value.as_str())
                    || ["tags", "ide2", "protection"].contains(&name.as_str()),
                "`{name}={value}` is not among the examples"
            );
        }
        let names: Vec<&str> = sent.iter().map(|(name, _)| name.as_str()).collect();
        let missing: Vec<_> = calls::CREATE
            .parameters
            .iter()
            .filter(|parameter| !names.contains(&parameter.name))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn tags_are_left_out_when_there_are_none() {
        let settings = VmSettings {
            tags: TagList::default(),
            ..talos()
        };
        assert!(settings.parameters().iter().all(|(name, _)| name != "tags"));
    }
}
