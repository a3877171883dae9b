//! A VM's configuration: the one place where a VM says whose it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    DiskSize, PropertyString, Slot, Smbios, TagList, VolumeId,
    tolerant::{self, Loose},
};

/// The answer to `GET …/config`: keys and values as written, with readers for those that we need.
///
/// While a VM is being made its configuration is `lock: create` and nothing else: no name, no tags, no uuid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmConfig(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for VmConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = BTreeMap::<String, Value>::deserialize(deserializer)?;
        let entries = values
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| {
                let text = String::loose(&value).unwrap_or_else(|| value.to_string());
                (key, text)
            });
        let config = Self(entries.collect());
        if config.digest().is_none() {
            return Err(de::Error::missing_field("digest"));
        }
        Ok(config)
    }
}

/// A disk or CD drive of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredDisk {
    /// Where it is attached.
    pub slot: Slot,
    /// What lies in it; absent for an empty CD drive, and for what is not on a storage.
    pub volume: Option<VolumeId>,
    /// As written in the configuration; absent for CD drives of some storages.
    pub size: Option<DiskSize>,
    /// Whether it is a CD drive.
    pub cdrom: bool,
    /// All of it.
    pub options: PropertyString,
}

impl VmConfig {
    /// A value as written.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Every key and value, the digest included.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// What a change passes back, so that it is refused if the configuration is another one by then. Always there
    /// in what was read.
    pub fn digest(&self) -> Option<&str> {
        self.get("digest")
    }

    /// What the VM is locked for.
    pub fn lock(&self) -> Option<&str> {
        self.get("lock")
    }

    /// The name, which is the guest's host name.
    pub fn name(&self) -> Option<&str> {
        self.get("name")
    }

    /// The notes.
    pub fn description(&self) -> Option<&str> {
        self.get("description")
    }

    /// The SMBIOS settings; `None` when they are absent or cannot be read.
    pub fn smbios(&self) -> Option<Smbios> {
        self.get("smbios1").and_then(|text| text.parse().ok())
    }

    /// The uuid by which the guest, Omni and we know the VM.
    pub fn uuid(&self) -> Option<Uuid> {
        let properties: PropertyString = self.get("smbios1")?.parse().ok()?;
        properties.get("uuid")?.parse().ok()
    }

    /// The tags.
    pub fn tags(&self) -> TagList {
        TagList::read(self.get("tags").unwrap_or_default())
    }

    /// Whether the VM may not be removed.
    pub fn protected(&self) -> bool {
        self.get("protection")
            .and_then(tolerant::boolean)
            .unwrap_or(false)
    }

    /// In MiB.
    pub fn memory(&self) -> Option<u64> {
        let properties: PropertyString = self.get("memory")?.parse().ok()?;
        properties
            .lone()
            .or_else(|| properties.get("current"))?
            .parse()
            .ok()
    }

    /// Processor cores of each socket.
    pub fn cores(&self) -> Option<u64> {
        self.get("cores")?.parse().ok()
    }

    /// Disks and CD drives, in the order of their slots.
    pub fn disks(&self) -> Vec<ConfiguredDisk> {
        let disks = self.0.iter().filter_map(|(key, value)| {
            let slot: Slot = key.parse().ok()?;
            let options: PropertyString = value.parse().ok()?;
            let volume = options.lone().or_else(|| options.get("file"));
            Some(ConfiguredDisk {
                slot,
                volume: volume.and_then(|volume| volume.parse().ok()),
                size: options.get("size").and_then(|size| size.parse().ok()),
                cdrom: options.get("media") == Some("cdrom"),
                options,
            })
        });
        let mut disks: Vec<_> = disks.collect();
        disks.sort_by_key(|disk| disk.slot);
        disks
    }

    /// `net0`, `net1`, … with their parts.
    pub fn networks(&self) -> BTreeMap<u8, PropertyString> {
        let networks = self.0.iter().filter_map(|(key, value)| {
            let number = key.strip_prefix("net")?.parse().ok()?;
            Some((number, value.parse().ok()?))
        });
        networks.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_configuration_says_whose_it_is() {
        let config: VmConfig = from_value(json!({
            "digest": "0b1c", "name": "talos-1", "memory": "4096", "cores": 4, "protection": 1,
            "smbios1": "base64=1,uuid=3f2a0000-0000-5000-8000-000000000001,serial=eA==",
            "tags": "omni-scale;Group_x", "description": "made by omni-scale\n",
            "scsi10": "local-lvm:vm-105-disk-2,size=1G",
            "scsi0": "local-lvm:vm-105-disk-1,discard=on,size=32G", "scsihw": "virtio-scsi-pci",
            "ide2": "local:iso/seed.iso,media=cdrom,size=366K", "ide0": "none,media=cdrom",
            "net0": "virtio=BC:24:11:2A:00:01,bridge=vmbr0", "boot": "order=scsi0;ide2",
        }))
        .unwrap();
        assert_eq!(
            config.uuid().unwrap().to_string(),
            "3f2a0000-0000-5000-8000-000000000001"
        );
        assert_eq!(config.smbios().unwrap().serial.as_deref(), Some("x"));
        assert_eq!(
            (config.memory(), config.cores(), config.lock()),
            (Some(4096), Some(4), None)
        );
        assert!(config.protected() && config.tags().contains("group_x"));
        let disks = config.disks();
        let slots: Vec<_> = disks.iter().map(|disk| disk.slot.to_string()).collect();
        assert_eq!(slots, ["ide0", "ide2", "scsi0", "scsi10"]);
        assert!(disks[0].cdrom && disks[0].volume.is_none());
        assert_eq!(disks[1].volume.as_ref().unwrap().path(), "iso/seed.iso");
        assert_eq!(disks[2].size.unwrap(), DiskSize::gibibytes(32));
        assert_eq!(config.networks()[&0].get("bridge"), Some("vmbr0"));
    }

    #[test]
    fn a_half_made_vm_has_a_lock_and_nothing_else() {
        let config: VmConfig =
            from_value(json!({ "lock": "create", "digest": "da39a3ee" })).unwrap();
        assert_eq!(
            (config.lock(), config.uuid(), config.name()),
            (Some("create"), None, None)
        );
    }

    #[test]
    fn without_a_digest_it_is_no_configuration() {
        assert!(from_value::<VmConfig>(json!({ "name": "x" })).is_err());
        assert!(from_value::<VmConfig>(json!(null)).is_err());
    }
}
