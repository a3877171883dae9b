//! What machines need of a cluster, added up: pure.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::machine::CheckedMachine;
use omni_scale_proto::v1::{Firmware, MachineImage, MachineImageKind};

/// Gibibytes of an EFI disk, rounded up.
const EFI_DISK: u64 = 1;

/// What is needed on each node, and on all of them.
#[derive(Debug, Default)]
pub(super) struct Needs {
    on: BTreeMap<String, OnNode>,
}

/// What is needed on one node.
#[derive(Debug, Default)]
pub(super) struct OnNode {
    /// Storages and the content that they must take.
    pub(super) storages: BTreeMap<String, BTreeSet<&'static str>>,
    /// Gibibytes by storage.
    pub(super) space: BTreeMap<String, u64>,
    /// Bridges.
    pub(super) bridges: BTreeSet<String>,
    /// Bridges with their tags; 0 is untagged.
    pub(super) networks: BTreeSet<(String, u32)>,
    /// Processors.
    pub(super) cpus: BTreeSet<String>,
    /// Images, by sum.
    pub(super) images: BTreeMap<String, MachineImage>,
    /// Storages from which first-boot data is deleted again.
    pub(super) iso_storages: BTreeSet<String>,
}

impl Needs {
    pub(super) fn of(machines: &[&CheckedMachine]) -> Self {
        let mut needs = Self::default();
        for machine in machines {
            let node = machine.as_wire().node.clone();
            needs.on.entry(node).or_default().add(machine);
        }
        needs
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &str> {
        self.on.keys().map(String::as_str)
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (&str, &OnNode)> {
        self.on.iter().map(|(node, needs)| (node.as_str(), needs))
    }

    pub(super) fn on(&self, node: &str) -> Option<&OnNode> {
        self.on.get(node)
    }

    /// Gibibytes that all nodes together need of a storage.
    pub(super) fn space(&self, storage: &str) -> u64 {
        let each = self
            .on
            .values()
            .filter_map(|needs| needs.space.get(storage));
        each.sum()
    }
}

impl OnNode {
    fn add(&mut self, machine: &CheckedMachine) {
        let wire = machine.as_wire();
        for disk in &wire.disks {
            self.storage(&disk.storage, "images");
            *self.space.entry(disk.storage.clone()).or_default() += u64::from(disk.size_gibibytes);
        }
        if wire.firmware() == Firmware::Ovmf {
            self.storage(&wire.firmware_storage, "images");
            *self.space.entry(wire.firmware_storage.clone()).or_default() += EFI_DISK;
        }
        let image = machine.image();
        let kind = match image.kind() {
            MachineImageKind::Iso => "iso",
            MachineImageKind::Disk | MachineImageKind::Unspecified => "import",
        };
        self.storage(&image.storage, kind);
        self.images.insert(image.sha256.clone(), image.clone());
        self.storage(&wire.iso_storage, "iso");
        self.iso_storages.insert(wire.iso_storage.clone());
        for network in &wire.networks {
            self.bridges.insert(network.bridge.clone());
            self.networks.insert((network.bridge.clone(), network.vlan));
        }
        self.cpus.insert(wire.cpu.clone());
    }

    fn storage(&mut self, name: &str, content: &'static str) {
        let contents = self.storages.entry(name.to_owned()).or_default();
        contents.insert(content);
    }
}
