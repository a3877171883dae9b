//! The certificate of the listener: self-signed, as Proxmox VE's is to anyone who does not know its authority.

use std::path::Path;
use std::sync::Arc;

use data_encoding::{BASE64, HEXUPPER};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files;

/// A certificate and its key.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    certificate: String,
    key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No certificate could be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// The file could not be read or written.
    #[error("cannot keep the certificate")]
    Keep(#[from] std::io::Error),
    /// The file holds something else.
    #[error("the kept certificate cannot be read")]
    Read(#[from] serde_json::Error),
    /// TLS does not take it.
    #[error("TLS refuses the certificate")]
    Tls(#[from] rustls::Error),
}

impl Identity {
    /// A new certificate for these names and addresses.
    pub fn generate(names: &[String]) -> Result<Self, IdentityError> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(names)?.self_signed(&key)?;
        Ok(Self {
            certificate: BASE64.encode(certificate.der()),
            key: BASE64.encode(&key.serialize_der()),
        })
    }

    /// The one in this file, made if there is none: its fingerprint outlives restarts.
    pub fn kept(path: &Path, names: &[String]) -> Result<Self, IdentityError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let identity = Self::generate(names)?;
                files::write(path, serde_json::to_string(&identity)?.as_bytes())?;
                Ok(identity)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The certificate in DER.
    pub fn certificate(&self) -> Vec<u8> {
        BASE64
            .decode(self.certificate.as_bytes())
            .unwrap_or_default()
    }

    /// SHA-256 of the certificate, `AB:CD:…` as Proxmox VE shows it.
    pub fn fingerprint(&self) -> String {
        let digest = HEXUPPER.encode(&Sha256::digest(self.certificate()));
        let pairs: Vec<&str> = (0..digest.len())
            .step_by(2)
            .filter_map(|at| digest.get(at..at + 2))
            .collect();
        pairs.join(":")
    }

    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, IdentityError> {
        let key = BASE64.decode(self.key.as_bytes()).unwrap_or_default();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(self.certificate())],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)),
            )?;
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_identity_stays_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.json");
        let names = ["pve.example".to_owned(), "127.0.0.1".to_owned()];
        let first = Identity::kept(&path, &names).unwrap();
        let second = Identity::kept(&path, &names).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert_eq!(first.fingerprint().len(), 95);
        assert!(first.server_config().is_ok());
    }
}
