//! A private key under a passphrase: encrypted PKCS#8 (RFC 5958, PBES2), which `openssl pkcs8`
//! opens too.

use pkcs8::der::pem::PemLabel as _;
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument, pkcs5::pbes2};
use rand::RngCore as _;
use rand::rngs::OsRng;
use zeroize::Zeroizing;

use super::{Passphrase, PkiError};

/// scrypt with N = 2^14, r = 8, p = 5: the work of the usual N = 2^17 (OWASP lists both), in
/// 16 MiB, because OpenSSL refuses a derivation that needs more than 32 MiB.
const SCRYPT_LOG_N: u8 = 14;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 5;

/// Encrypts a key. The result is PEM.
pub(super) fn protect(
    key: &rcgen::KeyPair,
    passphrase: &Passphrase,
) -> Result<Zeroizing<String>, PkiError> {
    let failed = |problem: String| PkiError::Key { problem };
    let scrypt = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P, 32)
        .expect("the constants are in scrypt's range");
    let (mut salt, mut start) = ([0; 16], [0; 16]);
    OsRng.fill_bytes(&mut salt);
    OsRng.fill_bytes(&mut start);
    let parameters = pbes2::Parameters::scrypt_aes256cbc(scrypt, &salt, &start)
        .map_err(|error| failed(error.to_string()))?;
    PrivateKeyInfo::try_from(key.serialized_der())
        .and_then(|plain| plain.encrypt_with_params(parameters, passphrase.as_bytes()))
        .map_err(|error| failed(error.to_string()))?
        .to_pem(EncryptedPrivateKeyInfo::PEM_LABEL, LineEnding::LF)
        .map_err(|error| failed(error.to_string()))
}

/// Whether a key file needs a passphrase. A key that is kept elsewhere (`--authority-key`, a
/// descriptor of a secret store) may be in the clear.
pub(super) fn is_protected(pem: &str) -> bool {
    pem.contains(EncryptedPrivateKeyInfo::PEM_LABEL)
}

/// Opens a key.
pub(super) fn open(pem: &str, passphrase: Option<&Passphrase>) -> Result<rcgen::KeyPair, PkiError> {
    let problem = |problem: String| PkiError::Key { problem };
    let (label, document) =
        SecretDocument::from_pem(pem).map_err(|error| problem(error.to_string()))?;
    let plain = match (label, passphrase) {
        (EncryptedPrivateKeyInfo::PEM_LABEL, Some(passphrase)) => {
            EncryptedPrivateKeyInfo::try_from(document.as_bytes())
                .map_err(|error| problem(error.to_string()))?
                .decrypt(passphrase.as_bytes())
                .map_err(|_| PkiError::WrongPassphrase)?
        }
        (EncryptedPrivateKeyInfo::PEM_LABEL, None) => return Err(PkiError::WrongPassphrase),
        (PrivateKeyInfo::PEM_LABEL, _) => document,
        (other, _) => return Err(problem(format!("a PEM file of `{other}`"))),
    };
    // A wrong passphrase passes the padding check once in 256 times and leaves rubbish.
    let rubbish = |error: rcgen::Error| match passphrase {
        Some(_) => PkiError::WrongPassphrase,
        None => problem(error.to_string()),
    };
    rcgen::KeyPair::try_from(plain.as_bytes()).map_err(rubbish)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.to_owned())).unwrap()
    }

    #[test]
    fn a_key_comes_back_with_its_passphrase_only() {
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = protect(&key, &passphrase("right")).unwrap();
        assert!(is_protected(&pem));
        let opened = open(&pem, Some(&passphrase("right"))).unwrap();
        assert_eq!(opened.serialized_der(), key.serialized_der());
        for wrong in [Some(&passphrase("wrong")), None] {
            assert!(matches!(open(&pem, wrong), Err(PkiError::WrongPassphrase)));
        }
    }

    #[test]
    fn a_key_in_the_clear_needs_none_and_other_files_are_named() {
        let key = rcgen::KeyPair::generate().unwrap();
        let opened = open(&key.serialize_pem(), None).unwrap();
        assert_eq!(opened.serialized_der(), key.serialized_der());
        let refused = open("-----BEGIN X-----\nMAA=\n-----END X-----\n", None).unwrap_err();
        assert!(refused.to_string().contains("`X`"), "{refused}");
        assert!(open("no pem", None).is_err());
    }
}
