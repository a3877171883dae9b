//! OpenPGP keys that Omni encrypts its master key with: making one, and saying what is wrong with one.
//!
//! What Omni asks of a key is read from its source (`keyprovider/storage.go`, v1.9): armored, private, without a
//! passphrase, exactly one user id, and a key that can encrypt now. A key that breaks one of these poisons Omni's
//! state at its first start, so it is checked before. Making a key takes seconds of CPU: use `spawn_blocking`.

use std::time::SystemTime;

use pgp::composed::{
    ArmorOptions, Deserializable as _, EncryptionCaps, KeyType, SecretKeyParamsBuilder,
    SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::packet::Signature;
use pgp::types::{KeyDetails as _, Tag};

use super::SecretValue;

/// Bits of both keys, as Omni's documentation asks for.
const RSA_BITS: u32 = 4096;

/// Why Omni cannot start with a key, or why one could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// It is not ASCII-armored OpenPGP.
    #[error("it is not an ASCII-armored OpenPGP private key")]
    NotArmored(#[source] Box<pgp::errors::Error>),
    /// It is a public key.
    #[error("it is a public key; the private key is needed")]
    PublicOnly,
    /// More than one key in the armor.
    #[error("it holds more than one key; export exactly one")]
    SeveralKeys,
    /// A passphrase protects it.
    #[error("it is protected by a passphrase, which nobody could type when Omni starts")]
    Locked,
    /// Omni names its key slot by the one user id.
    #[error(
        "it has {count} user ids; Omni needs exactly one, or it may not find its own key slot after a restart"
    )]
    UserIds {
        /// How many it has.
        count: usize,
    },
    /// A signature inside does not fit.
    #[error("the signature that binds its {part} does not verify")]
    Binding {
        /// `user id` or `subkey`.
        part: &'static str,
    },
    /// The primary key is past its end.
    #[error("it has expired")]
    Expired,
    /// Nothing in it can encrypt.
    #[error("no key in it can encrypt; Omni needs an encryption subkey")]
    CannotEncrypt,
    /// Only expired or revoked keys in it can encrypt.
    #[error("its encryption subkey has expired or is revoked")]
    EncryptionOver,
    /// It could not be made.
    #[error("cannot make an OpenPGP key")]
    Generate(#[source] Box<pgp::errors::Error>),
    /// A user id that OpenPGP cannot hold.
    #[error("`{user_id}` is no user id: give `Name <mail@example.net>` in at most 200 characters")]
    UserId {
        /// What was given.
        user_id: String,
    },
}

/// What is to be known of a key that Omni can start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundKey {
    /// Its one user id.
    pub user_id: String,
    /// Lower-case hex.
    pub fingerprint: String,
    /// True when it ends one day: what it encrypted must be moved to another key before.
    pub expires: bool,
}

/// Makes an armored private key: RSA-4096 to certify, RSA-4096 to encrypt, no end, no passphrase, one user id.
pub fn generate(user_id: &str) -> Result<SecretValue, KeyFault> {
    if user_id.trim().is_empty() || user_id.len() > 200 || user_id.chars().any(char::is_control) {
        let user_id = user_id.chars().take(80).collect();
        return Err(KeyFault::UserId { user_id });
    }
    generate_with(&KeyType::Rsa(RSA_BITS), &KeyType::Rsa(RSA_BITS), &[user_id])
}

fn generate_with(
    primary: &KeyType,
    subkey: &KeyType,
    user_ids: &[&str],
) -> Result<SecretValue, KeyFault> {
    let subkey = SubkeyParamsBuilder::default()
        .key_type(subkey.clone())
        .can_encrypt(EncryptionCaps::All)
        .build()
        .expect("all fields without a default are set");
    let mut parameters = SecretKeyParamsBuilder::default();
    parameters
        .key_type(primary.clone())
        .can_certify(true)
        .subkeys(vec![subkey]);
    if let Some((first, others)) = user_ids.split_first() {
        parameters
            .primary_user_id((*first).to_owned())
            .user_ids(others.iter().map(ToString::to_string).collect());
    }
    let parameters = parameters
        .build()
        .expect("all fields without a default are set");
    let generate = || -> pgp::errors::Result<Vec<u8>> {
        let key = parameters.generate(rand::thread_rng())?;
        key.to_armored_bytes(ArmorOptions::default())
    };
    generate()
        .map(SecretValue::new)
        .map_err(|error| KeyFault::Generate(Box::new(error)))
}

/// Says whether Omni can start with this key.
pub fn check(armored: &SecretValue, now: SystemTime) -> Result<SoundKey, KeyFault> {
    let key = parse(armored)?;
    if key.primary_key.secret_params().is_encrypted()
        || key
            .secret_subkeys
            .iter()
            .any(|subkey| subkey.key.secret_params().is_encrypted())
    {
        return Err(KeyFault::Locked);
    }
    let [user] = key.details.users.as_slice() else {
        let count = key.details.users.len();
        return Err(KeyFault::UserIds { count });
    };
    let primary = key.primary_key.public_key();
    let certification = user
        .signatures
        .iter()
        .find(|signature| {
            signature
                .verify_certification(primary, Tag::UserId, &user.id)
                .is_ok()
        })
        .ok_or(KeyFault::Binding { part: "user id" })?;
    if !key.details.revocation_signatures.is_empty() {
        return Err(KeyFault::Expired);
    }
    let primary_end = end(primary.created_at().into(), certification);
    if primary_end.is_some_and(|end| end <= now) {
        return Err(KeyFault::Expired);
    }
    let encryption_end = encryption_end(&key, certification, now)?;
    Ok(SoundKey {
        user_id: String::from_utf8_lossy(user.id.id()).into_owned(),
        fingerprint: primary.fingerprint().to_string(),
        expires: primary_end.is_some() || encryption_end.is_some(),
    })
}

