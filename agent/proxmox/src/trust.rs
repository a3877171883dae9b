//! Who is believed to be a Proxmox node: whoever shows a pinned certificate, or one of a given authority.
//!
//! There is no third way. Pins *replace* the authority, the name and the dates, exactly as the fingerprints of
//! Proxmox's own client do (pve-apiclient, LWP.pm: "purely trust the configured fingerprints"): the pinned
//! certificate is accepted though it has expired, because a pin says "this key and no other", which no date
//! makes truer. That the peer holds the key is checked in every case.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use thiserror::Error;

use crate::{Fingerprint, PeerCertificate};

/// How a node is recognised.
#[derive(Debug, Clone)]
pub enum Trust {
    /// By its own certificate: several pins, since each node of a cluster has another one.
    Pins(Vec<Fingerprint>),
    /// By an authority that signed its certificate, in PEM: `/etc/pve/pve-root-ca.pem` of the cluster, or a
    /// public one. Name and dates are checked as well.
    Authority(String),
}

/// Why a node is not believed, or nobody could be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrustError {
    /// An empty list would trust nobody.
    #[error("no fingerprint is given")]
    NoPins,
    /// The authority's certificates cannot be read.
    #[error("the authority's certificates cannot be used: {0}")]
    BadAuthority(String),
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
    /// The certificate is none of the pinned ones.
    #[error("its certificate has the fingerprint {found}, which is not pinned (pinned: {})", list(.pins))]
    WrongFingerprint {
        /// What the node showed.
        found: Fingerprint,
        /// What was expected.
        pins: Vec<Fingerprint>,
    },
    /// The certificate, or its authority's, is past its time.
    #[error("a certificate of it has expired{}", at(*.not_after_unix_seconds))]
    Expired {
        /// When the node's own certificate ends, in seconds since 1970.
        not_after_unix_seconds: Option<i64>,
    },
    /// One of the two clocks is wrong, or the certificate is from tomorrow.
    #[error("a certificate of it is not valid yet: is a clock wrong?")]
    NotValidYet,
    /// The chain does not lead to the given authority.
    #[error(
        "its certificate, issued by `{issuer}`, does not come from the given authority (its fingerprint is {found})"
    )]
    UnknownIssuer {
        /// The issuer's distinguished name.
        issuer: String,
        /// What a pin of it would be.
        found: Fingerprint,
    },
    /// The authority is right, the name is not.
    #[error("its certificate names {}", .names.join(", "))]
    NameDiffers {
        /// Whom the certificate names.
        names: Vec<String>,
    },
    /// Another fault in the certificate.
    #[error("its certificate is refused: {0}")]
    Refused(String),
    /// Something else listens there.
    #[error("what answers does not speak TLS")]
    NotTls,
    /// Another fault in the handshake.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
}

fn list(pins: &[Fingerprint]) -> String {
    let pins: Vec<String> = pins.iter().map(ToString::to_string).collect();
    pins.join(", ")
}

fn at(unix_seconds: Option<i64>) -> String {
    let time =
        unix_seconds.and_then(|seconds| x509_parser::time::ASN1Time::from_timestamp(seconds).ok());
    time.map_or_else(String::new, |time| {
        format!(" (its own is valid until {time})")
    })
}

/// [`Trust`], ready for handshakes.
#[derive(Debug, Clone)]
pub(crate) struct Verifier {
    configuration: Arc<ClientConfig>,
    judge: Arc<Judge>,
}

#[derive(Debug)]
struct Judge {
    provider: Arc<CryptoProvider>,
    rule: Rule,
    /// What was shown last: a resumed session shows nothing.
    shown: Mutex<Option<PeerCertificate>>,
}

#[derive(Debug)]
enum Rule {
    Pins(Vec<Fingerprint>),
    Authority(Arc<WebPkiServerVerifier>),
}

impl Verifier {
    pub(crate) fn new(trust: &Trust) -> Result<Self, TrustError> {
        let provider = Arc::new(ring::default_provider());
        let rule = match trust {
            Trust::Pins(pins) if pins.is_empty() => return Err(TrustError::NoPins),
            Trust::Pins(pins) => Rule::Pins(pins.clone()),
            Trust::Authority(pem) => Rule::Authority(authority(pem, &provider)?),
        };
        let judge = Arc::new(Judge {
            provider: provider.clone(),
            rule,
            shown: Mutex::new(None),
        });
        let mut configuration = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TrustError::Setup(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(judge.clone())
            .with_no_client_auth();
        // Proxmox answers anything above HTTP/1.x with 506.
        configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            configuration: Arc::new(configuration),
            judge,
        })
    }

    pub(crate) fn configuration(&self) -> Arc<ClientConfig> {
        self.configuration.clone()
    }

    /// The certificate that was shown last, accepted or not.
    pub(crate) fn shown(&self) -> Option<PeerCertificate> {
        self.judge
            .shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What a failed handshake means.
    pub(crate) fn explain(&self, error: &TlsError) -> TrustError {
        let shown = self.shown();
        match error {
            TlsError::InvalidCertificate(fault) => match (fault, shown, &self.judge.rule) {
                (
                    CertificateError::ApplicationVerificationFailure,
                    Some(shown),
                    Rule::Pins(pins),
                ) => TrustError::WrongFingerprint {
                    found: shown.fingerprint,
                    pins: pins.clone(),
                },
                (CertificateError::Expired | CertificateError::ExpiredContext { .. }, shown, _) => {
                    TrustError::Expired {
                        not_after_unix_seconds: shown
                            .and_then(|shown| shown.not_after_unix_seconds),
                    }
                }
                (
                    CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
                    _,
                    _,
                ) => TrustError::NotValidYet,
                // A signature is bad when another authority has the same name, as those of two clusters may.
                (
                    CertificateError::UnknownIssuer | CertificateError::BadSignature,
                    Some(shown),
                    _,
                ) => TrustError::UnknownIssuer {
                    issuer: shown.issuer,
                    found: shown.fingerprint,
                },
                (
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                    Some(shown),
                    _,
                ) => TrustError::NameDiffers { names: shown.names },
                (other, _, _) => TrustError::Refused(other.to_string()),
            },
            TlsError::InvalidMessage(_) => TrustError::NotTls,
            other => TrustError::Handshake(other.to_string()),
        }
    }
}

fn authority(
    pem: &str,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate =
            certificate.map_err(|error| TrustError::BadAuthority(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| TrustError::BadAuthority(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TrustError::BadAuthority(
            "there is none in the PEM".to_owned(),
        ));
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| TrustError::BadAuthority(error.to_string()))
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let shown = PeerCertificate::describe(end_entity);
        let fingerprint = shown.fingerprint;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        match &self.rule {
            Rule::Pins(pins) if pins.contains(&fingerprint) => Ok(ServerCertVerified::assertion()),
            Rule::Pins(_) => Err(TlsError::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
            Rule::Authority(verifier) => verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
