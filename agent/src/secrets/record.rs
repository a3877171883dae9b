//! What is known of a secret beside its value; and its file: a line of JSON that says so, then the
//! value's bytes.

use omni_scale_proto::id::{InvalidId, SecretName, Sha256};
use omni_scale_proto::v1::{self, SecretUse};
use serde::{Deserialize, Serialize};

use super::SecretValue;

/// Says what kind of file it is, and of which format.
const FORMAT: &str = "omni-scale secret 1";

/// What may be told of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRecord {
    /// Its name.
    pub name: SecretName,
    /// Milliseconds since the Unix epoch.
    pub set_at_milliseconds: i64,
    /// HMAC-SHA-256 under a key of this host, lower-case hex. Differs between names.
    pub keyed_digest: String,
    /// The value was for one use, and is gone.
    pub consumed: bool,
    /// What it is for, as far as who set it has said.
    pub usage: SecretUse,
    /// The value waits for the confirmation that its export is in safe keeping.
    pub candidate: bool,
}

impl From<SecretRecord> for v1::SecretStatus {
    fn from(record: SecretRecord) -> Self {
        Self {
            name: record.name.into(),
            set_at_milliseconds: record.set_at_milliseconds,
            keyed_digest: record.keyed_digest,
            consumed: record.consumed,
            candidate: record.candidate,
        }
    }
}

/// What stands in the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) set_at_milliseconds: i64,
    pub(super) keyed_digest: String,
    pub(super) consumed: bool,
    /// What it is for, as far as who set it has said.
    #[serde(default, skip_serializing_if = "is_unspecified")]
    pub(super) usage: SecretUse,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_unspecified(usage: &SecretUse) -> bool {
    matches!(usage, SecretUse::Unspecified)
}

impl Header {
    pub(super) fn new(set_at_milliseconds: i64, keyed_digest: String, usage: SecretUse) -> Self {
        Self {
            format: FORMAT.to_owned(),
            set_at_milliseconds,
            keyed_digest,
            consumed: false,
            usage,
        }
    }
}

/// Why a file is not a secret's.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it has no first line")]
    NoHeader,
    #[error("its first line is not understood")]
    Header(#[source] serde_json::Error),
    #[error("its format is `{0}`, not `{FORMAT}`")]
    Format(String),
    #[error("its digest is none")]
    Digest(#[source] InvalidId),
}

pub(super) fn encode(header: &Header, value: &[u8]) -> Vec<u8> {
    let mut contents = serde_json::to_vec(header).expect("a header of plain fields is JSON");
    contents.push(b'\n');
    contents.extend_from_slice(value);
    contents
}

pub(super) fn decode(contents: &[u8]) -> Result<(Header, SecretValue), Malformed> {
    let end = contents
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or(Malformed::NoHeader)?;
    let header: Header = serde_json::from_slice(&contents[..end]).map_err(Malformed::Header)?;
    if header.format != FORMAT {
        return Err(Malformed::Format(header.format.chars().take(80).collect()));
    }
    if let Err(invalid) = header.keyed_digest.parse::<Sha256>() {
        return Err(Malformed::Digest(invalid));
    }
    Ok((header, SecretValue::new(contents[end + 1..].to_vec())))
}

#[cfg(test)]
mod tests {
    use omni_scale_noise::{Dice, damaged_bytes, hold_against};

    use super::*;

    #[test]
    fn noise_in_a_file_is_refused_without_its_value() {
        let good = encode(
            &Header::new(1_700_000_000_000, "ab".repeat(32), SecretUse::OidcClientId),
            b"hunter2\nhunter3",
        );
        let make = |dice: &mut Dice| damaged_bytes(dice, &good);
        hold_against("files of secrets", make, |contents| {
            match decode(contents) {
                // Part of it becomes the name of a file.
                Ok((header, _)) => assert_eq!(header.keyed_digest.len(), 64),
                Err(refused) => assert!(!refused.to_string().contains("hunter")),
            }
        });
    }
}
