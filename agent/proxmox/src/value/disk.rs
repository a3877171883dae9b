//! Disks, the EFI disk and CD drives.

use std::fmt;

use crate::{StorageId, VolumeId};

use super::{DiskSize, PropertyString};

/// What a new disk holds at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskSource {
    /// Nothing; this size, rounded up to whole GiB.
    Empty(DiskSize),
    /// An image of content type `import`, whose size it has until it is resized.
    Import(VolumeId),
}

/// A new disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Where it is made.
    pub storage: StorageId,
    /// What it holds.
    pub source: DiskSource,
    /// Passes on what the guest no longer uses: for thin storages.
    pub discard: bool,
    /// Says to the guest that it is solid.
    pub ssd: bool,
    /// A thread of its own; has an effect with `virtio-scsi-single` only.
    pub iothread: bool,
}

impl fmt::Display for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut disk = match &self.source {
            DiskSource::Empty(size) => {
                PropertyString::alone(format!("{}:{}", self.storage, size.gibibytes_up()))
            }
            // The size of an import must be literally 0 (qemu-server, API2/Qemu.pm).
            DiskSource::Import(image) => {
                PropertyString::alone(format!("{}:0", self.storage)).with("import-from", image)
            }
        };
        if self.discard {
            disk = disk.with("discard", "on");
        }
        if self.ssd {
            disk = disk.flag("ssd", true);
        }
        if self.iothread {
            disk = disk.flag("iothread", true);
        }
        disk.fmt(formatter)
    }
}

/// Where OVMF keeps its variables. Without one, boot entries are lost at each stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EfiDisk {
    /// Where it is made.
    pub storage: StorageId,
    /// Microsoft's keys: with them Talos does not boot by Secure Boot, without them it can enrol its own.
    pub pre_enrolled_keys: bool,
}

impl fmt::Display for EfiDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        PropertyString::alone(format!("{}:1", self.storage))
            .with("efitype", "4m")
            .flag("pre-enrolled-keys", self.pre_enrolled_keys)
            .fmt(formatter)
    }
}

/// What lies in a CD drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cdrom {
    /// Nothing.
    Empty,
    /// An ISO.
    Volume(VolumeId),
    /// The data that Proxmox makes of the cloud-init keys, kept on this storage.
    CloudInit(StorageId),
}

impl fmt::Display for Cdrom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let drive = match self {
            Self::Empty => PropertyString::alone("none"),
            Self::Volume(volume) => PropertyString::alone(volume),
            Self::CloudInit(storage) => PropertyString::alone(format!("{storage}:cloudinit")),
        };
        drive.with("media", "cdrom").fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_written_as_the_api_takes_them() {
        let storage: StorageId = "local-lvm".parse().unwrap();
        let mut disk = Disk {
            storage: storage.clone(),
            source: DiskSource::Empty(DiskSize::gibibytes(32)),
            discard: true,
            ssd: true,
            iothread: false,
        };
        assert_eq!(disk.to_string(), "local-lvm:32,discard=on,ssd=1");
        disk = Disk {
            source: DiskSource::Import("local:import/debian-13-3f2a.qcow2".parse().unwrap()),
            ssd: false,
            iothread: true,
            ..disk
        };
        assert_eq!(
            disk.to_string(),
            "local-lvm:0,import-from=local:import/debian-13-3f2a.qcow2,discard=on,iothread=1"
        );
        let efi = EfiDisk {
            storage: storage.clone(),
            pre_enrolled_keys: false,
        };
        assert_eq!(
            efi.to_string(),
            "local-lvm:1,efitype=4m,pre-enrolled-keys=0"
        );
        let iso = Cdrom::Volume("local:iso/seed-3f2a.iso".parse().unwrap());
        assert_eq!(iso.to_string(), "local:iso/seed-3f2a.iso,media=cdrom");
        assert_eq!(Cdrom::Empty.to_string(), "none,media=cdrom");
        assert_eq!(
            Cdrom::CloudInit(storage).to_string(),
            "local-lvm:cloudinit,media=cdrom"
        );
    }
}
