//! Storages, what lies on them, and the calls that list and remove it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::access::Caller;
use crate::answer::{Handled, Success};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::jobs::Job;
use crate::refusal::Refusal;
use crate::schema;

/// A storage, as `storage.cfg` declares it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// `dir`, `nfs`, `lvmthin`, `zfspool`, `rbd`…
    pub kind: String,
    /// Content types: `images`, `iso`, `import`…
    pub content: BTreeSet<String>,
    /// Whether all nodes see the same.
    #[serde(default)]
    pub shared: bool,
    /// Bytes, on each node unless shared.
    pub total: u64,
    /// Nodes that have it; all by default.
    #[serde(default)]
    pub nodes: Option<BTreeSet<String>>,
    /// Whether it may be used at all.
    #[serde(default)]
    pub disabled: bool,
}

impl Storage {
    /// Whether it holds files in a directory.
    pub(crate) fn has_path(&self) -> bool {
        ["dir", "nfs", "cifs", "cephfs", "btrfs"].contains(&self.kind.as_str())
    }

    fn on(&self, node: &str) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.contains(node))
    }

    /// The format that new disks get.
    pub(crate) fn format(&self) -> &'static str {
        if self.has_path() { "qcow2" } else { "raw" }
    }
}

/// Something that lies on a storage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Volume {
    /// The node whose storage it is; `None` on a shared one.
    pub node: Option<String>,
    /// `STORAGE:NAME`.
    pub id: String,
    /// Its content type.
    pub content: String,
    /// `iso`, `raw`, `qcow2`…
    pub format: String,
    /// Bytes; for a disk or an image its virtual size.
    pub size: u64,
    /// The VM that it belongs to.
    pub vmid: Option<u32>,
    /// Seconds since the epoch.
    pub created: u64,
    /// Its bytes in base64, if they were uploaded.
    pub bytes: Option<String>,
    /// Its SHA-256, if that is known without its bytes.
    pub sha256: Option<String>,
}

impl Volume {
    fn key(&self) -> String {
        format!("{}/{}", self.node.as_deref().unwrap_or("*"), self.id)
    }
}

/// Storage and name of a volume id.
pub(crate) fn split(id: &str) -> Option<(&str, &str)> {
    id.split_once(':')
}

/// The content type of a volume's name, and the VM that owns it (pve-storage `Plugin.pm` `parse_volname`).
pub(crate) fn kind_of(name: &str) -> Option<(&'static str, Option<u32>)> {
    for kind in ["iso", "import", "vztmpl", "snippets", "backup"] {
        if name
            .strip_prefix(kind)
            .is_some_and(|rest| rest.starts_with('/'))
        {
            return Some((kind, None));
        }
    }
    let file = name.rsplit('/').next().unwrap_or(name);
    let owner = file
        .strip_prefix("vm-")
        .or_else(|| file.strip_prefix("base-"))?;
    Some(("images", Some(owner.split('-').next()?.parse().ok()?)))
}

impl Cluster {
    /// The storage, if that node may use it (pve-storage `Storage.pm` `storage_check_enabled`).
    pub(crate) fn storage_on(&self, node: &str, name: &str) -> Result<&Storage, String> {
        let storage = self
            .storages
            .get(name)
            .ok_or_else(|| format!("storage '{name}' does not exist"))?;
        if storage.disabled {
            return Err(format!("storage '{name}' is disabled"));
        }
        if !storage.on(node) {
            return Err(format!(
                "storage '{name}' is not available on node '{node}'"
            ));
        }
        Ok(storage)
    }

    fn place(&self, node: &str, id: &str) -> String {
        let shared = split(id)
            .and_then(|(storage, _)| self.storages.get(storage))
            .is_some_and(|storage| storage.shared);
        format!("{}/{id}", if shared { "*" } else { node })
    }

    /// A volume as that node sees it.
    pub fn volume(&self, node: &str, id: &str) -> Option<&Volume> {
        self.volumes.get(&self.place(node, id))
    }

    pub(crate) fn volume_mut(&mut self, node: &str, id: &str) -> Option<&mut Volume> {
        let place = self.place(node, id);
        self.volumes.get_mut(&place)
    }

    /// Bytes that are left.
    pub(crate) fn available(&self, node: &str, storage: &str) -> u64 {
        let total = self
            .storages
            .get(storage)
            .map_or(0, |storage| storage.total);
        total.saturating_sub(self.used(node, storage))
    }

