//! The service account key that the provider holds.

use std::fmt;

use data_encoding::BASE64;
use pgp::composed::{Deserializable, SignedSecretKey};
use serde::Deserialize;

/// What of a key is used here: whose it is. The secret half is only checked to be one.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ServiceAccount {
    pub(super) name: String,
}

#[derive(Deserialize)]
struct Encoded {
    name: String,
    pgp_key: String,
}

impl ServiceAccount {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let bytes = BASE64.decode(text.trim().as_bytes()).map_err(|error| {
            format!(
                "error decoding service account key: illegal base64 data at input byte {}",
                error.position
            )
        })?;
        let encoded: Encoded = serde_json::from_slice(&bytes)
            .map_err(|_| "error decoding service account key: invalid JSON".to_owned())?;
        SignedSecretKey::from_string(&encoded.pgp_key)
            .map_err(|_| "error decoding service account key: openpgp: invalid argument: no armored data found".to_owned())?;
        Ok(Self { name: encoded.name })
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ServiceAccount({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;

    #[test]
    fn a_key_of_a_provider_is_read() {
        let account = ServiceAccount::parse(&keys::provider_key("proxmox").unwrap()).unwrap();
        assert_eq!(account.name, "infra-provider:proxmox");
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        for text in [
            "not base64!",
            "e30=",
            &BASE64.encode(br#"{"name":"x","pgp_key":"hunter2"}"#),
        ] {
            let reason = ServiceAccount::parse(text).unwrap_err();
            assert!(
                reason.starts_with("error decoding service account key"),
                "{reason}"
            );
            assert!(!reason.contains("hunter2"));
        }
    }
}
