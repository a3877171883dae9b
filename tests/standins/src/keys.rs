//! OpenPGP keys, good and bad: for the lab's secrets, and for every way in which Omni refuses one.

use anyhow::{Context, anyhow};
use data_encoding::BASE64;
use pgp::{
    composed::{
        ArmorOptions, EncryptionCaps, KeyType, SecretKeyParamsBuilder, SignedSecretKey,
        SubkeyParamsBuilder,
    },
    crypto::hash::HashAlgorithm,
    packet::{KeyFlags, SignatureConfig, SignatureType, Subpacket, SubpacketData},
    types::{Duration, KeyDetails as _, Password, Timestamp},
};
use rand::thread_rng;

/// The e-mail of a provider's key, after its id (omni: client/pkg/access, see the facts in README.md).
const PROVIDER_DOMAIN: &str = "infra-provider.serviceaccount.omni.sidero.dev";
/// What the name of a provider's key begins with.
pub const PROVIDER_PREFIX: &str = "infra-provider:";

/// The age of a key whose subkey has expired, in seconds.
const LONG_AGO: u32 = 30 * 86_400;

/// What is wrong with a key, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Omni takes it.
    None,
    /// Protected by a passphrase.
    Passphrase,
    /// Only the public half.
    PublicOnly,
    /// No subkey that encrypts.
    NoEncryption,
    /// A subkey that encrypts, expired.
    ExpiredEncryption,
    /// Two user ids.
    TwoUserIds,
}

impl Flaw {
    /// Every flaw by the name that the program takes.
    pub const ALL: [(&str, Self); 6] = [
        ("none", Self::None),
        ("passphrase", Self::Passphrase),
        ("public-only", Self::PublicOnly),
        ("no-encryption", Self::NoEncryption),
        ("expired-encryption", Self::ExpiredEncryption),
        ("two-user-ids", Self::TwoUserIds),
    ];
}

/// An armored key for Omni's storage: Ed25519, with an encrypting subkey.
pub fn encryption_key(user_id: &str, flaw: Flaw) -> anyhow::Result<String> {
    let passphrase = (flaw == Flaw::Passphrase).then(|| "correct horse".to_owned());
    let now = Timestamp::now().as_secs();
    let age = if flaw == Flaw::ExpiredEncryption {
        LONG_AGO
    } else {
        0
    };
    let created = Timestamp::from_secs(now.saturating_sub(age));
    let mut params = SecretKeyParamsBuilder::default();
    params
        .created_at(created)
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(true)
        .primary_user_id(user_id.to_owned())
        .passphrase(passphrase.clone());
    if flaw == Flaw::TwoUserIds {
        params.user_id("Second Name <second@example.com>");
    }
    if flaw != Flaw::NoEncryption {
        let subkey = SubkeyParamsBuilder::default()
            .created_at(created)
            .key_type(KeyType::ECDH(
                pgp::crypto::ecc_curve::ECCCurve::Curve25519Legacy,
            ))
            .can_encrypt(EncryptionCaps::All)
            .passphrase(passphrase)
            .build()
            .context("cannot describe a subkey")?;
        params.subkey(subkey);
    }
    let params = params.build().context("cannot describe a key")?;
    let mut key = params.generate(thread_rng()).context("cannot make a key")?;
    if flaw == Flaw::ExpiredEncryption {
        expire_subkeys(&mut key)?;
    }
    let options = ArmorOptions::default();
    let text = match flaw {
        Flaw::PublicOnly => key.to_public_key().to_armored_string(options),
        _ => key.to_armored_string(options),
    };
    text.context("cannot write a key")
}

/// Binds the subkeys anew, for one second from their making.
fn expire_subkeys(key: &mut SignedSecretKey) -> anyhow::Result<()> {
    let primary = key.primary_key.clone();
    for subkey in &mut key.secret_subkeys {
        let mut flags = KeyFlags::default();
        flags.set_encrypt_comms(true);
        flags.set_encrypt_storage(true);
        let mut binding = SignatureConfig::v4(
            SignatureType::SubkeyBinding,
            primary.algorithm(),
            HashAlgorithm::Sha256,
        );
        binding.hashed_subpackets = [
            SubpacketData::SignatureCreationTime(Timestamp::now()),
            SubpacketData::KeyFlags(flags),
            // Counted from the making of the key, which was `LONG_AGO`.
            SubpacketData::KeyExpirationTime(Duration::from_secs(1)),
            SubpacketData::IssuerFingerprint(primary.fingerprint()),
        ]
        .into_iter()
        .map(Subpacket::regular)
        .collect::<Result<_, _>>()
        .context("cannot describe a binding")?;
        let signature = binding
            .sign_subkey_binding(
                &primary,
                primary.public_key(),
                &Password::empty(),
                subkey.key.public_key(),
            )
            .context("cannot bind a subkey")?;
        subkey.signatures = vec![signature];
    }
    Ok(())
}

/// What `OMNI_SERVICE_ACCOUNT_KEY` holds for an infra provider: base64 of JSON with the name and an armored key.
pub fn provider_key(id: &str) -> anyhow::Result<String> {
    service_account_key(
        &format!("{PROVIDER_PREFIX}{id}"),
        &format!("{id}@{PROVIDER_DOMAIN}"),
    )
}

/// What `OMNI_SERVICE_ACCOUNT_KEY` holds for any service account.
pub fn service_account_key(name: &str, email: &str) -> anyhow::Result<String> {
    let key = encryption_key(&format!("{name} <{email}>"), Flaw::NoEncryption)?;
    let json = serde_json::json!({ "name": name, "pgp_key": key });
    let text = serde_json::to_string(&json)
        .map_err(|error| anyhow!(error))
        .context("cannot write a key")?;
    Ok(BASE64.encode(text.as_bytes()))
}
