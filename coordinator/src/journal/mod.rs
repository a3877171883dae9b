//! The journal of a rollout: what is about to be done, on the disk before it is done.
//!
//! JSON Lines: a header, then one record a line. A last line without its line break was being
//! written when the coordinator died, announces something that was not begun, and is dropped; any
//! other damage, and any newer format, refuses the file by its line.
//!
//! Invariants: whoever writes holds the one [`JournalLock`] of the deployment's rollouts; a
//! record is on the disk when [`Journal::append`] returns; sequence numbers have no gaps.

mod directory;
mod lock;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;

use omni_scale_proto::id::{DeploymentId, InvalidId};
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, PlanFileError};
use crate::rollout::{Event, IllegalEvent, Record, RolloutState};

pub use directory::JournalDirectory;
pub use lock::{JournalLock, LockError, LockHolder};
pub use read::{Found, list, read};

/// The version of journals that this code writes, and the newest that it reads.
pub const JOURNAL_VERSION: u32 = 1;
/// What the first line of a journal calls itself.
const FORMAT: &str = "omni-scale rollout journal";

/// A rollout: one run of one plan, however often it is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutId(uuid::Uuid);

impl RolloutId {
    /// Takes a UUID.
    pub const fn new(uuid: uuid::Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for RolloutId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

impl std::str::FromStr for RolloutId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        uuid::Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| InvalidId {
                text: text.chars().take(80).collect(),
                kind: "rollout id",
                rule: "a UUID, as `omni-scale status` shows it",
            })
    }
}

/// Where journals lie. Its adapter is [`JournalDirectory`]; names are file names.
pub trait JournalFiles: fmt::Debug + Send + Sync {
    /// The names of all journals, in no particular order.
    fn names(&self) -> io::Result<Vec<String>>;
    /// The whole of one.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Makes one with its first line, all of it on the disk. One that exists is an error.
    fn create(&self, name: &str, content: &[u8]) -> io::Result<()>;
    /// Cuts one to `length` bytes, on the disk.
    fn truncate(&self, name: &str, length: u64) -> io::Result<()>;
    /// Adds to the end of one, on the disk when it returns.
    fn append(&self, name: &str, content: &[u8]) -> io::Result<()>;
    /// Takes the one lock, which lasts until what is returned is dropped or the process ends.
    /// `None` when somebody else has it.
    fn lock(&self, holder: &[u8]) -> io::Result<Option<Box<dyn Send + Sync>>>;
    /// What the lock's holder has left there.
    fn lock_holder(&self) -> io::Result<Vec<u8>>;
}

/// The first line: whose rollout it is, and its plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The rollout.
    pub rollout: RolloutId,
    /// Milliseconds since the Unix epoch, by the coordinator's clock.
    pub created: i64,
    /// For people: `operator@machine`.
    pub by: String,
    /// What it does.
    pub plan: Plan,
}

/// What a journal holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// The first line.
    pub header: Header,
    /// The others.
    pub records: Vec<Record>,
    /// Where they lead.
    pub state: RolloutState,
}

/// A journal that can be written.
#[derive(Debug)]
pub struct Journal {
    lock: JournalLock,
    name: String,
    header: Header,
    state: RolloutState,
    next_sequence: u64,
    /// A write has failed: what is on the disk is not known, so nothing more is written.
    broken: bool,
}

/// Why a journal is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk.
    #[error("could not {tried} the journal `{name}`")]
    File {
        /// What was tried.
        tried: &'static str,
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not even its first line is whole: the rollout never began.
    #[error("the journal `{name}` has no header: its rollout never began")]
    Empty {
        /// Which.
        name: String,
    },
    /// Something in it cannot be.
    #[error("the journal `{name}` is damaged in line {line}: {reason}")]
    Damaged {
        /// Which.
        name: String,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A newer omni-scale wrote it.
    #[error(
        "the journal `{name}` has version {found}; this omni-scale knows up to {JOURNAL_VERSION}"
    )]
    Newer {
        /// Which.
        name: String,
        /// What it says.
        found: u32,
    },
    /// Its plan is not one.
    #[error("the journal `{name}` holds no plan of this deployment")]
    Plan {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: PlanFileError,
    },
    /// A record that cannot follow.
    #[error("the journal `{name}` cannot go on so")]
    Illegal {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: IllegalEvent,
    },
    /// An earlier write has failed.
    #[error("the journal `{name}` could not be written before, and is not written any more")]
    Broken {
        /// Which.
        name: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    format: String,
    version: u32,
    deployment: DeploymentId,
    rollout: RolloutId,
    created: i64,
    by: String,
    plan: serde_json::Value,
}

impl Journal {
    /// Begins the journal of a rollout.
    pub fn create(lock: JournalLock, header: Header) -> Result<Self, JournalError> {
        let name = file_name(header.rollout);
        let mut line = serde_json::to_vec(&HeaderLine {
            format: FORMAT.to_owned(),
            version: JOURNAL_VERSION,
            deployment: header.deployment,
            rollout: header.rollout,
            created: header.created,
            by: header.by.clone(),
            plan: header.plan.to_json(),
        })
        .expect("a header has only text keys");
        line.push(b'\n');
        lock.files()
            .create(&name, &line)
            .map_err(|source| JournalError::File {
                tried: "create",
                name: name.clone(),
                source,
            })?;
        Ok(Self {
            state: RolloutState::new(&header.plan),
            lock,
            name,
            header,
            next_sequence: 1,
            broken: false,
        })
    }

    /// Opens a journal to go on with it.
    pub fn open(
        lock: JournalLock,
        deployment: DeploymentId,
        rollout: RolloutId,
    ) -> Result<Self, JournalError> {
        let name = file_name(rollout);
        let (story, whole) = read::read_whole(lock.files().as_ref(), deployment, &name)?;
        if let Some(length) = whole {
            lock.files()
                .truncate(&name, length)
                .map_err(|source| JournalError::File {
                    tried: "cut the torn last line of",
                    name: name.clone(),
                    source,
                })?;
        }
        Ok(Self {
            lock,
            name,
            next_sequence: story.records.len() as u64 + 1,
            header: story.header,
            state: story.state,
            broken: false,
        })
    }

    /// The first line.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Where the rollout is.
    pub const fn state(&self) -> &RolloutState {
        &self.state
    }

    /// Gives the lock back, to write another journal.
    pub fn into_lock(self) -> JournalLock {
        self.lock
    }

    /// Writes a record. It is on the disk when this returns. An event that cannot follow is not
    /// written.
    pub fn append(&mut self, time: i64, event: Event) -> Result<Record, JournalError> {
        let name = || self.name.clone();
        if self.broken {
            return Err(JournalError::Broken { name: name() });
        }
        let state = self
            .state
            .next(&event)
            .map_err(|source| JournalError::Illegal {
                name: name(),
                source,
            })?;
        let record = Record {
            seq: self.next_sequence,
            time,
            event,
        };
        let mut line = serde_json::to_vec(&record).expect("a record has only text keys");
        line.push(b'\n');
        if let Err(source) = self.lock.files().append(&self.name, &line) {
            self.broken = true;
            return Err(JournalError::File {
                tried: "write",
                name: self.name.clone(),
                source,
            });
        }
        self.state = state;
        self.next_sequence += 1;
        Ok(record)
    }
}

impl JournalLock {
    /// The journals that it is for.
    const fn files(&self) -> &Arc<dyn JournalFiles> {
        &self.files
    }
}

/// The name of a rollout's journal.
fn file_name(rollout: RolloutId) -> String {
    format!("{rollout}.jsonl")
}