    fn used(&self, node: &str, storage: &str) -> u64 {
        let here = |volume: &&Volume| {
            volume.node.as_deref().is_none_or(|at| at == node)
                && split(&volume.id).is_some_and(|(name, _)| name == storage)
        };
        self.volumes
            .values()
            .filter(here)
            .map(|volume| volume.size)
            .sum()
    }

    /// Puts a volume where that node keeps it, over one of the same name.
    pub fn put_volume(&mut self, node: &str, mut volume: Volume) {
        let shared = split(&volume.id)
            .and_then(|(name, _)| self.storages.get(name))
            .is_some_and(|storage| storage.shared);
        volume.node = (!shared).then(|| node.to_owned());
        volume.created = self.now / 1000;
        self.volumes.insert(volume.key(), volume);
    }

    /// Allocates a disk and gives its id. The name is the first that is free.
    pub(crate) fn allocate(
        &mut self,
        node: &str,
        storage: &str,
        vmid: u32,
        suffix: Option<&str>,
        format: Option<&str>,
        bytes: u64,
    ) -> Result<String, String> {
        let definition = self.storage_on(node, storage)?;
        let format = format.unwrap_or_else(|| definition.format()).to_owned();
        let (in_files, thin) = (definition.has_path(), definition.kind.as_str() == "lvmthin");
        let name = |stem: &str| {
            if in_files {
                format!("{storage}:{vmid}/{stem}.{format}")
            } else {
                format!("{storage}:{stem}")
            }
        };
        let id = match suffix {
            Some(suffix) => name(&format!("vm-{vmid}-{suffix}")),
            None => (0..u32::MAX)
                .map(|number| name(&format!("vm-{vmid}-disk-{number}")))
                .find(|id| self.volume(node, id).is_none())
                .unwrap_or_default(),
        };
        if self.available(node, storage) < bytes {
            let stem = id.rsplit([':', '/']).next().unwrap_or_default();
            return Err(if thin {
                format!("lvcreate '{storage}/{stem}' error:   insufficient free space")
            } else {
                format!("unable to create image '{stem}': No space left on device")
            });
        }
        let volume = Volume {
            node: None,
            id: id.clone(),
            content: "images".to_owned(),
            format: if in_files { format } else { "raw".to_owned() },
            size: bytes,
            vmid: Some(vmid),
            created: 0,
            bytes: None,
            sha256: None,
        };
        self.put_volume(node, volume);
        Ok(id)
    }

    /// Frees a volume; one that is gone is no error here.
    pub(crate) fn free(&mut self, node: &str, id: &str) {
        let place = self.place(node, id);
        self.volumes.remove(&place);
    }

    /// pve-storage `Storage.pm` `check_volume_access`.
    pub(crate) fn check_volume_access(
        &self,
        caller: &Caller,
        vmid: Option<u32>,
        id: &str,
    ) -> Result<(), Refusal> {
        let Some((storage, name)) = split(id) else {
            return Err(Refusal::died(
                "Only root can pass arbitrary filesystem paths.",
            ));
        };
        if !self.storages.contains_key(storage) {
            return Err(Refusal::died(format!("storage '{storage}' does not exist")));
        }
        let path = format!("/storage/{storage}");
        let (kind, owner) = kind_of(name).ok_or_else(|| {
            Refusal::died(format!("unable to parse directory volume name '{name}'"))
        })?;
        if self.access.may(caller, &path, "Datastore.Allocate") {
            return Ok(());
        }
        match kind {
            "iso" | "vztmpl" | "import" => self.access.check_any(
                caller,
                &path,
                &["Datastore.AllocateSpace", "Datastore.Audit"],
            ),
            _ if owner.is_some() && owner == vmid => Ok(()),
            _ => self.access.check(caller, &path, &["Datastore.Allocate"]),
        }
    }

    pub(crate) fn list_storages(&self, call: &Call) -> Handled {
        let node = call.node();
        let wanted: Vec<&str> = call
            .get("content")
            .map(|text| schema::list(text).collect())
            .unwrap_or_default();
        if let Some(name) = call
            .get("storage")
            .filter(|name| !self.storages.contains_key(*name))
        {
            let _ = name;
            return Err(Refusal::parameter("storage", "No such storage."));
        }
        let rows: Vec<Value> = self
            .storages
            .iter()
            .filter(|(name, _)| call.get("storage").is_none_or(|wanted| wanted == *name))
            .filter(|(_, storage)| storage.on(node) && !(call.flag("enabled") && storage.disabled))
            .filter(|(_, storage)| {
                wanted.is_empty() || wanted.iter().any(|kind| storage.content.contains(*kind))
            })
            .filter(|(name, _)| {
                let path = format!("/storage/{name}");
                self.access
                    .check_any(
                        &call.caller,
                        &path,
                        &["Datastore.Audit", "Datastore.AllocateSpace"],
                    )
                    .is_ok()
            })
            .map(|(name, storage)| self.storage_row(node, name, storage))
            .collect();
        Ok(Success::new(rows))
    }

