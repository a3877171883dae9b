//! Journals in a directory of the disk.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use super::JournalFiles;
use crate::files;

const LOCK: &str = "lock";

/// A directory with journals and their lock, readable for their owner only.
#[derive(Debug, Clone)]
pub struct JournalDirectory {
    path: PathBuf,
}

impl JournalDirectory {
    /// Takes the directory, and makes it when it is not there.
    pub fn open(path: PathBuf) -> Result<Self, files::FileError> {
        files::make_private_directory(&path)?;
        Ok(Self { path })
    }

    fn open_lock(&self) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path.join(LOCK))
    }
}

impl JournalFiles for JournalDirectory {
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.path)?;
        // A name that is no text is none of ours.
        entries
            .filter_map(|entry| {
                entry
                    .map(|entry| entry.file_name().into_string().ok())
                    .transpose()
            })
            .collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.path.join(name))
    }

    fn create(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        // Written aside and moved: a journal without a whole header never stands there.
        files::write(
            &path,
            content,
            files::Access::Private,
            files::Existing::Keep,
        )
        .map_err(io::Error::other)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path.join(name))?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn append(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.path.join(name))?;
        file.write_all(content)?;
        file.sync_all()
    }

    fn lock(&self, holder: &[u8]) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let mut file = self.open_lock()?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        file.write_all(holder)?;
        Ok(Some(Box::new(file)))
    }

    fn lock_holder(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.open_lock()?.read_to_end(&mut text)?;
        Ok(text)
    }
}
