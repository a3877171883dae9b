//! Who a connection's certificate speaks for.

use std::net::SocketAddr;
use std::sync::Arc;

use omni_scale_proto::role::OperatorIdentity;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Who is at the other end of a connection. Each request carries it as an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// An operator, by a certificate of this deployment's authority.
    Operator(OperatorCaller),
    /// Anybody: without a certificate, on an agent that is to be enrolled. May only enrol it.
    Enrolling {
        /// Where the connection comes from.
        peer: Option<SocketAddr>,
        /// DER of the agent's certificate that this connection was shown.
        shown_certificate: Vec<u8>,
    },
    /// A certificate of this deployment's authority that names no operator.
    Unidentified {
        /// Why it does not.
        reason: String,
        /// Where the connection comes from.
        peer: Option<SocketAddr>,
    },
}

/// An operator with their certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorCaller {
    /// Name and role.
    pub identity: OperatorIdentity,
    /// Serial number of the certificate, lower-case hex.
    pub serial: String,
    /// End of the certificate, milliseconds since the Unix epoch.
    pub not_after_milliseconds: i64,
    /// The authority that the certificate was verified by, DER.
    pub authority: Option<Arc<[u8]>>,
    /// Where the connection comes from.
    pub peer: Option<SocketAddr>,
}

impl Caller {
    /// Where the connection comes from.
    pub const fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Operator(operator) => operator.peer,
            Self::Enrolling { peer, .. } | Self::Unidentified { peer, .. } => *peer,
        }
    }

    /// Reads a client certificate whose chain, validity and use TLS has verified already, by this authority.
    pub fn from_certificate(
        der: &[u8],
        authority: Option<Arc<[u8]>>,
        peer: Option<SocketAddr>,
    ) -> Self {
        let unidentified = |reason: &str| Self::Unidentified {
            reason: reason.to_owned(),
            peer,
        };
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            return unidentified("the certificate cannot be read");
        };
        let names = match certificate.subject_alternative_name() {
            Ok(Some(extension)) => &extension.value.general_names,
            Ok(None) => return unidentified("the certificate carries no operator identity"),
            Err(_) => return unidentified("the certificate's names cannot be read"),
        };
        let mut uris = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        let (Some(uri), None) = (uris.next(), uris.next()) else {
            return unidentified("the certificate does not carry exactly one operator identity");
        };
        match OperatorIdentity::from_uri(uri) {
            Ok(identity) => Self::Operator(OperatorCaller {
                identity,
                serial: serial(&certificate),
                not_after_milliseconds: certificate
                    .validity()
                    .not_after
                    .timestamp()
                    .saturating_mul(1000),
                authority,
                peer,
            }),
            Err(error) => unidentified(&error.to_string()),
        }
    }
}

/// A certificate's serial number as deny lists carry it: lower-case hex of its bytes.
fn serial(certificate: &X509Certificate<'_>) -> String {
    data_encoding::HEXLOWER.encode(certificate.raw_serial())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(names: &[&str]) -> Vec<u8> {
        let mut parameters = CertificateParams::new(vec!["desk".to_owned()]).unwrap();
        let uris = names
            .iter()
            .map(|name| SanType::URI((*name).try_into().unwrap()));
        parameters.subject_alt_names.extend(uris);
        parameters
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn an_operator_is_read_from_the_certificate() {
        let caller = Caller::from_certificate(
            &certificate(&["urn:omni-scale:operator:viewer:ada"]),
            None,
            None,
        );
        let Caller::Operator(operator) = caller else {
            panic!("{caller:?}")
        };
        assert_eq!(operator.identity.name.as_str(), "ada");
        assert!(!operator.serial.is_empty() && operator.not_after_milliseconds > 0);
    }

    #[test]
    fn anything_but_one_identity_is_nobody() {
        for names in [
            &[][..],
            &["urn:other:x"],
            &[
                "urn:omni-scale:operator:viewer:a",
                "urn:omni-scale:operator:admin:a",
            ],
        ] {
            let caller = Caller::from_certificate(&certificate(names), None, None);
            assert!(matches!(caller, Caller::Unidentified { .. }), "{caller:?}");
        }
        assert!(matches!(
            Caller::from_certificate(b"x", None, None),
            Caller::Unidentified { .. }
        ));
    }

    #[test]
    fn noise_in_a_certificate_names_nobody_else() {
        let good = certificate(&["urn:omni-scale:operator:viewer:ada"]);
        let damaged =
            |dice: &mut omni_scale_noise::Dice| omni_scale_noise::damaged_bytes(dice, &good);
        omni_scale_noise::hold_against("certificates of callers", damaged, |der| {
            match Caller::from_certificate(der, None, None) {
                Caller::Operator(caller) => assert!(!caller.identity.name.as_str().is_empty()),
                Caller::Unidentified { reason, .. } => assert!(!reason.is_empty()),
                Caller::Enrolling { .. } => panic!("it showed a certificate"),
            }
        });
    }
}
