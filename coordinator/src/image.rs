//! References to container images, as people write them: `repository[:tag][@sha256:…]`.
//!
//! Does not normalise: `tailscale/tailscale` stays so, and what it means is the Engine's to say.

use std::fmt;
use std::str::FromStr;

use omni_scale_proto::id::Sha256;

/// A reference to an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    repository: String,
    tag: Option<String>,
    digest: Option<Sha256>,
}

/// A text that is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {rule}")]
pub struct InvalidImage {
    text: String,
    rule: &'static str,
}

impl ImageReference {
    /// The repository with its registry, as written: `ghcr.io/siderolabs/omni`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag. Absent and without a digest, the Engine takes `latest`.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest.
    pub fn digest(&self) -> Option<&Sha256> {
        self.digest.as_ref()
    }

    /// Whether the content is fixed by a digest.
    pub fn is_pinned(&self) -> bool {
        self.digest.is_some()
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@sha256:{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for ImageReference {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        let invalid = |rule| InvalidImage {
            text: text.chars().take(160).collect(),
            rule,
        };
        let (name, digest) = match text.split_once('@') {
            None => (text, None),
            Some((name, digest)) => {
                let sum = digest
                    .strip_prefix("sha256:")
                    .and_then(|sum| sum.parse().ok())
                    .ok_or_else(|| {
                        invalid("the digest must be `sha256:` and 64 lower-case hex digits")
                    })?;
                (name, Some(sum))
            }
        };
        // A colon before the last slash belongs to the registry's port.
        let path_start = name.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match name[path_start..].find(':') {
            None => (name, None),
            Some(colon) => {
                let (repository, tag) = name.split_at(path_start + colon);
                (repository, Some(&tag[1..]))
            }
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(invalid(
                "a tag has 1 to 128 letters, digits, `_`, `.` and `-`",
            ));
        }
        if repository.len() > 255 {
            return Err(invalid("the repository is longer than 255 characters"));
        }
        let (registry, path) = match repository.split_once('/') {
            Some((first, rest)) if is_registry(first) => (Some(first), rest),
            _ => (None, repository),
        };
        if registry.is_some_and(|registry| !is_address(registry)) {
            return Err(invalid(
                "the registry must be a host name, with a port if need be",
            ));
        }
        if !path.split('/').all(is_path_component) {
            return Err(invalid(
                "a repository has lower-case letters and digits, single `.`, `_`, `-` between them",
            ));
        }
        Ok(Self {
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// Whether the part before the first slash names a registry, by the Engine's own rule.
fn is_registry(part: &str) -> bool {
    part.contains(['.', ':'])
        || part == "localhost"
        || part.contains(|c: char| c.is_ascii_uppercase())
}

fn is_address(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !registry.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    if let Some(literal) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return literal.parse::<std::net::Ipv6Addr>().is_ok();
    }
    host.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    })
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// Letters and digits, with one `.`, one or two `_`, or any number of `-` between them.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    component.starts_with(alphanumeric)
        && component.ends_with(alphanumeric)
        && component.split(alphanumeric).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.chars().all(|c| c == '-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_survive_reading() {
        for text in [
            "omni",
            "tailscale/tailscale",
            "ghcr.io/siderolabs/omni:v1.10.4",
            "registry.lab:5000/omni",
            "registry.lab:5000/omni:v1",
            "localhost/omni:v1",
            "[::1]:5000/omni",
            "a/b__c/d---e.f:_x",
            &format!("omni@sha256:{SUM}"),
            &format!("registry.lab:5000/a/b:v1@sha256:{SUM}"),
        ] {
            let reference: ImageReference = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn a_port_is_no_tag() {
        let reference: ImageReference = "registry.lab:5000/omni".parse().unwrap();
        assert_eq!(reference.repository(), "registry.lab:5000/omni");
        assert_eq!(reference.tag(), None);
    }

    #[test]
    fn other_texts_are_no_references() {
        for text in [
            "",
            "Omni",
            "omni:",
            "omni:-x",
            "omni/",
            "/omni",
            "a//b",
            "omni:v1:v2",
            "https://ghcr.io/omni",
            "omni@sha256:abc",
            "omni@sha512:abc",
            "omni v1",
            "a...b",
            "registry.lab:99999/omni",
            &format!("omni@sha256:{SUM}@sha256:{SUM}"),
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text}");
        }
    }
}
