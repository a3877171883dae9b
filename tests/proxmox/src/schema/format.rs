//! The named formats of values (pve-common `JSONSchema.pm`, pve-storage `Plugin.pm`, qemu-server `Drive.pm`).

use super::address;

/// A named format. Lists (`…-list`) are separated by commas, semicolons, blanks or NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `pve-node`
    Node,
    /// `pve-storage-id`
    StorageId,
    /// `pve-storage-content`
    StorageContent,
    /// `pve-storage-content-list`
    StorageContentList,
    /// `pve-configid`
    ConfigId,
    /// `pve-configid-list`
    ConfigIdList,
    /// `pve-poolid`
    PoolId,
    /// `pve-bridge-id`
    BridgeId,
    /// `pve-volume-id`
    VolumeId,
    /// `pve-volume-id-or-qm-path`
    VolumeIdOrPath,
    /// `pve-volume-id-or-absolute-path`
    VolumeIdOrAbsolutePath,
    /// `pve-tag-list`
    TagList,
    /// `pve-task-status-type-list`
    TaskStatusList,
    /// `dns-name`
    DnsName,
    /// `address-list`
    AddressList,
    /// `mac-addr`
    MacAddress,
    /// `disk-size`
    DiskSize,
    /// `urlencoded`
    UrlEncoded,
    /// `pve-hotplug-features`
    Hotplug,
    /// `pve-startup-order`
    StartupOrder,
    /// `ipv4`
    Ipv4,
    /// `ipv6`
    Ipv6,
    /// `pve-ipv4-config`
    Ipv4Config,
    /// `pve-ipv6-config`
    Ipv6Config,
    /// `pve-qm-bootdev-list`
    BootDeviceList,
    /// `pve-vm-cpu-conf`
    Cpu,
    /// `CIDR`
    Cidr,
    /// `storage-pair-list`
    StoragePairList,
}

