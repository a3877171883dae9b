//! Which Proxmox VE answers.

use serde::Deserialize;

use crate::tolerant;

/// The answer to `/version`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// Such as `9.2.11`.
    #[serde(deserialize_with = "tolerant::required")]
    pub version: String,
    /// Such as `9.2`.
    #[serde(default, deserialize_with = "tolerant::text")]
    pub release: Option<String>,
}

impl Version {
    /// Major and minor number, when they are numbers: what privileges and parameters depend upon.
    pub fn major_minor(&self) -> Option<(u16, u16)> {
        let mut numbers = self.version.split(['.', '-']).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_version() {
        for (text, numbers) in [
            ("9.2.11", Some((9, 2))),
            ("8.4-1", Some((8, 4))),
            ("9", None),
            ("x.y", None),
        ] {
            let version: Version =
                serde_json::from_value(serde_json::json!({ "version": text })).unwrap();
            assert_eq!(version.major_minor(), numbers, "{text}");
        }
    }
}
