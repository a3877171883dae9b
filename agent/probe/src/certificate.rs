//! What a certificate says of itself, for the report. Whether it is trusted is not decided here.

use rustls_pki_types::CertificateDer;
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer, X509Certificate},
};

use crate::report::PeerCertificate;

/// Names beyond this many are left out of the report.
const MOST_NAMES: usize = 50;

/// Reads what a report says of a certificate; nothing if it is not one.
pub(crate) fn describe(certificate: &CertificateDer<'_>) -> Option<PeerCertificate> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(names),
            _ => None,
        })
        .map(|names| {
            names
                .general_names
                .iter()
                .filter_map(name)
                .take(MOST_NAMES)
                .collect()
        })
        .unwrap_or_default();
    Some(PeerCertificate {
        names,
        issuer: certificate.issuer().to_string(),
        not_after_unix_seconds: certificate.validity().not_after.timestamp(),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|octets| std::net::IpAddr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|octets| std::net::IpAddr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use omni_scale_noise::{damaged_bytes, hold_against};

    use super::*;

    #[test]
    fn noise_in_a_certificate_breaks_nothing() {
        let names = [
            "idp.tail.test".to_owned(),
            "100.64.0.5".to_owned(),
            "::1".to_owned(),
        ];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let der = made.cert.der().to_vec();
        assert_eq!(describe(made.cert.der()).unwrap().names.len(), 3);
        hold_against(
            "certificates",
            |dice| CertificateDer::from(damaged_bytes(dice, &der)),
            |certificate| drop(describe(certificate)),
        );
    }
}
