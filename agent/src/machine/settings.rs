//! From a checked machine to what Proxmox is told: pure, and nothing left to the API's defaults.

use std::collections::BTreeMap;
use std::path::Path;

use omni_scale_proto::id::DeploymentId;
use omni_scale_proto::machine::{CheckedMachine, MACHINE_TAG, marker};
use omni_scale_proto::v1::{self, MachineImageKind, MachineKind};
use omni_scale_proxmox::{
    BootOrder, Bus, Cdrom, Disk, DiskSize, DiskSource, EfiDisk, Firmware, NameError, Network,
    Screen, ScsiController, Slot, Smbios, StorageId, TagList, ValueError, VmSettings, Vmid,
    VolumeId,
};

/// A machine that the client cannot put into words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unspeakable {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// Where the first-boot ISO lies: under UEFI, Debian does not see CD drives on IDE.
pub(super) fn first_boot_slot() -> Slot {
    Slot::new(Bus::Scsi, 30).expect("SCSI has 31 slots")
}

/// Where an image that is booted from lies.
fn image_slot() -> Slot {
    Slot::new(Bus::Ide, 2).expect("IDE has 4 slots")
}

/// The slot of a disk, by its place in the list.
pub(super) fn disk_slot(index: usize) -> Option<Slot> {
    Slot::new(Bus::Scsi, u8::try_from(index).ok()?)
}

/// What the image is called on its storage: by its sum, so that no other one can stand in for it.
pub(super) fn image_file(image: &v1::MachineImage) -> String {
    let raw = Path::new(&image.url)
        .extension()
        .is_some_and(|form| form.eq_ignore_ascii_case("raw"));
    let form = match image.kind() {
        MachineImageKind::Iso => "iso",
        MachineImageKind::Disk | MachineImageKind::Unspecified if raw => "raw",
        MachineImageKind::Disk | MachineImageKind::Unspecified => "qcow2",
    };
    format!("omni-scale-{}.{form}", image.sha256)
}

/// The sum in the name of an image of ours.
pub(super) fn image_sum(volume: &VolumeId) -> Option<&str> {
    let (_, file) = volume.path().split_once('/')?;
    let (sum, _) = file.strip_prefix("omni-scale-")?.rsplit_once('.')?;
    let hexadecimal = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then_some(sum)
}

/// The image as a volume.
pub(super) fn image_volume(image: &v1::MachineImage) -> Result<VolumeId, NameError> {
    let folder = match image.kind() {
        MachineImageKind::Iso => "iso",
        MachineImageKind::Disk | MachineImageKind::Unspecified => "import",
    };
    VolumeId::new(
        &image.storage.parse()?,
        &format!("{folder}/{}", image_file(image)),
    )
}

/// What a machine's first-boot ISO is called: by its UUID, because VMIDs are recycled.
pub(super) fn first_boot_file(uuid: &str) -> String {
    format!("omni-scale-{uuid}.iso")
}

/// The first-boot ISO as a volume.
pub(super) fn first_boot_volume(storage: &str, uuid: &str) -> Result<VolumeId, NameError> {
    let storage: StorageId = storage.parse()?;
    VolumeId::new(&storage, &format!("iso/{}", first_boot_file(uuid)))
}

/// All that a new VM is made with.
pub(super) fn settings(
    machine: &CheckedMachine,
    deployment: DeploymentId,
    vmid: Vmid,
) -> Result<VmSettings, Unspeakable> {
    let wire = machine.as_wire();
    let image = machine.image();
    let first_boot = first_boot_volume(&wire.iso_storage, &wire.uuid)?;
    let mut drives = BTreeMap::from([(first_boot_slot(), Cdrom::Volume(first_boot))]);
    let mut boot: Vec<Slot> = disk_slot(0).into_iter().collect();
    if image.kind() == MachineImageKind::Iso {
        // The disk first: while it is empty, the ISO is next, and from then on it is left alone.
        drives.insert(image_slot(), Cdrom::Volume(image_volume(image)?));
        boot.push(image_slot());
    }
    let tags = wire.tags.iter().map(String::as_str).chain([MACHINE_TAG]);
    Ok(VmSettings {
        vmid,
        name: wire.name.parse()?,
        description: marker(deployment, machine.identity()),
        tags: TagList::new(tags)?,
        pool: None,
        firmware: firmware(wire)?,
        cpu: wire.cpu.clone(),
        cores: wire.cores,
        memory: wire.memory_mebibytes,
        // `virtio-scsi-single` was seen to hang the installation of Talos.
        scsi: ScsiController::VirtioShared,
        disks: disks(machine)?,
        drives,
        networks: wire
            .networks
            .iter()
            .map(network)
            .collect::<Result<_, _>>()?,
        screen: Screen::Standard,
        // Without its extension Talos has no agent; a host of ours may, and says its addresses then.
        guest_agent: wire.kind() == MachineKind::Host,
        boot: BootOrder(boot),
        start_at_boot: wire.start_on_boot,
        protection: false,
        smbios: Smbios {
            uuid: machine.identity().uuid(),
            serial: None,
        },
        randomness: true,
        cloud_init: None,
    })
}

fn firmware(machine: &v1::Machine) -> Result<Firmware, NameError> {
    Ok(match machine.firmware() {
        v1::Firmware::Ovmf => Firmware::Ovmf(EfiDisk {
            storage: machine.firmware_storage.parse()?,
            // With Microsoft's keys enrolled, Talos does not boot by Secure Boot.
            pre_enrolled_keys: false,
        }),
        v1::Firmware::Seabios | v1::Firmware::Unspecified => Firmware::SeaBios,
    })
}

fn disks(machine: &CheckedMachine) -> Result<BTreeMap<Slot, Disk>, Unspeakable> {
    let image = machine.image();
    let mut disks = BTreeMap::new();
    for (index, disk) in machine.as_wire().disks.iter().enumerate() {
        let Some(slot) = disk_slot(index) else {
            continue;
        };
        let source = if index == 0 && image.kind() == MachineImageKind::Disk {
            DiskSource::Import(image_volume(image)?)
        } else {
            DiskSource::Empty(DiskSize::gibibytes(disk.size_gibibytes))
        };
        let made = Disk {
            storage: disk.storage.parse()?,
            source,
            discard: disk.solid_state,
            ssd: disk.solid_state,
            iothread: false,
        };
        disks.insert(slot, made);
    }
    Ok(disks)
}

fn network(network: &v1::NetworkInterface) -> Result<Network, ValueError> {
    let made = Network::new(&network.bridge)?.firewall(network.firewall);
    match u16::try_from(network.vlan) {
        Ok(tag) if tag > 0 => made.vlan(tag),
        _ => Ok(made),
    }
}
