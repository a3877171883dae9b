//! The agent's memory: leases and operations, written down before they are acted on.
//!
//! Append-only, one checksummed line per record, on the disk before [`Ledger::decide`] returns; rewritten in its
//! shortest form when it has grown. A torn tail is dropped. After any other damage the ledger still tells what it
//! could read, and takes nothing more: a person must look. It knows nothing of what operations do.

mod book;
mod frame;
mod record;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Mutex;

pub use book::{Book, OperationBook};
pub use record::{
    Conclusion, FailureClassRecord, FailureRecord, Finished, LeaseGranted, Record, Started,
};

use crate::error::{Classified, Kind};
use crate::files::{self, FileError, Replacement};

/// The file is rewritten when it is larger than this, and twice as large as after the last rewriting. In bytes.
const COMPACT_ABOVE: u64 = 256 * 1024;
/// No ledger is larger, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Why nothing could be written down.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The disk did not do what it should. What was to be written is not.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is damaged in a way that no power cut explains.
    #[error(
        "the ledger `{}` is damaged at byte {offset}: {what}; this agent changes nothing until a person has looked at it",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: usize,
        /// What does not fit.
        what: String,
    },
    /// A write failed in a way after which nobody can tell what is in the file.
    #[error(
        "the ledger `{}` could not be written, and takes nothing more until the agent is started again",
        path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// Another agent has the ledger open.
    #[error("another omni-scale-agent uses the ledger `{}`", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

impl Classified for LedgerError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(_) | Self::Broken { .. } | Self::InUse { .. } => Kind::Fault,
            Self::Damaged { .. } => Kind::Damaged,
        }
    }
}

/// The open ledger.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    book: Arc<RwLock<Book>>,
    writer: Arc<Mutex<Writer>>,
    damage: Option<(usize, String)>,
}

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    file: File,
    /// Bytes of whole records.
    length: u64,
    next_sequence: u64,
    compacted_length: u64,
    /// Nobody can tell what is in the file.
    broken: bool,
    /// Held for as long as the ledger is open.
    lock: File,
}

impl Drop for Writer {
    fn drop(&mut self) {
        // By hand: a child that is just being started has the descriptor, too, until it is another program.
        let _ = self.lock.unlock();
    }
}

