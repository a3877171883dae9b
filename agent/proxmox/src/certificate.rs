//! What a peer's certificate says of itself, for errors and warnings. Whether it is trusted is not decided here.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use crate::Fingerprint;

/// Names beyond this many are left out.
const MOST_NAMES: usize = 20;

/// The certificate that a node showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// What a pin is compared with.
    pub fingerprint: Fingerprint,
    /// Whom it names, as DNS names and IP addresses.
    pub names: Vec<String>,
    /// Its issuer's distinguished name; empty when the certificate cannot be read.
    pub issuer: String,
    /// When it expires, in seconds since 1970. Under a pin this is not enforced, as in Proxmox's own client; a
    /// caller may warn of it.
    pub not_after_unix_seconds: Option<i64>,
}

impl PeerCertificate {
    pub(crate) fn describe(certificate: &CertificateDer<'_>) -> Self {
        let fingerprint = Fingerprint::of(certificate);
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
            return Self {
                fingerprint,
                names: Vec::new(),
                issuer: String::new(),
                not_after_unix_seconds: None,
            };
        };
        let names = parsed
            .extensions()
            .iter()
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            })
            .flatten()
            .filter_map(name)
            .take(MOST_NAMES)
            .collect();
        Self {
            fingerprint,
            names,
            issuer: parsed.issuer().to_string(),
            not_after_unix_seconds: Some(parsed.validity().not_after.timestamp()),
        }
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    use std::net::IpAddr;
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}
