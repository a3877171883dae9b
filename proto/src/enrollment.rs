//! What both sides of an enrolment must compute alike: the token that root reads to the
//! operator, and the two proofs of it. Transport and certificates are not here.
//!
//! The token pins the agent's self-made certificate for the caller; the proofs are over the
//! digest of that certificate, so nobody in the middle can pass them on.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, Mac as _};
use sha2::Digest as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes in the one-time secret.
pub const SECRET_LENGTH: usize = 20;
/// Bytes in each side's nonce.
pub const NONCE_LENGTH: usize = 32;
/// How long a token is good for that somebody reads out, in seconds.
pub const TOKEN_LIFETIME_SECONDS: u64 = 3600;
/// How long one is good for whose secret came with a machine's first boot, which nobody watches,
/// in seconds.
pub const FIRST_BOOT_LIFETIME_SECONDS: u64 = 24 * 3600;
/// How often a wrong proof is answered before the token is void.
pub const TOKEN_ATTEMPTS: u32 = 5;

const CALLER_CONTEXT: &[u8] = b"omni-scale enroll caller v1";
const AGENT_CONTEXT: &[u8] = b"omni-scale enroll agent v1";

/// A text that is not an enrolment token. It does not repeat the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an enrolment token: {rule}")]
pub struct InvalidToken {
    /// The rule it breaks.
    pub rule: &'static str,
}

/// SHA-256 over a certificate's DER.
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(certificate).into()
}

/// The one-time secret that root made on the agent's host. Never shown by `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct EnrollmentSecret([u8; SECRET_LENGTH]);

impl EnrollmentSecret {
    /// Takes random bytes.
    pub const fn new(random: [u8; SECRET_LENGTH]) -> Self {
        Self(random)
    }

    /// The secret as text: base32 without padding, lower-case. The only way to get it so.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(BASE32_NOPAD.encode(&self.0));
        text.make_ascii_lowercase();
        text
    }

    /// The bytes, for keeping them.
    pub const fn as_bytes(&self) -> &[u8; SECRET_LENGTH] {
        &self.0
    }

    /// The caller's proof, over the certificate that the agent showed in the TLS handshake.
    pub fn caller_proof(&self, certificate: &[u8], caller_nonce: &[u8]) -> [u8; 32] {
        let mac = self.mac(&[CALLER_CONTEXT, &fingerprint(certificate), caller_nonce]);
        mac.finalize().into_bytes().into()
    }

    /// The agent's proof, which answers the caller's nonce.
    pub fn agent_proof(
        &self,
        certificate: &[u8],
        caller_nonce: &[u8],
        agent_nonce: &[u8],
    ) -> [u8; 32] {
        let print = fingerprint(certificate);
        let mac = self.mac(&[AGENT_CONTEXT, &print, caller_nonce, agent_nonce]);
        mac.finalize().into_bytes().into()
    }

    /// Whether `proof` is the caller's, in constant time. Nonces of another length are refused.
    pub fn verify_caller(&self, certificate: &[u8], caller_nonce: &[u8], proof: &[u8]) -> bool {
        caller_nonce.len() == NONCE_LENGTH
            && self
                .mac(&[CALLER_CONTEXT, &fingerprint(certificate), caller_nonce])
                .verify_slice(proof)
                .is_ok()
    }

    /// Whether `proof` is the agent's, in constant time. Nonces of another length are refused.
    pub fn verify_agent(
        &self,
        certificate: &[u8],
        caller_nonce: &[u8],
        agent_nonce: &[u8],
        proof: &[u8],
    ) -> bool {
        let print = fingerprint(certificate);
        caller_nonce.len() == NONCE_LENGTH
            && agent_nonce.len() == NONCE_LENGTH
            && self
                .mac(&[AGENT_CONTEXT, &print, caller_nonce, agent_nonce])
                .verify_slice(proof)
                .is_ok()
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<sha2::Sha256> {
        let mut mac =
            Hmac::<sha2::Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

impl FromStr for EnrollmentSecret {
    type Err = InvalidToken;

    /// Case does not matter, nor what stands around it.
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let invalid = InvalidToken {
            rule: "the secret is 32 letters and digits 2 to 7",
        };
        let upper = Zeroizing::new(text.trim().to_ascii_uppercase());
        let bytes = BASE32_NOPAD.decode(upper.as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| invalid)?;
        <[u8; SECRET_LENGTH]>::try_from(bytes.as_slice())
            .map(Self)
            .map_err(|_| invalid)
    }
}

impl fmt::Debug for EnrollmentSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EnrollmentSecret(…)")
    }
}

/// `FINGERPRINT.SECRET`: 64 hex digits over the agent's certificate, then the secret in base32
/// without padding. Case does not matter, because people type it.
#[derive(Debug, Clone)]
pub struct EnrollmentToken {
    /// SHA-256 over the DER of the certificate that the agent shows.
    pub fingerprint: [u8; 32],
    /// The one-time secret.
    pub secret: EnrollmentSecret,
}

