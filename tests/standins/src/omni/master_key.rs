//! The key that encrypts Omni's storage: what is read of it, and how the real one judges it.
//!
//! Nothing is encrypted here; the judgement alone is kept: which keys a first start takes, which only later fail, and
//! which poison the state (facts/omni.md §1.4, and the failures seen).

use std::{path::Path, time::SystemTime};

use pgp::{
    composed::{Any, SignedPublicKey, SignedSecretKey},
    packet::Signature,
    types::{KeyDetails, Timestamp},
};

use crate::failure::{Failure, go_error};

/// A key as far as Omni cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MasterKey {
    /// In the order of the key.
    pub(super) user_ids: Vec<String>,
    /// Lower-case hexadecimal.
    pub(super) fingerprint: String,
    pub(super) secrecy: Secrecy,
    /// Whether something can be encrypted to it now.
    pub(super) encrypts: bool,
}

/// Whether the secret half is there to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    Plain,
    Protected,
    Absent,
}

impl MasterKey {
    /// Reads what `--private-key-source` names.
    pub(super) fn read(source: &str) -> Result<Self, Failure> {
        const AT: u64 = 1_000;
        let Some(path) = source.strip_prefix("file://") else {
            return Err(Failure::new(
                AT,
                format!("unknown private key source '{source}'"),
            ));
        };
        let text = std::fs::read_to_string(Path::new(path)).map_err(|error| {
            Failure::new(
                AT,
                format!(
                    "failed to read private key file '{path}': open {path}: {}",
                    go_error(&error)
                ),
            )
        })?;
        Self::parse(&text, SystemTime::now()).map_err(|reason| {
            Failure::new(AT, format!("failed to parse private key file '{path}': gopenpgp: error in reading key ring: {reason}"))
        })
    }

    fn parse(text: &str, now: SystemTime) -> Result<Self, String> {
        let (found, _) = Any::from_string(text)
            .map_err(|_| "openpgp: invalid argument: no armored data found".to_owned())?;
        let key = match found {
            Any::SecretKey(key) => Self::of_secret(&key, now),
            Any::PublicKey(key) => Self::of_public(&key, Secrecy::Absent, now),
            Any::Cleartext(_) | Any::Message(_) | Any::Signature(_) => {
                return Err(
                    "openpgp: invalid argument: expected public or private key block".to_owned(),
                );
            }
        };
        if key.user_ids.is_empty() {
            return Err("openpgp: invalid data: entity without any identities".to_owned());
        }
        Ok(key)
    }

    fn of_secret(key: &SignedSecretKey, now: SystemTime) -> Self {
        let protected = key.primary_key.secret_params().is_encrypted()
            || key
                .secret_subkeys
                .iter()
                .any(|subkey| subkey.key.secret_params().is_encrypted());
        let secrecy = if protected {
            Secrecy::Protected
        } else {
            Secrecy::Plain
        };
        Self::of_public(&key.to_public_key(), secrecy, now)
    }

    fn of_public(key: &SignedPublicKey, secrecy: Secrecy, now: SystemTime) -> Self {
        let own = key
            .details
            .users
            .iter()
            .filter_map(|user| newest(&user.signatures));
        let primary = own.max_by_key(|signature| signature.created().map(Timestamp::as_secs));
        let primary_lives =
            primary.is_none_or(|signature| lives(key.primary_key.created_at(), signature, now));
        let primary_encrypts =
            primary.is_some_and(may_encrypt) && key.primary_key.algorithm().can_encrypt();
        let subkey_encrypts = key.public_subkeys.iter().any(|subkey| {
            subkey.key.algorithm().can_encrypt()
                && newest(&subkey.signatures).is_some_and(|signature| {
                    may_encrypt(signature) && lives(subkey.key.created_at(), signature, now)
                })
        });
        Self {
            user_ids: key
                .details
                .users
                .iter()
                .map(|user| String::from_utf8_lossy(user.id.id()).into_owned())
                .collect(),
            fingerprint: key.primary_key.fingerprint().to_string().to_lowercase(),
            secrecy,
            encrypts: primary_lives && (subkey_encrypts || primary_encrypts),
        }
    }

