//! UPIDs, the names of tasks: `UPID:node:pid:pstart:starttime:type:id:user:`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

use crate::NodeName;

/// The name of one task. Formats back to exactly the text it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upid {
    text: String,
    node: NodeName,
    started: u64,
}

/// Why a text is no UPID.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not the name of a task")]
pub struct UpidError(String);

impl Upid {
    /// The node that works, and is asked about it.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// When it began, in seconds since 1970 by the node's clock.
    pub fn started_unix_seconds(&self) -> u64 {
        self.started
    }

    /// What kind of work, such as `qmcreate`.
    pub fn kind(&self) -> &str {
        self.part(5)
    }

    /// What is worked upon: a VMID for VMs, empty for many others.
    pub fn id(&self) -> &str {
        self.part(6)
    }

    /// Who asked: `USER@REALM`, or `USER@REALM!TOKENID`.
    pub fn user(&self) -> &str {
        self.part(7)
    }

    /// A part of the text, which was found to have them all.
    fn part(&self, index: usize) -> &str {
        self.text.split(':').nth(index).unwrap_or_default()
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Upid {
    type Err = UpidError;

    /// The form is that of `upid_decode` in pve-common (Tools.pm).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let rest = text.strip_prefix("UPID:")?.strip_suffix(':')?;
            let [node, process, process_start, started, kind, id, user] =
                rest.split(':').collect::<Vec<_>>().try_into().ok()?;
            let hexadecimal = |digits: &str, lengths: &[usize]| {
                lengths.contains(&digits.len())
                    && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            };
            let word = |text: &str| !text.chars().any(char::is_whitespace);
            let well_formed = hexadecimal(process, &[8])
                && hexadecimal(process_start, &[8, 9])
                && hexadecimal(started, &[8])
                && [kind, id, user].into_iter().all(word)
                && !kind.is_empty()
                && !user.is_empty();
            if !well_formed {
                return None;
            }
            Some(Self {
                text: text.to_owned(),
                node: node.parse().ok()?,
                started: u64::from_str_radix(started, 16).ok()?,
            })
        };
        parse().ok_or_else(|| UpidError(text.chars().take(200).collect()))
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Upid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = "UPID:pve1:0000C3F1:0A1B2C3D4:65A1B2C3:qmcreate:105:omni@pve!scale:";

    #[test]
    fn its_parts_are_read_and_its_text_kept() {
        let upid: Upid = CREATE.parse().unwrap();
        assert_eq!(upid.node().as_str(), "pve1");
        assert_eq!(upid.started_unix_seconds(), 0x65A1_B2C3);
        assert_eq!((upid.kind(), upid.id()), ("qmcreate", "105"));
        assert_eq!(upid.user(), "omni@pve!scale");
        assert_eq!(upid.to_string(), CREATE);
        // Downloads work upon nothing that has a number.
        let download = "UPID:pve1:0000C3F1:0A1B2C3D:65A1B2C3:download::root@pam:";
        assert_eq!(download.parse::<Upid>().unwrap().id(), "");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "UPID:",
            "UPID::::::::",
            &CREATE[..CREATE.len() - 1],
            &format!("{CREATE}x"),
            &CREATE.replace("0000C3F1", "C3F1"),
            &CREATE.replace("65A1B2C3", "65A1B2CG"),
            &CREATE.replace("pve1", "pve/1"),
            &CREATE.replace("qmcreate", ""),
            &CREATE.replace("105", "1 05"),
        ] {
            assert!(text.parse::<Upid>().is_err(), "{text}");
        }
    }
}
