//! One secret's file: a line of JSON that describes it, then the value's bytes.

use serde::{Deserialize, Serialize};

use super::SecretValue;

/// Says what kind of file it is, and of which format.
const FORMAT: &str = "omni-scale secret 1";

/// What stands in the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) set_at_milliseconds: i64,
    pub(super) keyed_digest: String,
    pub(super) consumed: bool,
}

impl Header {
    pub(super) fn new(set_at_milliseconds: i64, keyed_digest: String) -> Self {
        Self {
            format: FORMAT.to_owned(),
            set_at_milliseconds,
            keyed_digest,
            consumed: false,
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
    Ok((header, SecretValue::new(contents[end + 1..].to_vec())))
}