impl Ledger {
    /// Opens the ledger, and makes it when there is none. Drops a torn tail. Blocks.
    ///
    /// A damaged ledger opens: see [`Ledger::damage`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let lock = lock(path)?;
        if !path.exists() {
            files::write_atomically(path, frame::HEADER, 0o600)?;
        }
        let contents = files::read(path, LARGEST)?.unwrap_or_default();
        let parsed = frame::parse(&contents);
        let mut book = Book::default();
        let mut damage = None;
        let mut next_sequence = 1;
        let mut offset = frame::HEADER.len();
        for payload in &parsed.payloads {
            match serde_json::from_slice(payload) {
                Ok(record) => book.apply(record),
                Err(error) => {
                    let what = format!("record {next_sequence} is not understood: {error}");
                    damage = Some((offset, what));
                    break;
                }
            }
            next_sequence += 1;
            offset += frame::line_length(payload);
        }
        if let frame::Rest::Damage(what) = parsed.rest {
            damage.get_or_insert((parsed.whole, what.to_owned()));
        }
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(FileError::new("open", path))?;
        let length = u64::try_from(parsed.whole).unwrap_or(u64::MAX);
        if parsed.rest == frame::Rest::Torn && damage.is_none() {
            tracing::warn!(path = %path.display(), length, "dropped the torn tail of the ledger");
            file.set_len(length)
                .and_then(|()| file.sync_all())
                .map_err(FileError::new("truncate", path))?;
        }
        if let Some((offset, what)) = &damage {
            tracing::error!(path = %path.display(), offset, what, "the ledger is damaged: nothing will be changed");
        }
        Ok(Self {
            path: path.to_owned(),
            book: Arc::new(RwLock::new(book)),
            writer: Arc::new(Mutex::new(Writer {
                path: path.to_owned(),
                file,
                length,
                next_sequence,
                compacted_length: 0,
                broken: false,
                lock,
            })),
            damage,
        })
    }

    /// What is wrong with the ledger, when it takes nothing more.
    pub fn damage(&self) -> Option<LedgerError> {
        let (offset, what) = self.damage.clone()?;
        Some(LedgerError::Damaged {
            path: self.path.clone(),
            offset,
            what,
        })
    }

    /// Reads the book as it is now.
    pub fn read<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        read(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Decides by the book, and writes the decision down before anybody else can decide.
    ///
    /// The lock is held across the write on purpose: a decision that is not on the disk binds nobody. Once the
    /// decision is made, the write is finished and taken into the book even if the caller goes away.
    pub async fn decide<T, E>(
        &self,
        decide: impl FnOnce(&Book) -> Result<(Option<Record>, T), E>,
    ) -> Result<T, E>
    where
        E: From<LedgerError>,
    {
        let mut writer = self.writer.clone().lock_owned().await;
        let (record, answer) = self.read(decide)?;
        let Some(record) = record else {
            return Ok(answer);
        };
        if let Some(damage) = self.damage() {
            return Err(damage.into());
        }
        let book = self.book.clone();
        let write = tokio::task::spawn_blocking(move || -> Result<(), LedgerError> {
            writer.append(&record)?;
            let mut book = book.write().unwrap_or_else(PoisonError::into_inner);
            book.apply(record);
            writer.compact_if_large(&book);
            Ok(())
        });
        match write.await {
            Ok(written) => written?,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
        Ok(answer)
    }

    /// Writes one record down, whatever the book says.
    pub async fn append(&self, record: Record) -> Result<(), LedgerError> {
        self.decide(|_| Ok((Some(record), ()))).await
    }
}

impl Writer {
    fn append(&mut self, record: &Record) -> Result<(), LedgerError> {
        if self.broken {
            return Err(LedgerError::Broken {
                path: self.path.clone(),
            });
        }
        let payload = serde_json::to_vec(record).expect("a record of plain fields is JSON");
        let line = frame::encode(self.next_sequence, &payload);
        let written = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // The next record must not come after half of this one.
            self.broken = self.file.set_len(self.length).is_err();
            return Err(FileError::new("write", &self.path)(error).into());
        }
        self.length += u64::try_from(line.len()).unwrap_or(u64::MAX);
        self.next_sequence += 1;
        Ok(())
    }

    /// A ledger that cannot be rewritten now goes on growing and is rewritten later.
    fn compact_if_large(&mut self, book: &Book) {
        if self.length < COMPACT_ABOVE.max(2 * self.compacted_length) {
            return;
        }
        if let Err(error) = self.compact(book) {
            tracing::warn!(
                error = crate::error::chain(&error),
                "cannot rewrite the ledger"
            );
        }
    }

    fn compact(&mut self, book: &Book) -> Result<(), FileError> {
        let mut contents = frame::HEADER.to_vec();
        let mut next_sequence = 1;
        for record in book.records() {
            let payload = serde_json::to_vec(&record).expect("a record of plain fields is JSON");
            contents.extend(frame::encode(next_sequence, &payload));
            next_sequence += 1;
        }
        let replacement = Replacement::write(&self.path, &contents, 0o600)?;
        // From here on either file may be the one that the next start finds.
        self.broken = true;
        self.file = replacement.put_in_place()?;
        self.broken = false;
        self.length = u64::try_from(contents.len()).unwrap_or(u64::MAX);
        self.compacted_length = self.length;
        self.next_sequence = next_sequence;
        Ok(())
    }
}

fn lock(path: &Path) -> Result<File, LedgerError> {
    let lock_path = path.with_extension("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(FileError::new("open", &lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(LedgerError::InUse {
            path: path.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(FileError::new("lock", &lock_path)(error).into())
        }
    }
}

#[cfg(test)]
mod tests;
