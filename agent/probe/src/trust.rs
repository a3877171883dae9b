//! The TLS side: exactly the given roots, and what to say when a peer is not accepted.
//!
//! Verification is rustls's own and is never weakened; it is only watched, so that a report can name the certificate
//! that was refused.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

use crate::{certificate, fault::Fault, report::FailureClass, report::PeerCertificate};

/// How a peer is judged, for every connection of one probe.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    verifier: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    roots: usize,
}

/// Where the certificate of a peer is left during the handshake.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown(Arc<Mutex<Option<PeerCertificate>>>);

impl Shown {
    /// The certificate, if the peer came far enough to show one.
    pub(crate) fn get(&self) -> Option<PeerCertificate> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Trust {
    /// Trusts the certificates of `roots_pem`; those that cannot be roots are passed over unless none is left.
    pub(crate) fn new(roots_pem: &str) -> Result<Self, Fault> {
        let bad = |message: String| Fault::new(FailureClass::BadRequest, message);
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(roots_pem.as_bytes()) {
            let certificate =
                certificate.map_err(|error| bad(format!("the roots are not PEM: {error}")))?;
            store.add_parsable_certificates([certificate]);
        }
        if store.is_empty() {
            return Err(bad(
                "`https` needs at least one root certificate, and none was given".to_owned(),
            ));
        }
        let roots = store.len();
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
                .build()
                .map_err(|error| bad(format!("the roots cannot be used: {error}")))?;
        Ok(Self {
            verifier,
            provider,
            roots,
        })
    }

    /// The configuration of one connection, whose peer's certificate ends up in `shown`.
    pub(crate) fn configuration(&self, shown: &Shown) -> Result<Arc<ClientConfig>, Fault> {
        let watched = Watched {
            verifier: self.verifier.clone(),
            shown: shown.clone(),
        };
        let mut configuration = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                Fault::new(
                    FailureClass::TlsFailed,
                    format!("TLS cannot be set up: {error}"),
                )
            })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(watched))
            .with_no_client_auth();
        configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(configuration))
    }

    /// Why a handshake with `host` failed, in words.
    pub(crate) fn explain(
        &self,
        host: &str,
        shown: Option<&PeerCertificate>,
        error: &TlsError,
    ) -> Fault {
        let issuer = shown.map_or("unknown", |shown| shown.issuer.as_str());
        let names = shown.map_or_else(|| "nothing".to_owned(), |shown| shown.names.join(", "));
        let fault = |class, message| Fault::new(class, message);
        match error {
            TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => fault(
                FailureClass::CertificateUntrusted,
                format!(
                    "the certificate of `{host}` is not trusted: its issuer is `{issuer}`, and no chain from it leads to {}",
                    match self.roots {
                        1 => "the root given".to_owned(),
                        roots => format!("one of the {roots} roots given"),
                    }
                ),
            ),
            TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => fault(
                FailureClass::CertificateNameDiffers,
                format!("the certificate does not name `{host}`, it names {names}"),
            ),
            TlsError::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => fault(
                FailureClass::CertificateExpired,
                format!("a certificate of `{host}` has expired: {error}"),
            ),
            TlsError::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => fault(
                FailureClass::CertificateNotYetValid,
                format!("a certificate of `{host}` is not valid yet (is a clock wrong?): {error}"),
            ),
            TlsError::InvalidCertificate(other) => fault(
                FailureClass::CertificateUntrusted,
                format!("the certificate of `{host}` (issuer `{issuer}`) is refused: {other}"),
            ),
            TlsError::InvalidMessage(_) => fault(
                FailureClass::NotTls,
                format!("what answers as `{host}` does not speak TLS: {error}"),
            ),
            other => fault(
                FailureClass::TlsFailed,
                format!("the TLS handshake with `{host}` failed: {other}"),
            ),
        }
    }
}

/// rustls's verifier, watched.
#[derive(Debug)]
struct Watched {
    verifier: Arc<WebPkiServerVerifier>,
    shown: Shown,
}

impl ServerCertVerifier for Watched {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        *self.shown.0.lock().unwrap_or_else(PoisonError::into_inner) =
            certificate::describe(end_entity);
        self.verifier
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
