//! Certificates that are refused although they are valid. Pushed by the coordinator, kept on disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use serde::{Deserialize, Serialize};

use crate::error::{Classified, Kind};
use crate::files::{self, FileError};

/// How many serial numbers a list may hold.
pub const ENTRIES_MAXIMUM: usize = 10_000;
const FILE_LIMIT: u64 = 1 << 20;

/// The list in force.
#[derive(Debug)]
pub struct DenyList {
    path: PathBuf,
    current: RwLock<Entries>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    version: u64,
    serials: BTreeSet<String>,
}

/// Why a list is not taken or not read.
#[derive(Debug, thiserror::Error)]
pub enum DenyListError {
    /// An older list must not come back.
    #[error("deny list version {offered} is not newer than {current}")]
    NotNewer {
        /// What was offered.
        offered: u64,
        /// What is in force.
        current: u64,
    },
    /// An entry is no serial number, or there are too many.
    #[error(
        "the deny list holds `{entry}`, which is not a serial number in lower-case hex, or more than {ENTRIES_MAXIMUM} entries"
    )]
    Invalid {
        /// The first bad entry; empty when there are too many.
        entry: String,
    },
    /// The file cannot be written or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not a deny list. Everybody would be let in, so nobody is.
    #[error("the deny list at `{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
}

impl Classified for DenyListError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotNewer { .. } => Kind::Stale,
            Self::Invalid { .. } => Kind::Invalid,
            Self::File(_) => Kind::Fault,
            Self::Damaged { .. } => Kind::Damaged,
        }
    }
}

impl DenyList {
    /// Reads the list; none is an empty one.
    pub fn load(path: &Path) -> Result<Self, DenyListError> {
        let current = match files::read(path, FILE_LIMIT)? {
            None => Entries::default(),
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| DenyListError::Damaged {
                    path: path.to_owned(),
                    source,
                })?
            }
        };
        Ok(Self {
            path: path.to_owned(),
            current: RwLock::new(current),
        })
    }

    /// Whether this serial number is refused.
    pub fn refuses(&self, serial: &str) -> bool {
        self.read(|entries| entries.serials.contains(serial))
    }

    /// The version in force. 0: none was ever pushed.
    pub fn version(&self) -> u64 {
        self.read(|entries| entries.version)
    }

    /// Puts a newer list in force, on disk first. The same version with the same entries is no fault.
    pub fn replace(&self, version: u64, serials: &[String]) -> Result<(), DenyListError> {
        let valid = |serial: &&String| {
            !serial.is_empty()
                && serial.len() <= 80
                && serial
                    .chars()
                    .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
        };
        if let Some(entry) = serials.iter().find(|serial| !valid(serial)) {
            return Err(DenyListError::Invalid {
                entry: entry.chars().take(80).collect(),
            });
        }
        if serials.len() > ENTRIES_MAXIMUM {
            return Err(DenyListError::Invalid {
                entry: String::new(),
            });
        }
        let new = Entries {
            version,
            serials: serials.iter().cloned().collect(),
        };
        let mut current = self
            .current
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if version == current.version && new.serials == current.serials {
            return Ok(());
        }
        if version <= current.version {
            return Err(DenyListError::NotNewer {
                offered: version,
                current: current.version,
            });
        }
        let bytes = serde_json::to_vec(&new).expect("numbers and strings always serialize");
        files::write_atomically(&self.path, &bytes, 0o600)?;
        *current = new;
        Ok(())
    }

    fn read<T>(&self, read: impl FnOnce(&Entries) -> T) -> T {
        read(
            &self
                .current
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_list_is_kept_and_an_older_one_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deny-list.json");
        let list = DenyList::load(&path).unwrap();
        assert!(!list.refuses("0a"));
        list.replace(2, &["0a".to_owned()]).unwrap();
        list.replace(2, &["0a".to_owned()]).unwrap();
        assert!(matches!(
            list.replace(1, &[]),
            Err(DenyListError::NotNewer { .. })
        ));
        assert!(matches!(
            list.replace(2, &[]),
            Err(DenyListError::NotNewer { .. })
        ));
        let again = DenyList::load(&path).unwrap();
        assert!(again.refuses("0a") && again.version() == 2);
    }

    #[test]
    fn a_damaged_list_lets_nobody_in() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deny-list.json");
        files::write_atomically(&path, b"{", 0o600).unwrap();
        assert!(matches!(
            DenyList::load(&path),
            Err(DenyListError::Damaged { .. })
        ));
    }

    #[test]
    fn what_is_no_serial_number_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let list = DenyList::load(&directory.path().join("deny-list.json")).unwrap();
        assert!(list.replace(1, &["XY".to_owned()]).is_err());
        assert!(list.replace(1, &[String::new()]).is_err());
        assert_eq!(list.version(), 0);
    }
}