    /// The name of the slot that start `start` (from 1) looks for. The real one takes the user id from a map, so with
    /// several it is chance; here bit `start - 1` of `seed` says whether the first one comes up again.
    pub(super) fn slot(&self, start: u64, seed: u64) -> String {
        let lucky = start == 1 || start > 64 || (seed >> (start - 1)) & 1 == 1;
        let chosen = usize::from(!(lucky || self.user_ids.len() < 2));
        format!("{} {}", self.user_ids[chosen], self.fingerprint)
    }
}

fn newest(signatures: &[Signature]) -> Option<&Signature> {
    signatures
        .iter()
        .max_by_key(|signature| signature.created().map(Timestamp::as_secs))
}

fn may_encrypt(signature: &Signature) -> bool {
    let flags = signature.key_flags();
    flags.encrypt_comms() || flags.encrypt_storage()
}

fn lives(created: Timestamp, signature: &Signature, now: SystemTime) -> bool {
    match signature.key_expiration_time() {
        Some(lifetime) if lifetime.as_secs() > 0 => {
            SystemTime::from(created) + std::time::Duration::from(lifetime) > now
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Flaw, encryption_key};

    /// Made by GnuPG 2.2 as Omni's documentation says: certify key and encryption subkey, no expiry, no passphrase.
    const GNUPG: &str = include_str!("../../tests/keys/gnupg.asc");

    fn made(flaw: Flaw) -> MasterKey {
        MasterKey::parse(
            &encryption_key("Omni <omni@example.com>", flaw).unwrap(),
            SystemTime::now(),
        )
        .unwrap()
    }

    #[test]
    fn a_key_of_gnupg_is_good() {
        let key = MasterKey::parse(GNUPG, SystemTime::now()).unwrap();
        assert_eq!(
            key.user_ids,
            ["Omni (Used for etcd data encryption) <omni@example.com>"]
        );
        assert_eq!((key.secrecy, key.encrypts), (Secrecy::Plain, true));
        assert_eq!(key.fingerprint.len(), 40);
    }

    #[test]
    fn every_flaw_is_seen() {
        let facts = |flaw| {
            let key = made(flaw);
            (key.user_ids.len(), key.secrecy, key.encrypts)
        };
        assert_eq!(facts(Flaw::None), (1, Secrecy::Plain, true));
        assert_eq!(facts(Flaw::Passphrase), (1, Secrecy::Protected, true));
        assert_eq!(facts(Flaw::PublicOnly), (1, Secrecy::Absent, true));
        assert_eq!(facts(Flaw::NoEncryption), (1, Secrecy::Plain, false));
        assert_eq!(facts(Flaw::ExpiredEncryption), (1, Secrecy::Plain, false));
        assert_eq!(facts(Flaw::TwoUserIds), (2, Secrecy::Plain, true));
    }

    #[test]
    fn with_two_user_ids_only_a_lucky_start_finds_its_slot() {
        let key = made(Flaw::TwoUserIds);
        let first = key.slot(1, 0);
        assert_ne!(key.slot(2, 0), first);
        assert_eq!(key.slot(2, 0b10), first);
        assert_ne!(key.slot(3, 0b10), first);
        assert_eq!(made(Flaw::None).slot(2, 0).split(' ').next(), Some("Omni"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(
            MasterKey::parse("", SystemTime::now())
                .unwrap_err()
                .contains("no armored data found")
        );
        let source = MasterKey::read("/omni.asc").unwrap_err();
        assert_eq!(source.text, "unknown private key source '/omni.asc'");
        let absent = MasterKey::read("file:///does/not/exist").unwrap_err();
        assert!(
            absent
                .text
                .starts_with("failed to read private key file '/does/not/exist': ")
        );
        assert!(absent.text.ends_with("no such file or directory"));
    }
}
