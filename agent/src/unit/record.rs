//! What the agent remembers of the unit across restarts: one file, replaced as a whole.
//!
//! It holds what cannot be seen on the host: what was verified last, whether the node has logged in
//! before, and whether the running program was started before its files were changed.

use std::path::{Path, PathBuf};

use omni_scale_proto::id::{OperationId, Sha256};
use omni_scale_proto::v1::UnitConfiguration;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::units::Job;
use crate::error::{Classified, Kind};
use crate::files::{self, FileError};

/// The format that this program writes. A newer one is not read.
const FORMAT: u32 = 1;
/// The largest record, in bytes: a configuration with its certificates.
const LARGEST: u64 = 4 * 1024 * 1024;

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitRecord {
    format: u32,
    /// What was applied and verified last.
    pub applied: Option<UnitConfiguration>,
    /// The program before the one that `current` points to.
    pub previous_artifact: Option<Sha256>,
    /// Set when the product has answered for the first time: from then on there is an identity to
    /// lose.
    pub node: Option<KnownNode>,
    /// Files were changed, and the running program may not know them.
    pub pending: Option<Pending>,
    /// The last start, stop or restart that was asked for.
    pub control: Option<Control>,
}

impl Default for UnitRecord {
    fn default() -> Self {
        Self {
            format: FORMAT,
            applied: None,
            previous_artifact: None,
            node: None,
            pending: None,
            control: None,
        }
    }
}

/// The tsidp node has logged in before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownNode {
    /// Milliseconds since the Unix epoch.
    pub since_milliseconds: i64,
}

/// How far a change of the unit's files has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Pending {
    /// Files are being changed: a program that is started now may see some of them.
    Preparing,
    /// All files are changed. The program of this run was started before.
    Prepared {
        /// The run, as 32 hex digits; absent: nothing ran.
        invocation: Option<String>,
    },
}

/// One start, stop or restart, written down before it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Which operation.
    pub operation: OperationId,
    /// What.
    pub job: Job,
    /// The run of the unit before it.
    pub invocation: Option<String>,
}

/// Why the record cannot be used.
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
    /// A newer agent wrote it.
    #[error("`{}` has format {found}; this agent knows up to {FORMAT}", path.display())]
    Newer {
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
            Self::Damaged { .. } | Self::Newer { .. } => Kind::Damaged,
        }
    }
}

/// The record on the disk, and in memory for readers.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    record: watch::Sender<UnitRecord>,
}

impl Records {
    /// Reads the record in the agent's directory for the unit. Blocks.
    pub fn open(directory: &Path) -> Result<Self, RecordError> {
        files::create_directory(directory, 0o700)?;
        let path = directory.join("record.json");
        let record = match files::read(&path, LARGEST)? {
            None => UnitRecord::default(),
            Some(contents) => decode(&path, &contents)?,
        };
        Ok(Self {
            path,
            record: watch::Sender::new(record),
        })
    }

    /// What is remembered now.
    pub fn get(&self) -> UnitRecord {
        self.record.borrow().clone()
    }

    /// Follows what is remembered.
    pub fn watch(&self) -> watch::Receiver<UnitRecord> {
        self.record.subscribe()
    }

    /// Changes what is remembered. It is on the disk when this returns. Blocks.
    ///
    /// Callers take turns: one operation on the unit runs at a time.
    pub fn update(&self, change: impl FnOnce(&mut UnitRecord)) -> Result<(), FileError> {
        let mut record = self.get();
        change(&mut record);
        if record == *self.record.borrow() {
            return Ok(());
        }
        let contents = serde_json::to_vec_pretty(&record).expect("all of it has a form in JSON");
        files::write_atomically(&self.path, &contents, 0o600)?;
        self.record.send_replace(record);
        Ok(())
    }
}

fn decode(path: &Path, contents: &[u8]) -> Result<UnitRecord, RecordError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |source| RecordError::Damaged {
        path: path.to_owned(),
        source,
    };
    let Format { format } = serde_json::from_slice(contents).map_err(damaged)?;
    if format > FORMAT {
        return Err(RecordError::Newer {
            path: path.to_owned(),
            found: format,
        });
    }
    serde_json::from_slice(contents).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};

    use super::*;

    #[test]
    fn noise_in_the_record_is_damage() {
        let good = serde_json::to_value(UnitRecord {
            applied: Some(UnitConfiguration::default()),
            node: Some(KnownNode {
                since_milliseconds: 1,
            }),
            pending: Some(Pending::Prepared { invocation: None }),
            ..UnitRecord::default()
        })
        .unwrap();
        let make = |dice: &mut Dice| {
            let record = serde_json::to_vec(&damaged_json(dice, &good)).unwrap();
            if dice.once_in(4) {
                damaged_bytes(dice, &record)
            } else {
                record
            }
        };
        hold_against("records of the unit", make, |record| {
            let _ = decode(Path::new("record.json"), record);
        });
    }

    #[test]
    fn what_is_remembered_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::open(directory.path()).unwrap();
        records
            .update(|record| {
                record.applied = Some(UnitConfiguration {
                    issuer: "https://tsidp.tail.test".to_owned(),
                    ..UnitConfiguration::default()
                });
                record.pending = Some(Pending::Prepared {
                    invocation: Some("ab".repeat(16)),
                });
                record.node = Some(KnownNode {
                    since_milliseconds: 7,
                });
                record.control = Some(Control {
                    operation: "a".repeat(64).parse().unwrap(),
                    job: Job::Restart,
                    invocation: None,
                });
            })
            .unwrap();
        let again = Records::open(directory.path()).unwrap();
        assert_eq!(again.get(), records.get());
    }

    #[test]
    fn another_format_and_damage_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record.json");
        let open = |contents: &str| {
            files::write_atomically(&path, contents.as_bytes(), 0o600).unwrap();
            Records::open(directory.path()).unwrap_err()
        };
        assert!(matches!(
            open(r#"{"format": 2, "new": true}"#),
            RecordError::Newer { found: 2, .. }
        ));
        assert!(matches!(open("{"), RecordError::Damaged { .. }));
        assert!(matches!(open(""), RecordError::Damaged { .. }));
    }
}
