//! Digests that tell whether a value is another one, and nothing else about it.

use std::fmt;
use std::path::Path;

use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac as _};
use omni_scale_proto::id::SecretName;
use rand::RngCore as _;
use zeroize::Zeroizing;

use super::SecretValue;
use crate::files::{self, FileError};

/// Bytes of the key.
const LENGTH: usize = 32;

/// The key of the digests. It is made on this host and never leaves it.
pub(super) struct DigestKey(Zeroizing<Vec<u8>>);

impl DigestKey {
    /// Reads the key, and makes it when there is none. Blocks.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        if let Some(key) = files::read(path, LENGTH as u64)?.filter(|key| key.len() == LENGTH) {
            return Ok(Self(Zeroizing::new(key)));
        }
        let mut key = Zeroizing::new(vec![0; LENGTH]);
        rand::rngs::OsRng.fill_bytes(&mut key);
        files::write_atomically(path, &key, 0o600)?;
        Ok(Self(key))
    }

    /// HMAC-SHA-256 over name and value, lower-case hex. Differs between names.
    pub(super) fn digest(&self, name: &SecretName, value: &SecretValue) -> String {
        let mut mac =
            Hmac::<sha2::Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(name.as_str().as_bytes());
        mac.update(b"\0");
        mac.update(value.expose());
        HEXLOWER.encode(&mac.finalize().into_bytes())
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DigestKey(…)")
    }
}
