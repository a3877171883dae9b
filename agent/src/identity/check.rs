//! Whether a certificate that is offered to this agent is one that it can serve with.

use std::sync::Arc;

use omni_scale_proto::id::HostName;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why a certificate is not taken.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    /// It has no leaf, or something in it is not X.509.
    #[error("the {part} is not an X.509 certificate")]
    Malformed {
        /// `leaf` or `authority`.
        part: &'static str,
    },
    /// It is for somebody else's key.
    #[error("the certificate is not for the key of the signing request")]
    OtherKey,
    /// The authority may not make certificates.
    #[error("the authority's certificate is not that of a certificate authority")]
    NoAuthority,
    /// The chain does not lead to the authority, or is not for serving under this name now.
    #[error("the certificate is not one of this authority for serving as `{host}` now")]
    Chain {
        /// The name.
        host: HostName,
        /// Why.
        #[source]
        source: Box<rustls::Error>,
    },
    /// An agent's certificate must be of no use to a caller.
    #[error("the certificate is not for serving alone")]
    ClientUse,
    /// The authority is not a root that TLS can use.
    #[error("the authority's certificate cannot be used")]
    Root(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Checks everything that can be known now. Returns the end of the leaf's validity in milliseconds since the epoch.
pub(super) fn check(
    chain: &[CertificateDer<'static>],
    public_key: &[u8],
    authority: &CertificateDer<'static>,
    host: &HostName,
    now: UnixTime,
) -> Result<i64, CertificateFault> {
    let (leaf, intermediates) = chain
        .split_first()
        .ok_or(CertificateFault::Malformed { part: "leaf" })?;
    let parsed = parse(leaf, "leaf")?;
    if parsed.tbs_certificate.subject_pki.raw != public_key {
        return Err(CertificateFault::OtherKey);
    }
    if !parse(authority, "authority")?.is_ca() {
        return Err(CertificateFault::NoAuthority);
    }
    verify(leaf, intermediates, authority, host, now)?;
    let usage = parsed.extended_key_usage().ok().flatten();
    if !usage.is_some_and(|usage| {
        usage.value.server_auth && !usage.value.client_auth && !usage.value.any
    }) {
        return Err(CertificateFault::ClientUse);
    }
    Ok(parsed.validity().not_after.timestamp().saturating_mul(1000))
}

fn verify(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    authority: &CertificateDer<'static>,
    host: &HostName,
    now: UnixTime,
) -> Result<(), CertificateFault> {
    let root_fault = |source| CertificateFault::Root(source);
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.clone())
        .map_err(|error| root_fault(error.into()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| root_fault(error.into()))?;
    let name = ServerName::try_from(host.as_str()).expect("a host name is a DNS label");
    verifier
        .verify_server_cert(leaf, intermediates, &name, &[], now)
        .map_err(|source| CertificateFault::Chain {
            host: host.clone(),
            source: Box::new(source),
        })?;
    Ok(())
}

/// The end of a certificate's validity in milliseconds since the Unix epoch.
pub(super) fn not_after(leaf: &CertificateDer<'_>) -> Result<i64, CertificateFault> {
    let seconds = parse(leaf, "leaf")?.validity().not_after.timestamp();
    Ok(seconds.saturating_mul(1000))
}

fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
    part: &'static str,
) -> Result<X509Certificate<'a>, CertificateFault> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(CertificateFault::Malformed { part }),
    }
}
