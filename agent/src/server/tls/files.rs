//! Names of the identity directory's files, and whether they have changed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::TlsError;
use crate::files;

/// A certificate chain is a few KiB.
const FILE_LIMIT: u64 = 1 << 18;

/// The identity directory.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
}

/// Which versions of the files were seen: inode, size and time of change of each.
pub(super) type Stamp = Vec<Option<(u64, u64, i64, i64)>>;

impl Files {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    pub(super) fn key(&self) -> PathBuf {
        self.directory.join("agent.key")
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.directory.join("agent.pem")
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.directory.join("authority.pem")
    }

    pub(super) fn self_made_key(&self) -> PathBuf {
        self.directory.join("self-made.key")
    }

    pub(super) fn self_made_certificate(&self) -> PathBuf {
        self.directory.join("self-made.pem")
    }

    pub(super) fn stamp(&self) -> Stamp {
        [self.key(), self.certificate(), self.authority()]
            .iter()
            .map(|path| {
                let metadata = std::fs::metadata(path).ok()?;
                Some((
                    metadata.ino(),
                    metadata.size(),
                    metadata.mtime(),
                    metadata.mtime_nsec(),
                ))
            })
            .collect()
    }

    /// Makes the key and certificate that an agent shows before it is enrolled.
    pub(super) fn ensure_self_made(&self) -> Result<(), TlsError> {
        if self.self_made_certificate().exists() && self.self_made_key().exists() {
            return Ok(());
        }
        files::create_directory(&self.directory, 0o700)?;
        let key = KeyPair::generate().map_err(TlsError::SelfMade)?;
        let mut parameters = CertificateParams::new(vec!["omni-scale-agent".to_owned()])
            .map_err(TlsError::SelfMade)?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "omni-scale-agent before its enrolment");
        parameters.distinguished_name = name;
        let certificate = parameters.self_signed(&key).map_err(TlsError::SelfMade)?;
        files::write_atomically(&self.self_made_key(), key.serialize_pem().as_bytes(), 0o600)?;
        files::write_atomically(
            &self.self_made_certificate(),
            certificate.pem().as_bytes(),
            0o600,
        )?;
        Ok(())
    }

    pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
        files::read(path, FILE_LIMIT)?.ok_or_else(|| TlsError::Missing {
            path: path.to_owned(),
        })
    }
}
