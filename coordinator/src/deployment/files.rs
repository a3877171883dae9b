//! Files that a deployment names, on the operator's machine.

use std::io;
use std::io::Read as _;
use std::path::Path;

/// The largest file that is read, in bytes.
const MAXIMUM_BYTES: u64 = 4 << 20;

/// Where the files of a deployment are.
pub trait Files {
    /// The text of a file. A file that is not UTF-8, or larger than 4 MiB, is an error.
    fn read(&self, path: &Path) -> io::Result<String>;
}

/// The operator's own disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        let read = std::fs::File::open(path)?
            .take(MAXIMUM_BYTES + 1)
            .read_to_string(&mut text)?;
        if read as u64 > MAXIMUM_BYTES {
            return Err(io::Error::other("larger than 4 MiB"));
        }
        Ok(text)
    }
}

/// Files in memory.
#[cfg(test)]
impl Files for std::collections::BTreeMap<&str, &str> {
    fn read(&self, path: &Path) -> io::Result<String> {
        path.to_str()
            .and_then(|path| self.get(path))
            .map(|text| (*text).to_owned())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(MAXIMUM_BYTES).unwrap();
        assert!(Disk.read(&path).is_ok());
        file.set_len(MAXIMUM_BYTES + 1).unwrap();
        assert!(Disk.read(&path).is_err());
    }
}
