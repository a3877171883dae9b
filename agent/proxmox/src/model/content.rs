//! What lies on a storage.

use serde::{Deserialize, Deserializer};

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
