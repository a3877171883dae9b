//! The agent's own certificate, and whose client certificates it takes.
//!
//! TLS 1.3 only. Files are read again when they have changed, so an enrolment or a renewal takes
//! effect with the next connection. Half-written or mismatched files change nothing.

mod files;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tracing::{info, warn};

use crate::error::chain;
use files::{Files, Stamp};

/// Why there are no usable credentials.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] crate::files::FileError),
    /// A file that must be there is not.
    #[error("`{}` is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file does not hold what its name says.
    #[error("`{}` holds no {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was wanted.
        what: &'static str,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// Key, certificate and authority do not go together.
    #[error("the agent's key, certificate and authority do not go together")]
    Mismatch(#[source] rustls::Error),
    /// No client certificates can be verified.
    #[error("the authority's certificate is not usable")]
    Authority(#[source] rustls::server::VerifierBuilderError),
    /// A first certificate cannot be made.
    #[error("cannot make a certificate for the enrolment")]
    SelfMade(#[source] rcgen::Error),
}

/// What a connection that begins now is served with.
#[derive(Debug, Clone)]
pub struct Presented {
    /// For `tokio_rustls::TlsAcceptor`.
    pub config: Arc<ServerConfig>,
    /// The leaf, DER.
    pub certificate: CertificateDer<'static>,
    /// Whether it is the deployment's own, and client certificates are asked for.
    pub enrolled: bool,
}

/// The credentials on disk, and their current form.
#[derive(Debug)]
pub struct Credentials {
    files: Files,
    current: Mutex<(Stamp, Presented)>,
}

impl Credentials {
    /// Reads the directory; makes a key and a certificate of its own there when there are none.
    pub fn open(directory: &Path) -> Result<Self, TlsError> {
        let files = Files::new(directory);
        files.ensure_self_made()?;
        let stamp = files.stamp();
        let presented = load(&files)?;
        Ok(Self {
            files,
            current: Mutex::new((stamp, presented)),
        })
    }

    /// What to serve the next connection with.
    pub fn current(&self) -> Presented {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.files.stamp();
        if stamp != current.0 {
            match load(&self.files) {
                Ok(presented) => {
                    info!(
                        enrolled = presented.enrolled,
                        "serving with the credentials that are on the disk now"
                    );
                    *current = (stamp, presented);
                }
                Err(error) => {
                    warn!(error = %chain(&error), "keeping the credentials from before");
                    current.0 = stamp;
                }
            }
        }
        current.1.clone()
    }
}

fn load(files: &Files) -> Result<Presented, TlsError> {
    let enrolled = files.certificate().exists();
    let (key, chain) = if enrolled {
        (files.key(), files.certificate())
    } else {
        (files.self_made_key(), files.self_made_certificate())
    };
    let chain = certificates(&chain)?;
    let certificate = chain.first().cloned().ok_or_else(|| TlsError::Missing {
        path: files.certificate(),
    })?;
    let key = private_key(&key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Mismatch)?;
    let builder = if enrolled {
        let mut roots = RootCertStore::empty();
        for authority in certificates(&files.authority())? {
            roots.add(authority).map_err(TlsError::Mismatch)?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().map_err(TlsError::Authority)?)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(TlsError::Mismatch)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the verification of the client's certificate.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Presented {
        config: Arc::new(config),
        certificate,
        enrolled,
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = Files::read(path)?;
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Content {
            path: path.to_owned(),
            what: "certificate",
            source,
        })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = Files::read(path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|source| TlsError::Content {
        path: path.to_owned(),
        what: "private key",
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_atomically;
    use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
    }

    fn enroll(directory: &Path, key: &KeyPair, signed: &KeyPair) {
        let authority = authority();
        let certificate = CertificateParams::new(vec!["omni".to_owned()])
            .unwrap()
            .signed_by(signed, &authority)
            .unwrap();
        write_atomically(
            &directory.join("authority.pem"),
            authority.pem().as_bytes(),
            0o600,
        )
        .unwrap();
        write_atomically(
            &directory.join("agent.key"),
            key.serialize_pem().as_bytes(),
            0o600,
        )
        .unwrap();
        write_atomically(
            &directory.join("agent.pem"),
            certificate.pem().as_bytes(),
            0o600,
        )
        .unwrap();
    }

    #[test]
    fn an_unenrolled_agent_keeps_its_self_made_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let first = Credentials::open(directory.path()).unwrap().current();
        let second = Credentials::open(directory.path()).unwrap().current();
        assert!(!first.enrolled);
        assert_eq!(first.certificate, second.certificate);
    }

    #[test]
    fn an_enrolment_takes_effect_with_the_next_connection() {
        let directory = tempfile::tempdir().unwrap();
        let credentials = Credentials::open(directory.path()).unwrap();
        assert!(!credentials.current().enrolled);
        let key = KeyPair::generate().unwrap();
        enroll(directory.path(), &key, &key);
        assert!(credentials.current().enrolled);
    }

    #[test]
    fn files_that_do_not_go_together_change_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        enroll(directory.path(), &key, &key);
        let credentials = Credentials::open(directory.path()).unwrap();
        let before = credentials.current();
        write_atomically(
            &directory.path().join("agent.key"),
            KeyPair::generate().unwrap().serialize_pem().as_bytes(),
            0o600,
        )
        .unwrap();
        let after = credentials.current();
        assert!(after.enrolled && after.certificate == before.certificate);
    }
}
