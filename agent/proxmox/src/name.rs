//! What things are called: nodes, storages, volumes, VMs. Each is checked where it comes in, and right from there on.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not {wanted}")]
pub struct NameError {
    /// The text, cut to 100 characters.
    pub text: String,
    /// What it should have been, in words.
    pub wanted: &'static str,
}

impl NameError {
    fn new(text: &str, wanted: &'static str) -> Self {
        Self {
            text: text.chars().take(100).collect(),
            wanted,
        }
    }
}

macro_rules! name {
    ($(#[$documentation:meta])* $name:ident, $wanted:literal, $accepts:expr) => {
        $(#[$documentation])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let accepts: fn(&str) -> bool = $accepts;
                if accepts(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError::new(text, $wanted))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

name!(
    /// A node of the cluster (`pve-node`).
    NodeName,
    "the name of a node",
    is_label
);
name!(
    /// A storage (`pve-storage-id`).
    StorageId,
    "the name of a storage",
    is_storage
);
name!(
    /// A file or disk on a storage: `STORAGE:PATH`, such as `local:iso/x.iso` or `local-lvm:vm-100-disk-0`.
    VolumeId,
    "a volume, `STORAGE:PATH`",
    is_volume
);
name!(
    /// The name of a VM: a DNS name (`dns-name`), because it becomes the guest's host name. No underscores.
    VmName,
    "a DNS name",
    |text| text.len() <= 253 && text.split('.').all(is_label)
);

impl VolumeId {
    /// The volume `path` of `storage`.
    pub fn new(storage: &StorageId, path: &str) -> Result<Self, NameError> {
        format!("{storage}:{path}").parse()
    }

    /// The storage it lies on.
    pub fn storage(&self) -> &str {
        self.0.split_once(':').map_or("", |(storage, _)| storage)
    }

    /// What the storage calls it, such as `iso/x.iso`.
    pub fn path(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, path)| path)
    }
}

/// A label of a DNS name; node names have the same form.
fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    text.len() <= 63
        && bytes.iter().all(inner)
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

fn is_storage(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    (2..=100).contains(&bytes.len())
        && bytes.iter().all(inner)
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

/// No spaces or control characters, and no comma, which would end it inside a property string.
fn is_volume(text: &str) -> bool {
    let plain = |path: &str| {
        let ordinary = |character: char| {
            !character.is_whitespace() && !character.is_control() && character != ','
        };
        !path.is_empty() && path.chars().all(ordinary)
    };
    text.len() <= 512
        && text
            .split_once(':')
            .is_some_and(|(storage, path)| is_storage(storage) && plain(path))
}

/// The number of a VM, 100 to 999,999,999 (`pve-vmid`). Unique in the cluster, and given again once it is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vmid(u32);

impl Vmid {
    /// The VMID `number`.
    pub fn new(number: u64) -> Result<Self, NameError> {
        u32::try_from(number)
            .ok()
            .filter(|number| (100..=999_999_999).contains(number))
            .map(Self)
            .ok_or_else(|| NameError::new(&number.to_string(), "a VMID, 100 to 999999999"))
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Vmid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::tolerant::required(deserializer)
    }
}

impl Serialize for Vmid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl FromStr for Vmid {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NameError::new(text, "a VMID, 100 to 999999999");
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error());
        }
        text.parse().map_err(|_| error()).and_then(Self::new)
    }
}

impl fmt::Display for Vmid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_proxmoxs_formats() {
        for (node, accepted) in [
            ("pve1", true),
            ("pve-1", true),
            ("1", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("a.b", false),
            ("a/b", false),
        ] {
            assert_eq!(node.parse::<NodeName>().is_ok(), accepted, "{node}");
        }
        for (storage, accepted) in [
            ("local-lvm", true),
            ("a_1.b", true),
            ("a", false),
            ("1a", false),
            ("a-", false),
            ("a/b", false),
        ] {
            assert_eq!(storage.parse::<StorageId>().is_ok(), accepted, "{storage}");
        }
        for (name, accepted) in [
            ("talos-1.lan", true),
            ("talos_1", false),
            ("a..b", false),
            ("", false),
        ] {
            assert_eq!(name.parse::<VmName>().is_ok(), accepted, "{name}");
        }
        for (volume, accepted) in [
            ("local:iso/x.iso", true),
            ("ab:vm-1-disk-0", true),
            ("local:", false),
            ("x", false),
            ("local:a,b", false),
            ("local:a b", false),
        ] {
            assert_eq!(volume.parse::<VolumeId>().is_ok(), accepted, "{volume}");
        }
    }

    #[test]
    fn vmids_have_a_range() {
        for (text, accepted) in [
            ("100", true),
            ("999999999", true),
            ("99", false),
            ("1000000000", false),
            ("+100", false),
            ("", false),
            ("99999999999999999999", false),
        ] {
            assert_eq!(text.parse::<Vmid>().is_ok(), accepted, "{text}");
        }
    }
}
