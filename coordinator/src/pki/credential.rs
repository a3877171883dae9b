//! What an operator shows to agents, and by what they know agents.

use omni_scale_proto::role::OperatorIdentity;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::{Certificate, PkiError};

/// Key and certificate of an operator, and the authority of their deployment.
pub struct Credential {
    operator: OperatorIdentity,
    certificate: Certificate,
    key: PrivateKeyDer<'static>,
    key_pem: Zeroizing<String>,
    authority: Certificate,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credential")
            .field("operator", &self.operator)
            .field("serial", &self.certificate.serial)
            .finish_non_exhaustive()
    }
}

impl Credential {
    /// Takes the parts. The certificate must speak for an operator, the key must be readable.
    pub fn new(
        certificate: Certificate,
        key_pem: &str,
        authority: Certificate,
    ) -> Result<Self, PkiError> {
        let Some(operator) = certificate.operator.clone() else {
            return Err(PkiError::Certificate {
                what: "the operator's certificate".to_owned(),
                problem: "it names no operator".to_owned(),
            });
        };
        let key =
            PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| PkiError::Key {
                problem: error.to_string(),
            })?;
        Ok(Self {
            operator,
            certificate,
            key,
            key_pem: Zeroizing::new(key_pem.to_owned()),
            authority,
        })
    }

    /// The operator's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The authority that agents' certificates must come from.
    pub fn authority(&self) -> &Certificate {
        &self.authority
    }

    /// Who it speaks for.
    pub const fn operator(&self) -> &OperatorIdentity {
        &self.operator
    }

    /// The key for a TLS handshake.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// The key as it goes into a file.
    pub(super) fn key_pem(&self) -> &Zeroizing<String> {
        &self.key_pem
    }
}

/// A certificate as PEM.
pub(super) fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let body = data_encoding::BASE64.encode(certificate);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("base64 is ASCII"))
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}
