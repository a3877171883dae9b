//! Files that survive a power cut: whole or not at all, and on the disk before the caller goes on.
//!
//! Blocking; async callers of more than a few bytes use `spawn_blocking`.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// What was tried on which file, and what the system said.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct FileError {
    /// What was tried: `write`, `read` …
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// Binds an action and a path, for `map_err`.
    pub fn new(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            action,
            path,
            source,
        }
    }
}

/// Replaces `path` by a file with these contents and permission bits, whatever the process's umask is.
///
/// A reader sees the old file or the new one. When this returns, the new one survives a power cut.
pub fn write_atomically(path: &Path, contents: &[u8], mode: u32) -> Result<(), FileError> {
    Replacement::write(path, contents, mode)?.put_in_place()?;
    Ok(())
}

/// A file that is whole and on the disk beside the one that it is to replace.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl Replacement {
    /// Writes it. Until it is put in place, nothing has changed.
    pub fn write(path: &Path, contents: &[u8], mode: u32) -> Result<Self, FileError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = directory_of(path).join(format!(".{name}.new"));
        remove_if_present(&temporary)?;
        let write = || -> io::Result<File> {
            let mut file = OpenOptions::new()
                .append(true)
                .create_new(true)
                .mode(mode)
                .open(&temporary)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(contents)?;
            file.sync_all()?;
            Ok(file)
        };
        let file = write().map_err(FileError::new("write", &temporary))?;
        Ok(Self {
            path: path.to_owned(),
            temporary,
            file,
        })
    }

    /// Puts it in place, and gives it open for more. When this fails, either file may be in place.
    pub fn put_in_place(self) -> Result<File, FileError> {
        fs::rename(&self.temporary, &self.path).map_err(FileError::new("replace", &self.path))?;
        sync_directory(directory_of(&self.path))?;
        Ok(self.file)
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Removes a file for good. One that is not there is no fault.
pub fn remove(path: &Path) -> Result<(), FileError> {
    remove_if_present(path)?;
    sync_directory(directory_of(path))
}

fn remove_if_present(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::new("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Reads a file of at most `limit` bytes. `None`: there is no such file.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::new("open", path)(error)),
    };
    // A file may be larger by the time it is read, or say nothing of its size, as those of /proc.
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let mut contents = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or(0));
    let mut bounded = file.take(limit.saturating_add(1));
    bounded
        .read_to_end(&mut contents)
        .map_err(FileError::new("read", path))?;
    if u64::try_from(contents.len()).unwrap_or(u64::MAX) > limit {
        let error = io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {limit} bytes"),
        );
        return Err(FileError::new("read", path)(error));
    }
    Ok(Some(contents))
}

/// Makes a directory with these permission bits, and those above it. One that is there is left as it is.
pub fn create_directory(path: &Path, mode: u32) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    let create = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(mode).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))
    };
    create().map_err(FileError::new("create", path))?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Puts a directory's entries on the disk.
pub fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(FileError::new("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("value");
        write_atomically(&path, b"one", 0o600).unwrap();
        write_atomically(&path, b"two", 0o644).unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o644
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_file_is_none_and_a_large_one_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("value");
        assert!(read(&path, 10).unwrap().is_none());
        write_atomically(&path, b"eleven byte", 0o600).unwrap();
        assert!(read(&path, 10).is_err());
    }
}
