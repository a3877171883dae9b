//! What the agent remembers of the client across restarts: one file, replaced as a whole. It holds
//! ids and keyed digests, and never a secret.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use omni_scale_proto::v1;
use serde::{Deserialize, Serialize};

use crate::error::{Classified, Kind};
use crate::files::{self, FileError};

/// The format that this program writes. A newer one is not read.
const FORMAT: u32 = 1;
/// The largest record, in bytes: three clients with their certificates.
const LARGEST: u64 = 4 * 1024 * 1024;
/// Its name.
const FILE: &str = "client.json";

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientRecord {
    format: u32,
    /// A registration whose end is not written down: the issuer may have a client whose secret
    /// nobody has.
    pub attempt: Option<Attempt>,
    /// What was registered last, and is in force while its digests are those of what is stored.
    pub registered: Option<Registration>,
    /// What was registered before that, and may still be at its issuer.
    pub former: Option<Former>,
    /// Since the last registration nobody has looked for other clients of ours at the issuer.
    pub unswept: bool,
    /// The last login that gave what Omni needs.
    pub proven: Option<Proof>,
}

impl Default for ClientRecord {
    fn default() -> Self {
        Self {
            format: FORMAT,
            attempt: None,
            registered: None,
            former: None,
            unswept: false,
            proven: None,
        }
    }
}

impl ClientRecord {
    /// All ids of clients that issuers gave to this agent. They stand in addresses of logins, and
    /// are no secrets.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let open = self.attempt.as_ref();
        let answer = open.and_then(|open| open.answer.as_ref());
        let registered = [answer, self.registered.as_ref()].into_iter().flatten();
        let former = self.former.as_ref().map(|former| &*former.id);
        registered
            .map(|registration| &*registration.id)
            .chain(former)
    }
}

/// A registration that was begun. On the disk before the issuer is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// For which client.
    pub client: v1::Client,
    /// When, in milliseconds since the Unix epoch.
    pub at_milliseconds: i64,
    /// What the issuer answered. On the disk before any of it is stored, so that what is stored
    /// can be told from what somebody set.
    pub answer: Option<Registration>,
}

/// A client that this agent registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// As it was asked for.
    pub client: v1::Client,
    /// Its id at the issuer.
    pub id: String,
    /// Keyed digest of the id, as [`crate::secrets::Secrets`] gives it for its name.
    pub id_digest: String,
    /// Keyed digest of the secret.
    pub secret_digest: String,
}

/// A client that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Former {
    /// As it was asked for.
    pub client: v1::Client,
    /// Its id at the issuer.
    pub id: String,
}

/// A login was seen to give what Omni needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// With which client.
    pub client_id: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_milliseconds: i64,
    /// Whose it was.
    pub email: String,
}

/// Why the record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientRecordError {
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

impl Classified for ClientRecordError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(_) => Kind::Fault,
            Self::Damaged { .. } | Self::Newer { .. } => Kind::Damaged,
        }
    }
}

/// The record on the disk, and in memory for readers.
#[derive(Debug)]
pub struct ClientRecords {
    path: PathBuf,
    record: Mutex<ClientRecord>,
}

impl ClientRecords {
    /// Reads the record in the agent's directory for the client, which it makes. Blocks.
    pub fn open(directory: &Path) -> Result<Self, ClientRecordError> {
        files::create_directory(directory, 0o700)?;
        let path = directory.join(FILE);
        let record = match files::read(&path, LARGEST)? {
            None => ClientRecord::default(),
            Some(contents) => decode(&path, &contents)?,
        };
        Ok(Self {
            path,
            record: Mutex::new(record),
        })
    }

    /// What is remembered now.
    pub fn get(&self) -> ClientRecord {
        self.record().clone()
    }

    /// Changes what is remembered. It is on the disk when this returns; when it fails, nothing
    /// else is remembered than before. Blocks.
    pub fn update(&self, change: impl FnOnce(&mut ClientRecord)) -> Result<(), FileError> {
        // Held over the write: a login may be judged while the client is applied.
        let mut held = self.record();
        let mut record = held.clone();
        change(&mut record);
        if record == *held {
            return Ok(());
        }
        let contents = serde_json::to_vec_pretty(&record).expect("all of it has a form in JSON");
        files::write_atomically(&self.path, &contents, 0o600)?;
        *held = record;
        Ok(())
    }

    fn record(&self) -> MutexGuard<'_, ClientRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decode(path: &Path, contents: &[u8]) -> Result<ClientRecord, ClientRecordError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |source| ClientRecordError::Damaged {
        path: path.to_owned(),
        source,
    };
    let Format { format } = serde_json::from_slice(contents).map_err(damaged)?;
    if format > FORMAT {
        return Err(ClientRecordError::Newer {
            path: path.to_owned(),
            found: format,
        });
    }
    serde_json::from_slice(contents).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};

    use super::*;

    fn full() -> ClientRecord {
        let client = v1::Client {
            issuer: "https://tsidp.tail.test".to_owned(),
            ..v1::Client::default()
        };
        let registration = Registration {
            client: client.clone(),
            id: "ab".repeat(16),
            id_digest: "cd".repeat(32),
            secret_digest: "ef".repeat(32),
        };
        ClientRecord {
            attempt: Some(Attempt {
                client: client.clone(),
                at_milliseconds: 7,
                answer: Some(registration.clone()),
            }),
            registered: Some(registration),
            former: Some(Former {
                client,
                id: "01".repeat(16),
            }),
            unswept: true,
            proven: Some(Proof {
                client_id: "ab".repeat(16),
                at_milliseconds: 8,
                email: "ada@example.net".to_owned(),
            }),
            ..ClientRecord::default()
        }
    }

    #[test]
    fn noise_in_the_record_is_damage() {
        let good = serde_json::to_value(full()).unwrap();
        let make = |dice: &mut Dice| {
            let record = serde_json::to_vec(&damaged_json(dice, &good)).unwrap();
            if dice.once_in(4) {
                damaged_bytes(dice, &record)
            } else {
                record
            }
        };
        hold_against("records of the client", make, |record| {
            let _ = decode(Path::new("client.json"), record);
        });
    }

    #[test]
    fn what_is_remembered_survives_a_restart_and_is_the_agents_own() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("client");
        let records = ClientRecords::open(&place).unwrap();
        records.update(|record| *record = full()).unwrap();
        assert_eq!(ClientRecords::open(&place).unwrap().get(), full());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(&place.join(FILE))), (0o700, 0o600));
    }

    #[test]
    fn another_format_and_damage_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let open = |contents: &str| {
            files::write_atomically(&path, contents.as_bytes(), 0o600).unwrap();
            ClientRecords::open(directory.path()).unwrap_err()
        };
        assert!(matches!(
            open(r#"{"format": 2, "new": true}"#),
            ClientRecordError::Newer { found: 2, .. }
        ));
        assert!(matches!(open("{"), ClientRecordError::Damaged { .. }));
        assert!(matches!(open(""), ClientRecordError::Damaged { .. }));
    }
}
