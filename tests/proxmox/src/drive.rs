//! One drive of a configuration: `STORAGE:VOLUME,option=value,…`.

use std::collections::BTreeMap;

use crate::schema::{self, DRIVE, EFI_DISK};

/// A drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drive {
    /// The volume, `none`, or `STORAGE:SIZE` for one to allocate.
    pub(crate) file: String,
    pub(crate) options: BTreeMap<String, String>,
}

/// What the `file` of a new drive asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing: an empty CD-ROM drive.
    Nothing,
    /// Proxmox VE's own cloud-init drive on this storage.
    CloudInit(String),
    /// A new volume of so many bytes; no storage means the default one.
    New { storage: Option<String>, bytes: u64 },
    /// A volume that is there.
    Existing { storage: String, name: String },
    /// A path or device of the host.
    Host,
}

impl Drive {
    pub(crate) fn parse(key: &str, value: &str) -> Result<Self, String> {
        let keys = if key.starts_with("efidisk") {
            EFI_DISK
        } else {
            DRIVE
        };
        let mut options = schema::parse_property_string(keys, value)?;
        let file = options
            .remove("file")
            .ok_or_else(|| "unable to parse drive options".to_owned())?;
        Ok(Self { file, options })
    }

    /// The volume first, then the options by name (pve-common `print_property_string`).
    pub(crate) fn print(&self) -> String {
        let options = self
            .options
            .iter()
            .map(|(name, value)| format!(",{name}={value}"));
        format!("{}{}", self.file, options.collect::<String>())
    }

    pub(crate) fn is_cdrom(&self) -> bool {
        self.file == "cdrom"
            || self
                .options
                .get("media")
                .is_some_and(|media| media == "cdrom")
    }

    pub(crate) fn is_cloud_init(&self) -> bool {
        self.file.contains("cloudinit")
    }

    pub(crate) fn size(&self) -> Option<u64> {
        self.options.get("size").and_then(|size| schema_size(size))
    }

    /// qemu-server `Drive.pm` `$NEW_DISK_RE`: `[STORAGE:]SIZE`, in GiB.
    pub(crate) fn wanted(&self) -> Wanted {
        let file = self.file.as_str();
        if file == "none" || file == "cdrom" {
            return Wanted::Nothing;
        }
        let (storage, name) = match file.split_once(':') {
            Some((storage, name)) => (Some(storage), name),
            None => (None, file),
        };
        let number = name
            .bytes()
            .all(|digit| digit.is_ascii_digit() || digit == b'.');
        if let Some(bytes) = number.then(|| schema_size(&format!("{name}G"))).flatten() {
            return Wanted::New {
                storage: storage.map(str::to_owned),
                bytes,
            };
        }
        match storage {
            Some(storage) if name == "cloudinit" => Wanted::CloudInit(storage.to_owned()),
            Some(storage) => Wanted::Existing {
                storage: storage.to_owned(),
                name: name.to_owned(),
            },
            None => Wanted::Host,
        }
    }
}

fn schema_size(text: &str) -> Option<u64> {
    schema::parse_size(text)
}

/// What a device key names, for sorting: `scsi2` before `scsi10`.
pub(crate) fn device_order(key: &str) -> (String, u32) {
    let name = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let number = key
        .strip_prefix(name)
        .and_then(|number| number.parse().ok())
        .unwrap_or(0);
    (name.to_owned(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// qemu-server `Qemu.pm`:122 and `Drive.pm`: what the part before the first comma may be.
    #[test]
    fn a_file_says_what_it_wants() {
        let wanted = |text: &str| Drive::parse("scsi0", text).unwrap().wanted();
        assert_eq!(
            wanted("fast:0"),
            Wanted::New {
                storage: Some("fast".to_owned()),
                bytes: 0
            }
        );
        assert_eq!(
            wanted("fast:32"),
            Wanted::New {
                storage: Some("fast".to_owned()),
                bytes: 32 << 30
            }
        );
        assert_eq!(wanted("none,media=cdrom"), Wanted::Nothing);
        assert_eq!(
            wanted("fast:cloudinit"),
            Wanted::CloudInit("fast".to_owned())
        );
        let iso = Wanted::Existing {
            storage: "local".to_owned(),
            name: "iso/a.iso".to_owned(),
        };
        assert_eq!(wanted("local:iso/a.iso,media=cdrom"), iso);
    }

    #[test]
    fn options_are_printed_by_name() {
        let drive = Drive::parse("scsi0", "ssd=on,discard=on,file=fast:vm-100-disk-0").unwrap();
        assert_eq!(drive.print(), "fast:vm-100-disk-0,discard=on,ssd=1");
    }

    #[test]
    fn devices_are_in_order_of_their_numbers() {
        assert!(device_order("scsi2") < device_order("scsi10"));
    }
}
