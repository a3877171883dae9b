//! An authority that makes agents' certificates, good ones and bad ones.

use omni_scale_proto::enrollment::EnrollmentSecret;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, SanType,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, UnixTime};

use super::{Enrolled, Offer, Pending};

pub(crate) struct Authority {
    pub(crate) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What stands in an agent's certificate.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) name: &'static str,
    pub(crate) client_use: bool,
    pub(crate) expired: bool,
}

/// A caller's certificate and key.
pub(crate) struct ClientCertificate {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl ClientCertificate {
    pub(crate) fn shown(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (vec![self.certificate.clone()], private_key(&self.key))
    }
}

fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(key.serialize_der()).unwrap()
}

impl Pending {
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        private_key(self.key())
    }
}

impl Default for Leaf {
    fn default() -> Self {
        Self {
            name: "omni",
            client_use: false,
            expired: false,
        }
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap().der().clone();
        Self {
            certificate,
            issuer: Issuer::new(parameters, key),
        }
    }

    /// A certificate for an agent called `omni`.
    pub(crate) fn offer(&self, pending: &Pending, leaf: &Leaf) -> Offer {
        Offer {
            chain: vec![self.sign(&pending.signing_request, leaf)],
            enrolled: Enrolled {
                deployment: crate::operation::testing::deployment(),
                host: "omni".parse().unwrap(),
                authority: self.certificate.clone(),
            },
        }
    }

    /// A certificate for `ada` with this role.
    pub(crate) fn operator(&self, role: &str, expired: bool) -> ClientCertificate {
        self.client(&format!("urn:omni-scale:operator:{role}:ada"), expired)
    }

    /// A certificate for use as a client.
    pub(crate) fn client(&self, uri: &str, expired: bool) -> ClientCertificate {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if expired {
            parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let signed = parameters.signed_by(&key, &self.issuer);
        let certificate = signed.unwrap().der().clone();
        ClientCertificate { certificate, key }
    }

    pub(crate) fn sign(&self, signing_request: &[u8], leaf: &Leaf) -> CertificateDer<'static> {
        let der = CertificateSigningRequestDer::from(signing_request);
        let request = CertificateSigningRequestParams::from_der(&der).unwrap();
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = vec![SanType::DnsName(leaf.name.try_into().unwrap())];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if leaf.client_use {
            parameters
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if leaf.expired {
            parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let signed = parameters.signed_by(&request.public_key, &self.issuer);
        signed.unwrap().der().clone()
    }
}

pub(crate) fn now() -> UnixTime {
    UnixTime::now()
}

/// The secret that all tests enrol with.
pub(crate) fn secret() -> EnrollmentSecret {
    EnrollmentSecret::new([7; omni_scale_proto::enrollment::SECRET_LENGTH])
}
