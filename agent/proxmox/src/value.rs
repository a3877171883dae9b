//! What is sent: values that the API takes as text, built so that only right ones can be written.

mod boot;
mod change;
mod cloud_init;
mod disk;
mod ip;
mod keys;
mod network;
mod property;
mod settings;
mod size;
mod slot;
mod smbios;
mod tags;

use thiserror::Error;

pub use boot::BootOrder;
pub use change::VmChange;
pub use cloud_init::CloudInit;
pub use disk::{Cdrom, Disk, DiskSource, EfiDisk};
pub use ip::{IpConfig, Ipv4, Ipv6};
pub use keys::SshKeys;
pub use network::{MacAddress, Network};
pub use property::PropertyString;
pub use settings::{Firmware, Screen, ScsiController, VmSettings};
pub use size::DiskSize;
pub use slot::{Bus, Slot};
pub use smbios::Smbios;
pub use tags::TagList;

/// Why a value cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not {wanted}")]
pub struct ValueError {
    /// The text, cut to 100 characters.
    pub text: String,
    /// What it should have been, in words.
    pub wanted: &'static str,
}

impl ValueError {
    pub(crate) fn new(text: &str, wanted: &'static str) -> Self {
        Self {
            text: text.chars().take(100).collect(),
            wanted,
        }
    }
}

#[cfg(test)]
pub(crate) use settings::tests::talos;