impl EnrollmentToken {
    /// The token as root reads it.
    pub fn reveal(&self) -> Zeroizing<String> {
        let print = HEXLOWER.encode(&self.fingerprint);
        Zeroizing::new(format!("{print}.{}", self.secret.reveal().as_str()))
    }

    /// Whether the certificate in the TLS handshake is the one that the token names.
    pub fn pins(&self, certificate: &[u8]) -> bool {
        fingerprint(certificate) == self.fingerprint
    }
}

impl FromStr for EnrollmentToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let invalid = |rule| InvalidToken { rule };
        let (print, secret) = text
            .trim()
            .split_once('.')
            .ok_or(invalid("it is `FINGERPRINT.SECRET`, with one dot"))?;
        let fingerprint = HEXLOWER_PERMISSIVE
            .decode(print.as_bytes())
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .ok_or(invalid("before the dot stand 64 hex digits"))?;
        // A secret that stands alone may have a line's end after it; inside a token nothing may.
        let secret = (secret == secret.trim())
            .then(|| secret.parse().ok())
            .flatten()
            .ok_or(invalid("after the dot stand 32 letters and digits 2 to 7"))?;
        Ok(Self {
            fingerprint,
            secret,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &[u8] = b"certificate";
    const NONCE: [u8; NONCE_LENGTH] = [1; NONCE_LENGTH];
    const ANSWER: [u8; NONCE_LENGTH] = [2; NONCE_LENGTH];

    fn token() -> EnrollmentToken {
        EnrollmentToken {
            fingerprint: fingerprint(CERTIFICATE),
            secret: EnrollmentSecret::new([7; SECRET_LENGTH]),
        }
    }

    #[test]
    fn a_token_survives_being_typed() {
        let text = token().reveal();
        for typed in [
            text.to_string(),
            text.to_uppercase(),
            format!("  {}\n", text.as_str()),
        ] {
            let read: EnrollmentToken = typed.parse().unwrap();
            assert!(read.pins(CERTIFICATE) && !read.pins(b"other"));
            assert_eq!(read.secret.as_bytes(), token().secret.as_bytes());
        }
    }

    #[test]
    fn other_texts_are_no_token_and_are_not_repeated() {
        let good = token().reveal().to_string();
        for bad in [
            "",
            "x",
            "a.b",
            &good[1..],
            &good[..good.len() - 1],
            &good.replace('.', ""),
            &good.replace('.', " ."),
            &good.replace('.', ". "),
            &good.replace('.', ".\n"),
        ] {
            let error = bad.parse::<EnrollmentToken>().unwrap_err().to_string();
            assert!(bad.len() < 4 || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn a_secret_survives_a_file_and_nothing_else_is_one() {
        let secret = EnrollmentSecret::new([7; SECRET_LENGTH]);
        let text = secret.reveal();
        assert_eq!(text.len(), 32);
        for read in [
            text.to_string(),
            format!("{}\n", text.as_str()),
            text.to_uppercase(),
        ] {
            let read: EnrollmentSecret = read.parse().unwrap();
            assert_eq!(read.as_bytes(), secret.as_bytes());
        }
        for bad in ["", "x", &text[1..], &format!("{}aaaaaaaa", text.as_str())] {
            let error = bad.parse::<EnrollmentSecret>().unwrap_err().to_string();
            assert!(bad.len() < 4 || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", token());
        assert!(shown.contains("EnrollmentSecret(…)"), "{shown}");
    }

    #[test]
    fn each_proof_is_good_for_its_own_side_certificate_and_nonces_only() {
        let secret = token().secret;
        let caller = secret.caller_proof(CERTIFICATE, &NONCE);
        let agent = secret.agent_proof(CERTIFICATE, &NONCE, &ANSWER);
        assert!(secret.verify_caller(CERTIFICATE, &NONCE, &caller));
        assert!(secret.verify_agent(CERTIFICATE, &NONCE, &ANSWER, &agent));

        assert!(!secret.verify_caller(b"other", &NONCE, &caller));
        assert!(!secret.verify_caller(CERTIFICATE, &ANSWER, &caller));
        assert!(!secret.verify_caller(CERTIFICATE, &NONCE, &agent));
        assert!(!secret.verify_caller(CERTIFICATE, &NONCE, &caller[..31]));
        assert!(!secret.verify_agent(CERTIFICATE, &ANSWER, &ANSWER, &agent));
        assert!(!secret.verify_agent(CERTIFICATE, &NONCE, &NONCE, &agent));
        assert!(!EnrollmentSecret::new([8; 20]).verify_caller(CERTIFICATE, &NONCE, &caller));
    }

    #[test]
    fn a_nonce_of_another_length_is_refused() {
        let secret = token().secret;
        let proof = secret.caller_proof(CERTIFICATE, b"");
        assert!(!secret.verify_caller(CERTIFICATE, b"", &proof));
    }
}
