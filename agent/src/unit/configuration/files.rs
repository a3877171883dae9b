//! The two environment files on the disk.

use std::path::{Path, PathBuf};

use crate::files::{self, FileError};

/// The largest file that is read back, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// Where the unit's environment files are. Only the agent's user and systemd can read them.
#[derive(Debug, Clone)]
pub struct ConfigurationFiles {
    environment: PathBuf,
    auth_key: PathBuf,
}

impl ConfigurationFiles {
    /// The files in the agent's directory for the unit: the unit file names the same paths.
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            environment: directory.join("tsidp.env"),
            auth_key: directory.join("tsidp-auth-key.env"),
        }
    }

    /// Whether the environment file says exactly this.
    pub fn environment_is(&self, rendered: &str) -> Result<bool, FileError> {
        let found = files::read(&self.environment, LARGEST)?;
        Ok(found.is_some_and(|found| found == rendered.as_bytes()))
    }

    /// Replaces the environment file.
    pub fn write_environment(&self, rendered: &str) -> Result<(), FileError> {
        files::write_atomically(&self.environment, rendered.as_bytes(), 0o600)
    }

    /// Whether a one-time key lies ready.
    pub fn has_auth_key(&self) -> bool {
        self.auth_key.exists()
    }

    /// Whether exactly this one-time key lies ready.
    pub fn auth_key_is(&self, rendered: &str) -> Result<bool, FileError> {
        let found = files::read(&self.auth_key, LARGEST)?;
        Ok(found.is_some_and(|found| found == rendered.as_bytes()))
    }

    /// Lays a one-time key ready for the next start.
    pub fn write_auth_key(&self, rendered: &str) -> Result<(), FileError> {
        files::write_atomically(&self.auth_key, rendered.as_bytes(), 0o600)
    }

    /// Removes the one-time key.
    pub fn remove_auth_key(&self) -> Result<(), FileError> {
        files::remove(&self.auth_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_files_are_for_the_agent_and_systemd_only() {
        let directory = tempfile::tempdir().unwrap();
        let files = ConfigurationFiles::in_directory(directory.path());
        assert!(!files.environment_is("A=\"1\"\n").unwrap());
        files.write_environment("A=\"1\"\n").unwrap();
        assert!(files.environment_is("A=\"1\"\n").unwrap());
        let key = "TS_AUTHKEY=\"x\"\n";
        assert!(!files.auth_key_is(key).unwrap());
        files.write_auth_key(key).unwrap();
        assert!(files.auth_key_is(key).unwrap());
        for name in ["tsidp.env", "tsidp-auth-key.env"] {
            let metadata = std::fs::metadata(directory.path().join(name)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        }
        files.remove_auth_key().unwrap();
        files.remove_auth_key().unwrap();
        assert!(!files.has_auth_key());
    }
}
