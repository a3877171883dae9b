//! What the agent remembers across restarts: JSON files, each replaced as a whole and on the disk before the agent
//! goes on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::{Classified, Kind, chain};
use crate::files::{self, FileError};

/// The format that this program writes, and the only one that it reads. Each record has it as its field `format`.
pub const FORMAT: u32 = 1;
/// The largest record that is read, in bytes: certificates and user-data may stand in it.
const LARGEST: u64 = 8 * 1024 * 1024;

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The disk did not do what it should.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is none of ours.
    #[error("`{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        #[source]
        source: serde_json::Error,
    },
    /// Another version of the agent wrote it.
    #[error("`{}` has format {found}; this agent knows format {FORMAT}", path.display())]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

impl Classified for RecordError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(_) => Kind::Fault,
            Self::Damaged { .. } | Self::OtherFormat { .. } => Kind::Damaged,
        }
    }
}

/// Reads a record. `None`: there is none. Blocks.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RecordError> {
    match files::read(path, LARGEST)? {
        None => Ok(None),
        Some(contents) => decode(path, &contents).map(Some),
    }
}

/// Understands the contents of a record; `path` is for messages.
pub fn decode<T: DeserializeOwned>(path: &Path, contents: &[u8]) -> Result<T, RecordError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |source| RecordError::Damaged {
        path: path.to_owned(),
        source,
    };
    let Format { format } = serde_json::from_slice(contents).map_err(damaged)?;
    if format != FORMAT {
        return Err(RecordError::OtherFormat {
            path: path.to_owned(),
            found: format,
        });
    }
    serde_json::from_slice(contents).map_err(damaged)
}

/// Replaces a record, which only the agent can read. Blocks.
pub fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), FileError> {
    let contents = serde_json::to_vec_pretty(record).expect("every record has a form in JSON");
    files::write_atomically(path, &contents, 0o600)
}

/// Where the record of a name is, in a directory of such.
pub fn path_of(directory: &Path, name: impl std::fmt::Display) -> PathBuf {
    directory.join(format!("{name}.json"))
}

/// Reads every record of a directory, by the names that the files have. One that cannot be read is the same as none,
/// and said in the journal. Blocks.
pub fn read_all<Name: FromStr + Ord, T: DeserializeOwned>(directory: &Path) -> BTreeMap<Name, T> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
            let name = name.parse().ok()?;
            let record = read(&path).unwrap_or_else(|error| {
                let error = chain(&error);
                tracing::warn!(error, "a record cannot be read, and is passed over");
                None
            });
            Some((name, record?))
        })
        .collect()
}

/// One record on the disk, and in memory for readers.
#[derive(Debug)]
pub struct Record<T> {
    path: PathBuf,
    held: watch::Sender<T>,
    turn: Mutex<()>,
}

impl<T: Clone + Default + PartialEq + Serialize + DeserializeOwned> Record<T> {
    /// Reads the record of this file name in a directory of the agent, which is made. Blocks.
    pub fn open(directory: &Path, file: &str) -> Result<Self, RecordError> {
        files::create_directory(directory, 0o700)?;
        let path = directory.join(file);
        let record = read(&path)?.unwrap_or_default();
        Ok(Self {
            path,
            held: watch::Sender::new(record),
            turn: Mutex::new(()),
        })
    }

    /// What is remembered now.
    pub fn get(&self) -> T {
        self.held.borrow().clone()
    }

    /// Follows what is remembered.
    pub fn watch(&self) -> watch::Receiver<T> {
        self.held.subscribe()
    }

    /// Changes what is remembered. It is on the disk when this returns; when it fails, nothing else is remembered
    /// than before. Blocks.
    pub fn update(&self, change: impl FnOnce(&mut T)) -> Result<(), FileError> {
        // Held over the write, so that no change is made to what another one has just replaced.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = self.get();
        change(&mut record);
        if record == *self.held.borrow() {
            return Ok(());
        }
        write(&self.path, &record)?;
        self.held.send_replace(record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Known {
        format: u32,
        times: u32,
    }

    impl Default for Known {
        fn default() -> Self {
            Self {
                format: FORMAT,
                times: 0,
            }
        }
    }

    #[test]
    fn what_is_remembered_survives_a_restart_and_is_the_agents_own() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("place");
        let record: Record<Known> = Record::open(&place, "known.json").unwrap();
        record.update(|known| known.times += 1).unwrap();
        record.update(|known| known.times += 1).unwrap();
        let again: Record<Known> = Record::open(&place, "known.json").unwrap();
        assert_eq!(again.get().times, 2);
        assert_eq!(again.get(), record.get());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let file = place.join("known.json");
        assert_eq!((mode(&place), mode(&file)), (0o700, 0o600));
    }

    #[test]
    fn what_the_disk_does_not_take_is_not_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("place");
        let record: Record<Known> = Record::open(&place, "known.json").unwrap();
        let readers = record.watch();
        std::fs::remove_dir(&place).unwrap();
        record.update(|known| known.times += 1).unwrap_err();
        assert_eq!(record.get().times, 0);
        assert!(!readers.has_changed().unwrap());
    }

    #[test]
    fn changes_at_once_are_all_there() {
        let directory = tempfile::tempdir().unwrap();
        let record: Record<Known> = Record::open(directory.path(), "known.json").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| record.update(|known| known.times += 1).unwrap());
            }
        });
        let again: Record<Known> = Record::open(directory.path(), "known.json").unwrap();
        assert_eq!(again.get().times, 8);
    }

    #[test]
    fn another_format_and_damage_are_told_apart() {
        let understood = |contents: &str| {
            decode::<Known>(Path::new("known.json"), contents.as_bytes()).unwrap_err()
        };
        assert!(matches!(
            understood(r#"{"format": 2, "new": true}"#),
            RecordError::OtherFormat { found: 2, .. }
        ));
        for damaged in ["{", "", r#"{"format": 1}"#, r#"{"times": 1}"#] {
            let error = understood(damaged);
            assert!(matches!(error, RecordError::Damaged { .. }), "{damaged}");
        }
    }

    #[test]
    fn of_a_directory_what_can_be_read_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let of = |name: &str| path_of(directory.path(), name);
        let known = Known {
            times: 3,
            ..Known::default()
        };
        write(&of("7"), &known).unwrap();
        files::write_atomically(&of("8"), b"{", 0o600).unwrap();
        write(&of("eight"), &known).unwrap();
        files::write_atomically(&directory.path().join("9"), b"", 0o600).unwrap();
        let all: BTreeMap<u32, Known> = read_all(directory.path());
        assert_eq!(all, BTreeMap::from([(7, known)]));
        let none: BTreeMap<u32, Known> = read_all(&directory.path().join("missing"));
        assert_eq!(none, BTreeMap::new());
    }
}
