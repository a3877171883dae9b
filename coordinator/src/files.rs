//! Files that a reader never sees half written.
//!
//! Whatever is written here is on the disk (fsync of file and directory) before the call
//! returns, and was written beside its place and moved there in one step.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A file operation that failed, and on what.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Writing, or making its directory.
    #[error("could not write `{}`", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is there and may not be overwritten.
    #[error("`{}` exists and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
}

/// Who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its owner only: mode 0600.
    Private,
    /// Everybody, writable for its owner: mode 0644.
    Public,
}

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced in one step.
    Replace,
    /// It stays, and the call fails with [`FileError::Exists`].
    Keep,
}

/// Writes a whole file. Directories above it are made, closed to others.
pub fn write(
    path: &Path,
    content: &[u8],
    access: Access,
    existing: Existing,
) -> Result<(), FileError> {
    let failed = |source| FileError::Write {
        path: path.to_owned(),
        source,
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_private_directory(directory)?;
    let mode = match access {
        Access::Private => 0o600,
        Access::Public => 0o644,
    };
    let mut file = tempfile::Builder::new()
        .prefix(".omni-scale-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)
        .map_err(failed)?;
    file.write_all(content)
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    match existing {
        Existing::Replace => file.persist(path),
        Existing::Keep => file.persist_noclobber(path),
    }
    .map_err(|refused| match refused.error.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists {
            path: path.to_owned(),
        },
        _ => failed(refused.error),
    })?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

/// Makes a directory and those above it, mode 0700. One that exists stays as it is.
pub fn make_private_directory(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| FileError::Write {
            path: path.to_owned(),
            source,
        })
}

/// Reads a whole file. `None`: there is none.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_private_file_is_private_and_so_is_a_new_directory() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/key");
        write(&path, b"1", Access::Private, Existing::Keep).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        write(&path, b"2", Access::Public, Existing::Replace).unwrap();
        assert_eq!(read(&path).unwrap(), b"2");
        assert_eq!(mode(&path), 0o644);
    }

    #[test]
    fn a_file_that_is_there_is_kept_when_asked() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        write(&path, b"1", Access::Private, Existing::Keep).unwrap();
        let refused = write(&path, b"2", Access::Private, Existing::Keep).unwrap_err();
        assert!(matches!(refused, FileError::Exists { .. }), "{refused}");
        assert_eq!(read(&path).unwrap(), b"1");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_file_is_not_an_error_where_it_may_be_missing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("none");
        assert_eq!(read_if_there(&path).unwrap(), None);
        assert!(matches!(read(&path), Err(FileError::Read { .. })));
    }
}
