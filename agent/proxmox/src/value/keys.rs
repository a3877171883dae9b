//! SSH keys for cloud-init.

use std::fmt;

use crate::encoding::{decoded, percent};

use super::ValueError;

/// Public keys. Written percent-encoded once, since the API stores them so (`urlencoded`; a space as it is gets a
/// 400); the form that carries them encodes them a second time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshKeys(Vec<String>);

impl SshKeys {
    /// Keys as in `authorized_keys`, one each.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<Self, ValueError> {
        let check = |key: &str| {
            let key = key.trim();
            let plain = !key.chars().any(char::is_control) && key.split(' ').count() >= 2;
            if plain {
                Ok(key.to_owned())
            } else {
                Err(ValueError::new(key, "a public SSH key"))
            }
        };
        keys.into_iter()
            .map(check)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// What a configuration says.
    pub fn read(text: &str) -> Self {
        let keys = decoded(text);
        Self(
            keys.lines()
                .map(str::trim)
                .filter(|key| !key.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }
}

impl fmt::Display for SshKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: String = self.0.iter().flat_map(|key| [key.as_str(), "\n"]).collect();
        formatter.write_str(&percent(&lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::form;

    #[test]
    fn they_are_encoded_twice_on_the_wire() {
        let keys = SshKeys::new(["ssh-ed25519 AAAAC3Nz op@lan"]).unwrap();
        assert_eq!(keys.to_string(), "ssh-ed25519%20AAAAC3Nz%20op%40lan%0A");
        assert_eq!(
            form(&[("sshkeys".to_owned(), keys.to_string())]),
            "sshkeys=ssh-ed25519%2520AAAAC3Nz%2520op%2540lan%250A"
        );
        assert_eq!(SshKeys::read(&keys.to_string()), keys);
        assert!(SshKeys::new(["ssh-ed25519 a\nssh-rsa b"]).is_err());
        assert!(SshKeys::new(["key"]).is_err());
    }
}
