//! The certificate authority with its key open: it makes certificates and nothing else.

use omni_scale_proto::id::{DeploymentId, HostName};
use omni_scale_proto::role::OperatorIdentity;
use rand::RngCore as _;
use rand::rngs::OsRng;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber,
};
use rustls::pki_types::CertificateSigningRequestDer;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::{Certificate, Credential, Passphrase, PkiError, protected_key};

/// How long the certificates of agents and operators are valid, in days.
pub const LEAF_DAYS: i64 = 90;
/// How long the authority's own is valid, in days: ten years.
const AUTHORITY_DAYS: i64 = 3652;
/// Certificates begin this long before they are made, so that a host whose clock is behind by
/// less takes them. The preflight allows 60 s.
const BACKDATE: Duration = Duration::minutes(5);

/// An authority that can sign. Made from its key only; the key is wiped when it is dropped.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Authority")
            .field("serial", &self.certificate.serial)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes the authority of a deployment.
    pub(super) fn create(deployment: DeploymentId, now: OffsetDateTime) -> Result<Self, PkiError> {
        let what = "the authority's certificate";
        let failed = |source| PkiError::Make { what, source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut parameters = parameters(&format!("omni-scale {deployment}"), now, AUTHORITY_DAYS);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = parameters.self_signed(&key).map_err(failed)?;
        Self::with_key(Certificate::from_der(certificate.into(), what)?, key)
    }

    /// Its key as it goes to disk.
    pub(super) fn protected_key(
        &self,
        passphrase: &Passphrase,
    ) -> Result<Zeroizing<String>, PkiError> {
        protected_key::protect(self.issuer.key(), passphrase)
    }

    /// Opens the authority that a certificate names. `passphrase` may be missing when the key
    /// is in the clear.
    pub(super) fn open(
        certificate: Certificate,
        key_pem: &str,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, PkiError> {
        let key = protected_key::open(key_pem, passphrase)?;
        Self::with_key(certificate, key)
    }

    fn with_key(certificate: Certificate, key: KeyPair) -> Result<Self, PkiError> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate.der())
            .map_err(|_| PkiError::ForeignKey)?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            return Err(PkiError::ForeignKey);
        }
        let issuer =
            Issuer::from_ca_cert_der(certificate.der(), key).map_err(|source| PkiError::Make {
                what: "an issuer from the authority's certificate",
                source,
            })?;
        Ok(Self {
            certificate,
            issuer,
        })
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Makes the certificate of an agent: for serving only, for this host name only. Of the
    /// signing request, only the key is taken; its signature proves that the agent has it.
    pub fn issue_agent(
        &self,
        host: &HostName,
        signing_request: &[u8],
        now: OffsetDateTime,
    ) -> Result<Certificate, PkiError> {
        let refused = |source| PkiError::SigningRequest {
            host: host.clone(),
            source,
        };
        let request = CertificateSigningRequestParams::from_der(
            &CertificateSigningRequestDer::from(signing_request),
        )
        .map_err(refused)?;
        let mut parameters = self.leaf_parameters(host.as_str(), now);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let name = host.as_str().to_owned().try_into().map_err(refused)?;
        parameters.subject_alt_names = vec![SanType::DnsName(name)];
        self.sign(&parameters, &request.public_key, "an agent's certificate")
    }

    /// Makes a key and the certificate of an operator: for use as a client only, with name and
    /// role as its one URI.
    pub fn issue_operator(
        &self,
        identity: &OperatorIdentity,
        now: OffsetDateTime,
    ) -> Result<Credential, PkiError> {
        let what = "an operator's certificate";
        let failed = |source| PkiError::Make { what, source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut parameters = self.leaf_parameters(identity.name.as_str(), now);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let uri = identity.to_uri().try_into().map_err(failed)?;
        parameters.subject_alt_names = vec![SanType::URI(uri)];
        let certificate = self.sign(&parameters, &key, what)?;
        Credential::new(
            certificate,
            &Zeroizing::new(key.serialize_pem()),
            self.certificate.clone(),
        )
    }

    fn leaf_parameters(&self, name: &str, now: OffsetDateTime) -> CertificateParams {
        let mut parameters = parameters(name, now, LEAF_DAYS);
        // Nothing is valid for longer than the authority that vouches for it.
        parameters.not_after = parameters.not_after.min(self.certificate.not_after);
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        parameters
    }

    fn sign(
        &self,
        parameters: &CertificateParams,
        key: &impl PublicKeyData,
        what: &'static str,
    ) -> Result<Certificate, PkiError> {
        let certificate = parameters
            .signed_by(key, &self.issuer)
            .map_err(|source| PkiError::Make { what, source })?;
        Certificate::from_der(certificate.into(), what)
    }
}

