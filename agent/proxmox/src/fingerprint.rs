//! SHA-256 fingerprints of certificates, written as Proxmox's web interface and `pvenode cert info` do.

use std::{fmt, str::FromStr};

use data_encoding::HEXUPPER_PERMISSIVE;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The SHA-256 of a certificate's DER form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a SHA-256 fingerprint: 32 bytes in hexadecimal, `AB:CD:…`")]
pub struct FingerprintError(String);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

/// With colons or without, in either case.
impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || FingerprintError(text.chars().take(100).collect());
        let digits = if text.contains(':') {
            if text.split(':').any(|pair| pair.len() != 2) {
                return Err(error());
            }
            text.replace(':', "")
        } else {
            text.to_owned()
        };
        let bytes = HEXUPPER_PERMISSIVE
            .decode(digits.as_bytes())
            .map_err(|_| error())?;
        bytes.try_into().map(Self).map_err(|_| error())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(formatter, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_shown() {
        let fingerprint = Fingerprint::of(b"certificate");
        let shown = fingerprint.to_string();
        assert_eq!(shown.len(), 95);
        for text in [shown.clone(), shown.to_lowercase(), shown.replace(':', "")] {
            assert_eq!(text.parse::<Fingerprint>().unwrap(), fingerprint);
        }
    }

    #[test]
    fn other_lengths_and_digits_are_refused() {
        let shown = Fingerprint::of(b"certificate").to_string();
        for text in [
            "",
            "AB",
            &shown[3..],
            &shown.replace(':', ":0"),
            &shown.replace('A', "G"),
            "é:é",
        ] {
            assert!(
                text == shown || text.parse::<Fingerprint>().is_err(),
                "{text}"
            );
        }
    }
}
