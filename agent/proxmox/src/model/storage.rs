//! Storages, as one node sees them.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};

use crate::{StorageId, tolerant};

use super::ContentKind;

/// A row of `/nodes/{node}/storage`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Storage {
    /// Its name.
    pub storage: StorageId,
    /// Such as `dir`, `lvmthin`, `zfspool`, `nfs`, `rbd`.
    #[serde(rename = "type", deserialize_with = "tolerant::required")]
    pub kind: String,
    /// What may lie on it.
    #[serde(deserialize_with = "contents")]
    pub content: BTreeSet<ContentKind>,
    /// Whether it is switched on.
    #[serde(default, deserialize_with = "tolerant::flag")]
    pub enabled: bool,
    /// Whether the node reaches it.
    #[serde(default, deserialize_with = "tolerant::flag")]
    pub active: bool,
    /// Whether all nodes see the same.
    #[serde(default, deserialize_with = "tolerant::flag")]
    pub shared: bool,
    /// In bytes; absent when the node does not reach it.
    #[serde(default, rename = "avail", deserialize_with = "tolerant::optional")]
    pub available: Option<u64>,
    /// In bytes.
    #[serde(default, deserialize_with = "tolerant::optional")]
    pub total: Option<u64>,
}

fn contents<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<ContentKind>, D::Error> {
    let list: String = tolerant::required(deserializer)?;
    let kinds = list.split([',', ' ', ';']).filter(|kind| !kind.is_empty());
    Ok(kinds.map(ContentKind::read).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn contents_are_a_set() {
        let storage: Storage = from_value(json!({
            "storage": "local", "type": "dir", "content": "iso,import,vztmpl,snippets", "enabled": 1,
            "active": "1", "shared": 0, "avail": "1073741824", "used_fraction": 0.1,
        }))
        .unwrap();
        assert!(storage.content.contains(&ContentKind::Import));
        assert!(
            storage
                .content
                .contains(&ContentKind::Other("snippets".into()))
        );
        assert!(storage.active && !storage.shared);
        assert_eq!(storage.available, Some(1 << 30));
    }
}