    fn storage_row(&self, node: &str, name: &str, storage: &Storage) -> Value {
        let content: Vec<&str> = storage.content.iter().map(String::as_str).collect();
        let used = self.used(node, name);
        let mut row = json!({
            "storage": name,
            "type": storage.kind,
            "content": content.join(","),
            "shared": u8::from(storage.shared),
            "enabled": u8::from(!storage.disabled),
            "active": u8::from(!storage.disabled),
        });
        if !storage.disabled {
            row["total"] = json!(storage.total);
            row["used"] = json!(used);
            row["avail"] = json!(storage.total.saturating_sub(used));
        }
        row
    }

    pub(crate) fn content(&self, call: &Call) -> Handled {
        let (node, storage) = (call.node(), call.get("storage").unwrap_or_default());
        self.storage_on(node, storage).map_err(Refusal::Died)?;
        let vmid = call.number("vmid");
        let rows: Vec<Value> = self
            .volumes
            .values()
            .filter(|volume| volume.node.as_deref().is_none_or(|at| at == node))
            .filter(|volume| split(&volume.id).is_some_and(|(name, _)| name == storage))
            .filter(|volume| call.get("content").is_none_or(|wanted| wanted == volume.content))
            .filter(|volume| vmid.is_none_or(|vmid| volume.vmid.map(i64::from) == Some(vmid)))
            .filter(|volume| self.check_volume_access(&call.caller, None, &volume.id).is_ok())
            .map(|volume| {
                let mut row = json!({"volid": volume.id, "content": volume.content, "format": volume.format,
                    "size": volume.size, "ctime": volume.created});
                if let Some(vmid) = volume.vmid {
                    row["vmid"] = json!(vmid);
                }
                row
            })
            .collect();
        Ok(Success::new(rows))
    }

    /// pve-storage `API2/Storage/Content.pm` `delete`: needs Datastore.Allocate, and a file that is gone fails in the
    /// task.
    pub(crate) fn delete_content(&mut self, call: &Call) -> Handled {
        let node = call.node();
        let volume = call.get("volume").unwrap_or_default();
        let id = match (split(volume), call.get("storage")) {
            (Some((storage, _)), Some(asked)) if storage != asked => {
                let text = format!("storage ID missmatch ({asked} != {storage})");
                return Err(Refusal::parameter("volume", text));
            }
            (Some(_), _) => volume.to_owned(),
            (None, Some(storage)) => format!("{storage}:{volume}"),
            (None, None) => {
                return Err(Refusal::parameter(
                    "volume",
                    "no storage specified - incomplete volume ID",
                ));
            }
        };
        let (storage, name) = split(&id).unwrap_or_default();
        let (_, owner) = kind_of(name).ok_or_else(|| {
            Refusal::died(format!("unable to parse directory volume name '{name}'"))
        })?;
        self.storage_on(node, storage).map_err(Refusal::Died)?;
        self.access.check(
            &call.caller,
            &format!("/storage/{storage}"),
            &["Datastore.Allocate"],
        )?;
        let worker = owner.map_or_else(|| storage.to_owned(), |vmid| format!("{vmid}@{storage}"));
        let due = self.settings.remove_ms;
        let job = Job::Remove {
            id: id.clone(),
            started: false,
        };
        let upid = self.spawn(&call.caller, node, "imgdel", &worker, job)?;
        if call
            .number("delay")
            .is_some_and(|delay| i64::try_from(due).is_ok_and(|due| due < delay * 1000))
        {
            return self.wait_for(&upid);
        }
        Ok(Success::new(upid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volumes_name_says_what_it_is_and_whose() {
        assert_eq!(kind_of("iso/a.iso"), Some(("iso", None)));
        assert_eq!(kind_of("import/a.qcow2"), Some(("import", None)));
        assert_eq!(kind_of("vm-100-disk-0"), Some(("images", Some(100))));
        assert_eq!(
            kind_of("100/vm-100-disk-0.qcow2"),
            Some(("images", Some(100)))
        );
        assert_eq!(kind_of("something"), None);
    }
}
