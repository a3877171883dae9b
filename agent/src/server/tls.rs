//! TLS for the connections that begin now: the agent's own certificate, and whose client certificates it takes.
//!
//! TLS 1.3 only. An enrolled agent takes certificates of its authority and nothing else; only while root has a token
//! open may a caller come without one, and then for `Enroll` alone. An identity that has changed, in this process or on
//! the disk, takes effect with the next connection; one that cannot be used changes nothing.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tracing::{info, warn};

use crate::clock;
use crate::enrollment::TokenFile;
use crate::error::chain;
use crate::identity::{Identity, IdentityStore};

/// Why an identity cannot be served with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Key and certificate do not go together.
    #[error("the agent's key and certificate do not go together")]
    Mismatch(#[source] rustls::Error),
    /// No client certificates can be verified.
    #[error("the authority's certificate is not usable")]
    Authority(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a connection that begins now is served with.
#[derive(Debug, Clone)]
pub struct Presented {
    /// For `tokio_rustls::TlsAcceptor`.
    pub config: Arc<ServerConfig>,
    /// The leaf, DER.
    pub certificate: CertificateDer<'static>,
    /// Whose client certificates are taken, DER.
    pub authority: Option<Arc<[u8]>>,
    /// Whether a caller may come without a certificate, to enrol this agent.
    pub enrolling: bool,
}

/// Makes TLS configurations of the identity in force.
#[derive(Debug)]
pub struct Credentials {
    identities: Arc<IdentityStore>,
    tokens: TokenFile,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    identity: Arc<Identity>,
    stamp: Stamp,
    /// For callers who must show a certificate.
    closed: Presented,
    /// For callers who may come without one.
    open: Presented,
}

/// Which versions of the files were seen: inode, size and time of change of each.
type Stamp = Vec<Option<(u64, u64, i64, i64)>>;

impl Credentials {
    /// Serves with the identity that this store keeps, and lets callers enrol the agent while a token is open.
    pub fn new(identities: Arc<IdentityStore>, tokens: TokenFile) -> Result<Self, TlsError> {
        let stamp = stamp(&identities.files());
        let current = Current::new(identities.current(), stamp)?;
        Ok(Self {
            identities,
            tokens,
            current: Mutex::new(current),
        })
    }

    /// What to serve the next connection with. Looks at a few files; blocks no longer than that takes.
    pub fn current(&self) -> Presented {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        self.follow(&mut current);
        if self.tokens.is_open(clock::now_milliseconds()) {
            current.open.clone()
        } else {
            current.closed.clone()
        }
    }

    fn follow(&self, current: &mut Current) {
        let stamp = stamp(&self.identities.files());
        if stamp != current.stamp
            && let Err(error) = self.identities.reload()
        {
            warn!(error = chain(&error), "keeping the identity from before");
        }
        let identity = self.identities.current();
        if Arc::ptr_eq(&identity, &current.identity) {
            current.stamp = stamp;
            return;
        }
        match Current::new(identity.clone(), stamp.clone()) {
            Ok(new) => {
                info!(
                    enrolled = identity.enrolled.is_some(),
                    "serving with another identity"
                );
                *current = new;
            }
            Err(error) => {
                warn!(error = chain(&error), "keeping the identity from before");
                current.identity = identity;
                current.stamp = stamp;
            }
        }
    }
}

impl Current {
    fn new(identity: Arc<Identity>, stamp: Stamp) -> Result<Self, TlsError> {
        Ok(Self {
            closed: present(&identity, false)?,
            open: present(&identity, true)?,
            identity,
            stamp,
        })
    }
}

fn present(identity: &Identity, open: bool) -> Result<Presented, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Mismatch)?
        .with_client_cert_verifier(client_verifier(identity, open)?)
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(TlsError::Mismatch)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the verification of the client's certificate.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Presented {
        config: Arc::new(config),
        certificate: identity.leaf().clone(),
        authority: identity.authority().map(Arc::from),
        enrolling: open || identity.enrolled.is_none(),
    })
}

fn client_verifier(
    identity: &Identity,
    open: bool,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(enrolled) = &identity.enrolled else {
        return Ok(Arc::new(NoClientAuth));
    };
    let mut roots = RootCertStore::empty();
    roots
        .add(enrolled.authority.clone())
        .map_err(|error| TlsError::Authority(error.into()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = if open {
        verifier.allow_unauthenticated()
    } else {
        verifier
    };
    verifier
        .build()
        .map_err(|error| TlsError::Authority(error.into()))
}

fn stamp(files: &[PathBuf]) -> Stamp {
    files
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

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::Path;

    use crate::enrollment::TokenFor;
    use crate::identity::testing::{Authority, Leaf, now, secret};

    fn credentials(directory: &Path) -> (Arc<IdentityStore>, Credentials) {
        let identities = Arc::new(IdentityStore::open(directory).unwrap());
        let tokens = TokenFile::in_directory(directory);
        let credentials = Credentials::new(identities.clone(), tokens).unwrap();
        (identities, credentials)
    }

    fn enroll(identities: &IdentityStore) {
        let pending = identities.prepare().unwrap();
        let offer = Authority::new().offer(&pending, &Leaf::default());
        identities.enroll(&pending, &offer, now()).unwrap();
    }

    #[test]
    fn an_enrolment_takes_effect_with_the_next_connection() {
        let directory = tempfile::tempdir().unwrap();
        let (identities, credentials) = credentials(directory.path());
        let before = credentials.current();
        enroll(&identities);
        let after = credentials.current();
        assert_ne!(before.certificate, after.certificate);
        assert_eq!(after.certificate, *identities.current().leaf());
    }

    #[test]
    fn files_that_were_replaced_take_effect_with_the_next_connection() {
        let directory = tempfile::tempdir().unwrap();
        let (_, credentials) = credentials(directory.path());
        let before = credentials.current();
        enroll(&IdentityStore::open(directory.path()).unwrap());
        assert_ne!(credentials.current().certificate, before.certificate);
    }

    #[test]
    fn files_that_do_not_go_together_change_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (identities, credentials) = credentials(directory.path());
        enroll(&identities);
        let before = credentials.current();
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let key = directory.path().join("current/agent.key");
        for contents in [other.as_bytes(), b"nothing"] {
            crate::files::write_atomically(&key, contents, 0o600).unwrap();
            assert_eq!(credentials.current().certificate, before.certificate);
        }
    }

    #[test]
    fn an_enrolled_agent_wants_certificates_unless_root_has_a_token_open() {
        let directory = tempfile::tempdir().unwrap();
        let (identities, credentials) = credentials(directory.path());
        enroll(&identities);
        assert!(!credentials.current().enrolling);
        let tokens = TokenFile::in_directory(directory.path());
        tokens
            .open(
                &secret(),
                TokenFor::Operator,
                clock::now_milliseconds(),
                None,
            )
            .unwrap();
        assert!(credentials.current().enrolling);
        tokens.consume(&secret()).unwrap();
        assert!(!credentials.current().enrolling);
    }
}