fn parameters(name: &str, now: OffsetDateTime, days: i64) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.remove(DnType::CommonName);
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.serial_number = Some(serial_number());
    parameters.not_before = now - BACKDATE;
    parameters.not_after = parameters.not_before + Duration::days(days);
    parameters
}

/// 128 random bits whose first byte is 1 to 127: DER then adds no byte, and no tool drops one,
/// so that its hex form is the same everywhere.
fn serial_number() -> SerialNumber {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    bytes[0] = (bytes[0] & 0x7f).max(1);
    SerialNumber::from_slice(&bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn passphrase() -> Passphrase {
        Passphrase::new(Zeroizing::new("correct horse".to_owned())).unwrap()
    }

    pub(crate) fn deployment() -> DeploymentId {
        "7f2c6a54-9f0e-4c1e-8f61-0a2d9f1f8a11".parse().unwrap()
    }

    pub(crate) fn authority() -> Authority {
        let now = OffsetDateTime::now_utc();
        Authority::create(deployment(), now).unwrap()
    }

    pub(crate) fn operator(role: &str) -> OperatorIdentity {
        OperatorIdentity {
            name: "ada".parse().unwrap(),
            role: role.parse().unwrap(),
        }
    }

    pub(crate) fn signing_request(key: &KeyPair) -> Vec<u8> {
        let parameters = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
        parameters.serialize_request(key).unwrap().der().to_vec()
    }

    fn host() -> HostName {
        "idp".parse().unwrap()
    }

    #[test]
    fn an_agent_gets_its_host_name_and_serving_only_whatever_it_asks_for() {
        let key = KeyPair::generate().unwrap();
        let now = OffsetDateTime::now_utc();
        let certificate = authority()
            .issue_agent(&host(), &signing_request(&key), now)
            .unwrap();
        assert_eq!(certificate.host_names, ["idp"]);
        assert_eq!(certificate.operator, None);
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate.der()).unwrap();
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth && !usage.any);
        assert!(!parsed.is_ca());
        let validity = parsed.validity();
        let days = validity.not_after.to_datetime() - validity.not_before.to_datetime();
        assert_eq!(days, Duration::days(LEAF_DAYS));
    }

    #[test]
    fn an_operator_gets_one_uri_and_client_use_only() {
        let credential = authority()
            .issue_operator(&operator("viewer"), OffsetDateTime::now_utc())
            .unwrap();
        let certificate = credential.certificate();
        assert_eq!(certificate.operator, Some(operator("viewer")));
        assert!(certificate.host_names.is_empty());
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate.der()).unwrap();
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && !usage.any);
    }

    #[test]
    fn a_signing_request_with_a_broken_signature_is_refused() {
        let mut request = signing_request(&KeyPair::generate().unwrap());
        *request.last_mut().unwrap() ^= 1;
        let now = OffsetDateTime::now_utc();
        let refused = authority().issue_agent(&host(), &request, now).unwrap_err();
        assert!(
            matches!(refused, PkiError::SigningRequest { .. }),
            "{refused}"
        );
        assert!(authority().issue_agent(&host(), b"rubbish", now).is_err());
    }

    #[test]
    fn serial_numbers_have_one_hex_form() {
        for _ in 0..100 {
            let bytes = serial_number().to_bytes();
            assert!(bytes.len() == 16 && (1..=0x7f).contains(&bytes[0]));
        }
        let issued = authority()
            .issue_operator(&operator("admin"), OffsetDateTime::now_utc())
            .unwrap();
        assert_eq!(issued.certificate().serial.len(), 32);
    }

    #[test]
    fn a_key_of_another_authority_is_refused() {
        let other = KeyPair::generate().unwrap().serialize_pem();
        let refused = Authority::open(authority().certificate().clone(), &other, None).unwrap_err();
        assert!(matches!(refused, PkiError::ForeignKey));
    }

    #[test]
    fn no_certificate_outlives_its_authority() {
        let authority = authority();
        let late = authority.certificate().not_after - Duration::days(10);
        let issued = authority.issue_operator(&operator("admin"), late).unwrap();
        assert_eq!(
            issued.certificate().not_after,
            authority.certificate().not_after
        );
    }
}