fn parse(armored: &SecretValue) -> Result<SignedSecretKey, KeyFault> {
    let not_armored = |error| KeyFault::NotArmored(Box::new(error));
    if contains(armored.expose(), b"-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        return Err(KeyFault::PublicOnly);
    }
    let (mut keys, _) = SignedSecretKey::from_armor_many(armored.expose()).map_err(not_armored)?;
    let key = keys
        .next()
        .unwrap_or_else(|| Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()))
        .map_err(not_armored)?;
    if keys.next().is_some() {
        return Err(KeyFault::SeveralKeys);
    }
    Ok(key)
}

/// The end of the key that will encrypt: the latest among those that can encrypt now.
fn encryption_end(
    key: &SignedSecretKey,
    certification: &Signature,
    now: SystemTime,
) -> Result<Option<SystemTime>, KeyFault> {
    let primary = key.primary_key.public_key();
    let encrypts = |signature: &Signature| {
        signature.key_flags().encrypt_comms() || signature.key_flags().encrypt_storage()
    };
    if encrypts(certification) && primary.algorithm().can_encrypt() {
        return Ok(None);
    }
    let mut fault = KeyFault::CannotEncrypt;
    for subkey in &key.secret_subkeys {
        let public = subkey.key.public_key();
        if !public.algorithm().can_encrypt() || !subkey.signatures.iter().any(encrypts) {
            continue;
        }
        let Some(binding) = subkey.signatures.iter().find(|signature| {
            encrypts(signature) && signature.verify_subkey_binding(primary, public).is_ok()
        }) else {
            fault = KeyFault::Binding { part: "subkey" };
            continue;
        };
        let revoked = subkey
            .signatures
            .iter()
            .any(|signature| signature.typ() == Some(pgp::packet::SignatureType::SubkeyRevocation));
        let end = end(public.created_at().into(), binding);
        if revoked || end.is_some_and(|end| end <= now) {
            fault = KeyFault::EncryptionOver;
            continue;
        }
        return Ok(end);
    }
    Err(fault)
}

fn end(created: SystemTime, signature: &Signature) -> Option<SystemTime> {
    let lifetime = std::time::Duration::from(signature.key_expiration_time()?);
    (!lifetime.is_zero()).then(|| created + lifetime)
}

pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    use pgp::crypto::ecc_curve::ECCCurve;

    fn quick(user_ids: &[&str]) -> SecretValue {
        generate_with(
            &KeyType::Ed25519Legacy,
            &KeyType::ECDH(ECCCurve::Curve25519Legacy),
            user_ids,
        )
        .unwrap()
    }

    fn refused(key: &SecretValue) -> KeyFault {
        check(key, SystemTime::now()).unwrap_err()
    }

    #[test]
    fn a_generated_key_is_one_that_omni_starts_with() {
        let key = generate("Omni <omni@example.net>").unwrap();
        let sound = check(&key, SystemTime::now()).unwrap();
        assert_eq!(sound.user_id, "Omni <omni@example.net>");
        assert!(!sound.expires);
        let parsed = parse(&key).unwrap();
        assert_eq!(parsed.secret_subkeys.len(), 1);
        parsed.verify_bindings().unwrap();
    }

    #[test]
    fn a_key_with_two_user_ids_is_refused() {
        let key = quick(&["One <one@example.net>", "Two <two@example.net>"]);
        assert!(matches!(refused(&key), KeyFault::UserIds { count: 2 }));
    }

    #[test]
    fn a_public_key_is_refused() {
        let private = parse(&quick(&["One <one@example.net>"])).unwrap();
        let armored = private
            .to_public_key()
            .to_armored_bytes(ArmorOptions::default())
            .unwrap();
        let fault = refused(&SecretValue::new(armored));
        assert!(matches!(fault, KeyFault::PublicOnly));
    }

    #[test]
    fn a_key_with_a_passphrase_is_refused() {
        let mut private = parse(&quick(&["One <one@example.net>"])).unwrap();
        private
            .primary_key
            .set_password(rand::thread_rng(), &"horse".into())
            .unwrap();
        let armored = private.to_armored_bytes(ArmorOptions::default()).unwrap();
        let fault = refused(&SecretValue::new(armored));
        assert!(matches!(fault, KeyFault::Locked));
    }

    #[test]
    fn a_key_that_cannot_encrypt_is_refused() {
        let mut private = parse(&quick(&["One <one@example.net>"])).unwrap();
        private.secret_subkeys.clear();
        let armored = private.to_armored_bytes(ArmorOptions::default()).unwrap();
        let fault = refused(&SecretValue::new(armored));
        assert!(matches!(fault, KeyFault::CannotEncrypt));
    }

    #[test]
    fn a_subkey_of_another_key_is_refused() {
        let mut private = parse(&quick(&["One <one@example.net>"])).unwrap();
        let other = parse(&quick(&["Two <two@example.net>"])).unwrap();
        private.secret_subkeys = other.secret_subkeys;
        let armored = private.to_armored_bytes(ArmorOptions::default()).unwrap();
        let fault = refused(&SecretValue::new(armored));
        assert!(matches!(fault, KeyFault::Binding { part: "subkey" }));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "",
            "hunter2",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nabc",
        ] {
            let fault = refused(&SecretValue::new(text.as_bytes().to_vec()));
            assert!(matches!(fault, KeyFault::NotArmored(_)), "{text}: {fault}");
        }
    }

    #[test]
    fn a_user_id_with_a_line_break_makes_no_key() {
        assert!(matches!(generate("a\nb"), Err(KeyFault::UserId { .. })));
        assert!(matches!(generate(" "), Err(KeyFault::UserId { .. })));
    }
}
