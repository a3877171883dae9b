//! What lies on a storage.

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::{Vmid, VolumeId, tolerant};

/// What a file or disk is to a storage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContentKind {
    /// Disks of VMs.
    Images,
    /// CD images.
    Iso,
    /// Images to import disks from (8.4 and newer for plain `.qcow2`).
    Import,
    /// Anything else, as the API names it.
    Other(String),
}

impl ContentKind {
    /// As the API names it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Images => "images",
            Self::Iso => "iso",
            Self::Import => "import",
            Self::Other(name) => name,
        }
    }

    pub(crate) fn read(name: &str) -> Self {
        match name {
            "images" => Self::Images,
            "iso" => Self::Iso,
            "import" => Self::Import,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for ContentKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name: String = tolerant::required(deserializer)?;
        Ok(Self::read(&name))
    }
}

/// All rows but those whose names are none that could be ours: whoever puts a file onto a storage names it as they
/// like, and one with a space must not hide the others.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Contents(#[serde(deserialize_with = "ours")] pub(crate) Vec<Content>);

fn ours<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Content>, D::Error> {
    let rows = Vec::<Value>::deserialize(deserializer)?;
    let foreign = |row: &Value| {
        let name = row.get("volid").and_then(Value::as_str);
        name.is_some_and(|name| name.parse::<VolumeId>().is_err())
    };
    let rows = rows.into_iter().filter(|row| !foreign(row));
    rows.map(|row| serde_json::from_value(row).map_err(de::Error::custom))
        .collect()
}

/// A row of `/nodes/{node}/storage/{storage}/content`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Content {
    /// What it is called.
    #[serde(rename = "volid")]
    pub volume: VolumeId,
    /// What it is. PVE 8 leaves it out for some storages.
    #[serde(default, rename = "content")]
    pub kind: Option<ContentKind>,
    /// Such as `iso`, `raw`, `qcow2`.
    #[serde(default, deserialize_with = "tolerant::text")]
    pub format: Option<String>,
    /// In bytes.
    #[serde(default, deserialize_with = "tolerant::optional")]
    pub size: Option<u64>,
    /// Whose disk it is.
    #[serde(default, deserialize_with = "tolerant::optional")]
    pub vmid: Option<Vmid>,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn files_with_other_names_than_ours_hide_nothing() {
        let rows = json!([
            { "volid": "local:iso/Win 11.iso", "content": "iso", "size": 1 },
            { "volid": "local:iso/a,b.iso", "content": "iso", "size": 1 },
            { "volid": "local:iso/ours.iso", "content": "iso", "size": 7 },
        ]);
        let Contents(content) = from_value(rows).unwrap();
        assert_eq!(content.len(), 1);
        assert_eq!(content[0].volume.path(), "iso/ours.iso");
        // A row that has no name at all is nothing that the API says.
        assert!(from_value::<Contents>(json!([{ "size": 1 }])).is_err());
    }
}
