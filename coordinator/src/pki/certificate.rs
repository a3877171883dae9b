//! A certificate, and what stands in it.

use omni_scale_proto::role::OperatorIdentity;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::PkiError;

/// From how long before its end on people are told, in days.
const WARNING_DAYS: i64 = 30;

/// A certificate that was read once, and so can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    /// Serial number, lower-case hex, as deny lists carry it.
    pub serial: String,
    /// When it ends.
    pub not_after: OffsetDateTime,
    /// The operator it speaks for. None: it is no operator's.
    pub operator: Option<OperatorIdentity>,
    /// The host names it is for.
    pub host_names: Vec<String>,
}

/// How much time a certificate has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// More than 30 days.
    Far,
    /// This many days, rounded down; time to renew.
    Near {
        /// 0 to 30.
        days: i64,
    },
    /// None.
    Past,
}

impl Certificate {
    /// Reads one from DER. `what` is whose it is, for the error.
    pub fn from_der(der: CertificateDer<'static>, what: &str) -> Result<Self, PkiError> {
        let failed = |problem: String| PkiError::Certificate {
            what: what.to_owned(),
            problem,
        };
        let (_, parsed) =
            X509Certificate::from_der(&der).map_err(|error| failed(error.to_string()))?;
        let names = parsed
            .subject_alternative_name()
            .map_err(|error| failed(error.to_string()))?
            .map(|extension| extension.value.general_names.as_slice())
            .unwrap_or_default();
        let mut operator = None;
        let mut host_names = Vec::new();
        for name in names {
            match name {
                GeneralName::URI(uri) => operator = OperatorIdentity::from_uri(uri).ok(),
                GeneralName::DNSName(name) => host_names.push((*name).to_owned()),
                _ => {}
            }
        }
        let serial = data_encoding::HEXLOWER.encode(parsed.raw_serial());
        let not_after = parsed.validity().not_after.to_datetime();
        Ok(Self {
            der,
            serial,
            not_after,
            operator,
            host_names,
        })
    }

    /// Reads the first one of a PEM text.
    pub fn from_pem(pem: &[u8], what: &str) -> Result<Self, PkiError> {
        let der = CertificateDer::from_pem_slice(pem).map_err(|error| PkiError::Certificate {
            what: what.to_owned(),
            problem: error.to_string(),
        })?;
        Self::from_der(der, what)
    }

    /// The bytes.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// How much time it has left at `now`.
    pub fn expiry(&self, now: OffsetDateTime) -> Expiry {
        Expiry::of(self.not_after, now)
    }
}

impl Expiry {
    /// How much time is left at `now` until `not_after`.
    pub fn of(not_after: OffsetDateTime, now: OffsetDateTime) -> Self {
        let left = not_after - now;
        if left <= Duration::ZERO {
            Self::Past
        } else if left < Duration::days(WARNING_DAYS) {
            Self::Near {
                days: left.whole_days(),
            }
        } else {
            Self::Far
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_begins_thirty_days_before_the_end() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let after = |days| Expiry::of(now + Duration::days(days), now);
        assert_eq!(after(30), Expiry::Far);
        assert_eq!(
            Expiry::of(now + Duration::days(30) - Duration::SECOND, now),
            Expiry::Near { days: 29 }
        );
        assert_eq!(after(0), Expiry::Past);
        assert_eq!(after(-1), Expiry::Past);
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_its_name() {
        let refused = Certificate::from_pem(b"nothing", "the authority").unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("the authority cannot be read")
        );
        assert!(Certificate::from_der(CertificateDer::from(vec![1, 2]), "x").is_err());
    }
}
