//! Identifiers that both sides parse in the same way. A value of one of these types is valid.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: {rule}")]
pub struct InvalidId {
    /// What was given.
    pub text: String,
    /// What it should have been.
    pub kind: &'static str,
    /// The rule it breaks.
    pub rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    let text = text.chars().take(80).collect();
                    Err(InvalidId { text, kind: $kind, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A host's name in the deployment: a DNS label (RFC 1123), also the name in its certificate.
    HostName, "host name", "1 to 63 lower-case letters, digits and `-`, a letter or digit at both ends", is_label
}
text_id! {
    /// The name of a secret on a host.
    SecretName, "secret name", "1 to 63 lower-case letters, digits and `-`, a letter or digit at both ends", is_label
}
text_id! {
    /// A virtual machine's name in the deployment: a DNS label (RFC 1123), which is what Proxmox and cloud-init take.
    MachineName, "machine name", "1 to 63 lower-case letters, digits and `-`, a letter or digit at both ends", is_label
}
text_id! {
    /// The name of a stack: a Compose project name.
    StackName, "stack name", "1 to 63 lower-case letters, digits, `-` and `_`, a letter or digit first", |text| {
        (1..=63).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
    }
}
text_id! {
    /// The name of a service in a stack, as the Compose specification allows it.
    ServiceName, "service name", "1 to 63 letters, digits, `-`, `_` and `.`, a letter or digit first", |text| {
        (1..=63).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    }
}
text_id! {
    /// A SHA-256 sum.
    Sha256, "SHA-256 sum", "64 lower-case hex digits", is_sha256
}
text_id! {
    /// The identity of one operation: asking again with the same one never does the work twice.
    OperationId, "operation id", "64 lower-case hex digits", is_sha256
}
text_id! {
    /// The name of an operator, as in their certificate.
    OperatorName, "operator name", "1 to 63 lower-case letters, digits, `-`, `_`, `.` and `@`", |text| {
        (1..=63).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | '@'))
    }
}

text_id! {
    /// An application capability of a tailnet's policy: `DOMAIN/PATH` without a scheme, in a domain that is not
    /// Tailscale's own. Source: <https://tailscale.com/kb/1537/grants-app-capabilities>.
    CapabilityName, "capability name", "a domain of yours and a path, as in `example.com/cap/omni-scale`", |text| {
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte))
        };
        let (domain, path) = text.split_once('/').unwrap_or_default();
        domain.contains('.')
            && plain(domain)
            && plain(path)
            && !domain.eq_ignore_ascii_case("tailscale.com")
    }
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

impl Sha256 {
    /// The sum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes)))
    }
}

/// The UUID that `omni-scale init` gave the deployment. It never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentId(uuid::Uuid);

impl DeploymentId {
    /// Takes a UUID.
    pub const fn new(uuid: uuid::Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID.
    pub const fn uuid(self) -> uuid::Uuid {
        self.0
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

impl FromStr for DeploymentId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        uuid::Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| InvalidId {
                text: text.chars().take(80).collect(),
                kind: "deployment id",
                rule: "a UUID, as `omni-scale init` makes it",
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_rfc_1123() {
        for good in ["a", "omni", "idp-2", "0x"] {
            assert_eq!(good.parse::<HostName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a.b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sum_is_64_lower_case_hex_digits() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256::of(b"").as_str(), empty);
        assert!(empty.parse::<Sha256>().is_ok());
        assert!(empty.to_uppercase().parse::<Sha256>().is_err());
        assert!(empty[1..].parse::<Sha256>().is_err());
    }

    #[test]
    fn an_invalid_id_is_refused_when_deserialized() {
        let error = toml_like("Not A Host").unwrap_err();
        assert!(error.to_string().contains("not a host name"), "{error}");
    }

    fn toml_like(text: &str) -> Result<HostName, InvalidId> {
        HostName::try_from(text.to_owned())
    }
}
