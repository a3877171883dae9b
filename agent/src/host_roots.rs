//! The certificate authorities that this host trusts, as every other program of the host sees them.
//!
//! Read anew for each use: an administrator may add one at any time, and nothing has to be kept in
//! memory.

use std::path::PathBuf;

use crate::files::{self, FileError};

/// The bundle that Debian's `update-ca-certificates` writes.
const DEBIAN_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The largest bundle that is read, in bytes. Debian's has about 220 KiB.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Where the host's authorities are.
#[derive(Debug, Clone)]
pub struct HostRoots {
    bundle: PathBuf,
}

impl Default for HostRoots {
    fn default() -> Self {
        Self::in_file(PathBuf::from(DEBIAN_BUNDLE))
    }
}

impl HostRoots {
    /// The authorities in another PEM file.
    pub fn in_file(bundle: PathBuf) -> Self {
        Self { bundle }
    }

    /// The host's authorities and these, as PEM. Blocks.
    ///
    /// A host without a bundle trusts nobody but these.
    pub fn with(&self, extra_pem: &str) -> Result<String, FileError> {
        let bundle = files::read(&self.bundle, LARGEST)?.unwrap_or_default();
        // The bundle is large, and read every few seconds while somebody watches: it is not copied.
        let mut pem = String::from_utf8(bundle)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        pem.reserve_exact(extra_pem.len() + 1);
        // A bundle may lack the last line break.
        pem.push('\n');
        pem.push_str(extra_pem);
        Ok(pem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_authorities_come_with_the_extra_ones() {
        let directory = tempfile::tempdir().unwrap();
        let bundle = directory.path().join("bundle");
        let roots = HostRoots::in_file(bundle.clone());
        assert_eq!(roots.with("extra").unwrap().trim(), "extra");
        files::write_atomically(&bundle, b"host", 0o644).unwrap();
        assert_eq!(roots.with("extra").unwrap(), "host\nextra");
    }
}