impl Format {
    /// The name in the published schema.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => "pve-node",
            Self::StorageId => "pve-storage-id",
            Self::StorageContent => "pve-storage-content",
            Self::StorageContentList => "pve-storage-content-list",
            Self::ConfigId => "pve-configid",
            Self::ConfigIdList => "pve-configid-list",
            Self::PoolId => "pve-poolid",
            Self::BridgeId => "pve-bridge-id",
            Self::VolumeId => "pve-volume-id",
            Self::VolumeIdOrPath => "pve-volume-id-or-qm-path",
            Self::VolumeIdOrAbsolutePath => "pve-volume-id-or-absolute-path",
            Self::TagList => "pve-tag-list",
            Self::TaskStatusList => "pve-task-status-type-list",
            Self::DnsName => "dns-name",
            Self::AddressList => "address-list",
            Self::MacAddress => "mac-addr",
            Self::DiskSize => "disk-size",
            Self::UrlEncoded => "urlencoded",
            Self::Hotplug => "pve-hotplug-features",
            Self::StartupOrder => "pve-startup-order",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Ipv4Config => "pve-ipv4-config",
            Self::Ipv6Config => "pve-ipv6-config",
            Self::BootDeviceList => "pve-qm-bootdev-list",
            Self::Cpu => "pve-vm-cpu-conf",
            Self::Cidr => "CIDR",
            Self::StoragePairList => "storage-pair-list",
        }
    }

    /// The message for a value that is not of this format.
    pub(crate) fn check(self, value: &str) -> Result<(), String> {
        let fault = |fine: bool, message: String| if fine { Ok(()) } else { Err(message) };
        match self {
            Self::Node => fault(
                node(value),
                "value does not look like a valid node name".to_owned(),
            ),
            Self::StorageId => storage_id(value),
            Self::StorageContent => content(value),
            Self::StorageContentList => list(value).try_for_each(content),
            Self::ConfigId => config_id(value),
            Self::ConfigIdList => list(value).try_for_each(config_id),
            Self::PoolId => {
                let fine = value
                    .split('/')
                    .all(|part| !part.is_empty() && part.chars().all(word_or(".-_")));
                fault(
                    fine,
                    format!("pool name '{value}' contains invalid characters"),
                )
            }
            Self::BridgeId => {
                let fine = !value.is_empty() && value.chars().all(word_or("-_."));
                fault(fine, format!("invalid bridge ID '{value}'"))
            }
            Self::VolumeIdOrPath
                if value == "none" || value == "cdrom" || value.starts_with('/') =>
            {
                Ok(())
            }
            Self::VolumeIdOrAbsolutePath if value.starts_with('/') => Ok(()),
            Self::VolumeId | Self::VolumeIdOrPath | Self::VolumeIdOrAbsolutePath => {
                volume_id(value)
            }
            Self::TagList => fault(list(value).all(tag), "invalid characters in tag".to_owned()),
            Self::TaskStatusList => list(value).try_for_each(|state| {
                let fine = ["unknown", "error", "warning", "ok"].contains(&state);
                fault(fine, format!("invalid status '{state}'"))
            }),
            Self::DiskSize => {
                let message = format!("value does not look like a valid disk size: {value}");
                fault(parse_size(value).is_some(), message)
            }
            Self::UrlEncoded => {
                let fine = value.chars().all(word_or("-%_.!~*'()"));
                fault(fine, format!("invalid urlencoded string: {value}"))
            }
            Self::Hotplug if value == "0" || value == "1" => Ok(()),
            Self::Hotplug => list(value).try_for_each(|feature| {
                let fine =
                    ["network", "disk", "cpu", "memory", "usb", "cloudinit"].contains(&feature);
                fault(fine, format!("invalid hotplug feature '{feature}'"))
            }),
            Self::StartupOrder => {
                let fine = value.split(',').all(|part| {
                    let number = part.split_once('=').map_or(part, |(_, number)| number);
                    number.parse::<u32>().is_ok()
                });
                fault(fine, "unable to parse startup options".to_owned())
            }
            Self::BootDeviceList => list(value).try_for_each(|device| {
                let name = device.trim_end_matches(|digit: char| digit.is_ascii_digit());
                let fine = name.len() < device.len()
                    && ["ide", "sata", "scsi", "virtio", "net", "usb", "hostpci"].contains(&name);
                fault(fine, format!("invalid boot device '{device}'"))
            }),
            Self::Cpu => cpu(value),
            Self::DnsName
            | Self::AddressList
            | Self::MacAddress
            | Self::Ipv4
            | Self::Ipv6
            | Self::Ipv4Config
            | Self::Ipv6Config
            | Self::Cidr => address::check(self, value),
            Self::StoragePairList => Ok(()),
        }
    }
}

/// The entries of a list (pve-common `JSONSchema.pm` `split_list`).
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', '\0', ' ', '\t', '\n'])
        .filter(|entry| !entry.is_empty())
}

/// Bytes of `32G`, `528K`, `4M`, `10`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().last()? {
        (at, 'K') => (text.get(..at)?, 1_u64 << 10),
        (at, 'M') => (text.get(..at)?, 1 << 20),
        (at, 'G') => (text.get(..at)?, 1 << 30),
        (at, 'T') => (text.get(..at)?, 1 << 40),
        _ => (text, 1),
    };
    let number: f64 = number
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "Proxmox VE computes sizes in floating point too, and takes the whole part"
    )]
    Some((number * unit as f64) as u64)
}

