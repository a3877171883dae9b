//! The keys of drives, and which configuration keys are drives (qemu-server `Drive.pm`).

use super::{Format, Key, Kind, alias, key, key_default};

/// The keys that a drive on any bus may have, and those of one bus.
macro_rules! drive {
    ($($more:expr),*) => {
        &[
            key_default("file", Kind::Format(Format::VolumeIdOrPath)),
            alias("volume", "file"),
            key("aio", Kind::Enumeration(&["native", "threads", "io_uring"])),
            key("backup", Kind::Boolean),
            key("cache", Kind::Enumeration(&["none", "writethrough", "writeback", "unsafe", "directsync"])),
            key("discard", Kind::Enumeration(&["ignore", "on"])),
            key("format", Kind::Enumeration(&["raw", "qcow", "qed", "qcow2", "vmdk", "cloop"])),
            key("import-from", Kind::Format(Format::VolumeIdOrAbsolutePath)),
            key("media", Kind::Enumeration(&["cdrom", "disk"])),
            key("replicate", Kind::Boolean),
            key("shared", Kind::Boolean),
            key("size", Kind::Format(Format::DiskSize)),
            key("snapshot", Kind::Boolean),
            $($more),*
        ]
    };
}

/// `scsi[n]`; its keys are a superset of the other buses', so any drive can be read with it.
pub(crate) const DRIVE: &[Key] = drive!(key("ssd", Kind::Boolean), key("iothread", Kind::Boolean));

/// `ide[n]` and `sata[n]`.
pub(super) const IDE_DRIVE: &[Key] = drive!(key("ssd", Kind::Boolean));

/// `virtio[n]`.
pub(super) const VIRTIO_DRIVE: &[Key] = drive!(key("iothread", Kind::Boolean));

/// `efidisk0`.
pub(crate) const EFI_DISK: &[Key] = &[
    key_default("file", Kind::Format(Format::VolumeIdOrPath)),
    alias("volume", "file"),
    key("efitype", Kind::Enumeration(&["2m", "4m"])),
    key(
        "format",
        Kind::Enumeration(&["raw", "qcow", "qed", "qcow2", "vmdk", "cloop"]),
    ),
    key("import-from", Kind::Format(Format::VolumeIdOrAbsolutePath)),
    key(
        "ms-cert",
        Kind::Enumeration(&["2011", "2023", "2023w", "2023k"]),
    ),
    key("pre-enrolled-keys", Kind::Boolean),
    key("size", Kind::Format(Format::DiskSize)),
];

/// `tpmstate0`.
pub(super) const TPM_STATE: &[Key] = &[
    key_default("file", Kind::Format(Format::VolumeIdOrPath)),
    alias("volume", "file"),
    key("format", Kind::Enumeration(&["raw", "qcow2", "vmdk"])),
    key("import-from", Kind::Format(Format::VolumeIdOrAbsolutePath)),
    key("size", Kind::Format(Format::DiskSize)),
    key("version", Kind::Enumeration(&["v1.2", "v2.0"])),
];

/// Whether a configuration key holds a drive.
pub(crate) fn is_drive(key: &str) -> bool {
    let name = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
    name.len() < key.len()
        && ["ide", "sata", "scsi", "virtio", "efidisk", "tpmstate"].contains(&name)
}
