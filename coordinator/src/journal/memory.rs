//! Journals in memory, for tests: a disk that a crash can strike at any write.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::JournalFiles;

/// When, around a write, the coordinator dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing has reached the disk.
    Before,
    /// Half of the line has.
    Torn,
    /// All of it has; nothing that comes after happens.
    After,
}

/// A disk. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    disk: Arc<Mutex<Disk>>,
    locked: Arc<AtomicBool>,
}

#[derive(Default)]
struct Disk {
    files: BTreeMap<String, Vec<u8>>,
    holder: Vec<u8>,
    appended: usize,
    crash: Option<Crash>,
}

struct Crash {
    at: usize,
    moment: Moment,
    then: Box<dyn Fn() + Send>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Disk")
            .field("files", &self.files.keys())
            .finish_non_exhaustive()
    }
}

impl MemoryFiles {
    /// The coordinator dies at the `at`-th record from now, from 1. `then` is called when it does.
    pub fn crash(&self, at: usize, moment: Moment, then: impl Fn() + Send + 'static) {
        let mut disk = self.disk();
        disk.appended = 0;
        disk.crash = Some(Crash {
            at,
            moment,
            then: Box::new(then),
        });
    }

    /// What a file holds.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.disk().files.get(name).cloned()
    }

    /// Puts a file there.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut disk = self.disk();
        disk.files.insert(name.to_owned(), content.to_owned());
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JournalFiles for MemoryFiles {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.disk().files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let not_found = || io::Error::from(io::ErrorKind::NotFound);
        self.content(name).ok_or_else(not_found)
    }

    fn create(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        if disk.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.files.insert(name.to_owned(), content.to_owned());
        Ok(())
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let mut disk = self.disk();
        let file = disk.files.get_mut(name);
        let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        file.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }

    fn append(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        disk.appended += 1;
        let appended = disk.appended;
        let crash = disk.crash.take_if(|crash| crash.at == appended);
        let reaches = match crash.as_ref().map(|crash| crash.moment) {
            None | Some(Moment::After) => content.len(),
            Some(Moment::Torn) => content.len() / 2,
            Some(Moment::Before) => 0,
        };
        let file = disk.files.entry(name.to_owned()).or_default();
        file.extend_from_slice(&content[..reaches]);
        match crash {
            None => Ok(()),
            Some(crash) => {
                (crash.then)();
                Err(io::Error::other("the coordinator is dead"))
            }
        }
    }

    fn lock(&self, holder: &[u8]) -> io::Result<Option<Box<dyn Send + Sync>>> {
        if self.locked.swap(true, Ordering::SeqCst) {
            return Ok(None);
        }
        holder.clone_into(&mut self.disk().holder);
        Ok(Some(Box::new(Unlock(self.locked.clone()))))
    }

    fn lock_holder(&self) -> io::Result<Vec<u8>> {
        Ok(self.disk().holder.clone())
    }
}

struct Unlock(Arc<AtomicBool>);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