/// As Proxmox VE writes a size: the largest unit that leaves a whole number.
pub(crate) fn print_size(bytes: u64) -> String {
    for (shift, unit) in [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

pub(super) fn word_or(more: &'static str) -> impl Fn(char) -> bool {
    move |letter| letter.is_ascii_alphanumeric() || more.contains(letter)
}

fn node(value: &str) -> bool {
    !value.is_empty()
        && value.chars().all(word_or("-"))
        && !value.starts_with('-')
        && !value.ends_with('-')
}

fn storage_id(value: &str) -> Result<(), String> {
    if value.len() < 2 {
        return Err(format!(
            "storage ID '{value}' cannot be shorter than 2 characters"
        ));
    }
    let fine = value.starts_with(|first: char| first.is_ascii_alphabetic())
        && value.ends_with(|last: char| last.is_ascii_alphanumeric())
        && value.chars().all(word_or("-_."));
    if fine {
        Ok(())
    } else {
        Err(format!("storage ID '{value}' contains illegal characters"))
    }
}

fn content(value: &str) -> Result<(), String> {
    let fine = [
        "images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none",
    ]
    .contains(&value);
    if fine {
        Ok(())
    } else {
        Err(format!("invalid content type '{value}'"))
    }
}

fn config_id(value: &str) -> Result<(), String> {
    let fine = value.len() > 1
        && value.starts_with(|first: char| first.is_ascii_alphabetic())
        && value.chars().all(word_or("-_"));
    if fine {
        Ok(())
    } else {
        Err(format!("invalid configuration ID '{value}'"))
    }
}

fn volume_id(value: &str) -> Result<(), String> {
    let fine = value.split_once(':').is_some_and(|(storage, rest)| {
        storage_id(storage).is_ok() && !rest.is_empty() && !rest.contains('\n')
    });
    if fine {
        Ok(())
    } else {
        Err(format!("unable to parse volume ID '{value}'"))
    }
}

fn tag(value: &str) -> bool {
    value.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && value.chars().all(word_or("_-+."))
}

/// CPU types that qemu-server knows and this product may name (qemu-server `CPUConfig.pm`).
const CPU_TYPES: [&str; 12] = [
    "host",
    "max",
    "kvm64",
    "qemu64",
    "x86-64-v2",
    "x86-64-v2-AES",
    "x86-64-v3",
    "x86-64-v4",
    "EPYC",
    "EPYC-Rome",
    "Cascadelake-Server",
    "Skylake-Server",
];

fn cpu(value: &str) -> Result<(), String> {
    let mut parts = value.split(',');
    let first = parts.next().unwrap_or_default();
    let kind = first.strip_prefix("cputype=").unwrap_or(first);
    if kind.starts_with("custom-") || CPU_TYPES.contains(&kind) {
        Ok(())
    } else {
        Err(format!(
            "Built-in cputype '{kind}' is not defined (missing 'custom-' prefix?)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_as_proxmox_does() {
        assert_eq!(parse_size("32G"), Some(32 << 30));
        assert_eq!(parse_size("3.5G"), Some(3584 << 20));
        assert_eq!(parse_size("64GB"), None);
        assert_eq!(print_size(3584 << 20), "3584M");
        assert_eq!(print_size(528 << 10), "528K");
        assert_eq!(print_size(1 << 40), "1T");
        assert_eq!(print_size(1000), "1000");
    }

    /// facts §1.8: tags' characters; facts §5.2: sshkeys are urlencoded, never with `+`.
    #[test]
    fn formats_refuse_what_the_real_ones_refuse() {
        for (format, good, bad) in [
            (Format::DnsName, "a-1.example", "a_1"),
            (Format::TagList, "omni-scale;a_b", "with space!;é"),
            (
                Format::UrlEncoded,
                "ssh-ed25519%20AAAA%0A",
                "ssh-ed25519 AAAA",
            ),
            (Format::MacAddress, "BC:24:11:00:00:01", "01:24:11:00:00:01"),
            (Format::Node, "pve-1", "-pve"),
            (Format::Ipv4Config, "10.0.0.2/24", "10.0.0.2"),
            (Format::BootDeviceList, "scsi0;ide2", "floppy0"),
            (Format::VolumeId, "local:iso/a.iso", "/etc/passwd"),
            (Format::Cpu, "x86-64-v2-AES", "x86-64-v9"),
        ] {
            assert_eq!(format.check(good), Ok(()), "{format:?}");
            assert!(format.check(bad).is_err(), "{format:?}");
        }
    }
}
