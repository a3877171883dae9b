//! Which programs `agent.toml` lets come to this host.
//!
//! Pure. A sum that root has listed may run; a program whose sum is not listed may run only when no
//! sums are listed at all and it comes from a listed source. An upload has no source, so its sum
//! must be listed.

use omni_scale_proto::id::Sha256;
use url::Url;

use crate::config::Policy;
use crate::operation::Failure;
use omni_scale_proto::v1::FailureClass;

/// Why `agent.toml` does not allow an artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactRefusal {
    /// Root listed sums, and this is none of them.
    #[error("`artifact_sha256` in agent.toml does not list {sum}")]
    SumNotListed {
        /// The sum.
        sum: Sha256,
    },
    /// It does not come from where root said.
    #[error("`artifact_sources` in agent.toml does not allow `{url}`")]
    SourceNotListed {
        /// Where from.
        url: String,
    },
    /// The URL could mean another place to the server than to us.
    #[error("the artifact's URL `{url}` is refused: {reason}")]
    UnsafeUrl {
        /// Where from.
        url: String,
        /// Why.
        reason: &'static str,
    },
}

impl From<ArtifactRefusal> for Failure {
    fn from(refusal: ArtifactRefusal) -> Self {
        Self::from_error(FailureClass::Refused, &refusal).with_hint(
            "root decides on the host, in `/etc/omni-scale/agent.toml`, what may run there",
        )
    }
}

/// Whether this program may run, wherever it came from.
pub fn check_sum(policy: &Policy, sum: &Sha256) -> Result<(), ArtifactRefusal> {
    if policy.artifact_sha256.is_empty() || policy.artifact_sha256.contains(sum.as_str()) {
        return Ok(());
    }
    Err(ArtifactRefusal::SumNotListed { sum: sum.clone() })
}

/// Whether this program may be uploaded.
pub fn check_upload(policy: &Policy, sum: &Sha256) -> Result<(), ArtifactRefusal> {
    if policy.artifact_sha256.contains(sum.as_str()) {
        return Ok(());
    }
    Err(ArtifactRefusal::SumNotListed { sum: sum.clone() })
}

/// Whether this program may be fetched from `url`.
pub fn check_download(policy: &Policy, sum: &Sha256, url: &str) -> Result<(), ArtifactRefusal> {
    check_sum(policy, sum)?;
    let unsafe_url = |reason| ArtifactRefusal::UnsafeUrl {
        url: url.to_owned(),
        reason,
    };
    let parsed = Url::parse(url).map_err(|_| unsafe_url("it cannot be read"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(unsafe_url("it is neither http nor https"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(unsafe_url("it carries a user name"));
    }
    let path = parsed.path().to_ascii_lowercase();
    // A server may take these for separators, and leave the directory that was allowed.
    if path.contains("%2f") || path.contains("%5c") || path.contains("%2e") {
        return Err(unsafe_url("its path hides a separator"));
    }
    // A listed sum is the same program wherever it lies.
    if policy.artifact_sha256.contains(sum.as_str()) {
        return Ok(());
    }
    let allowed = policy
        .artifact_sources
        .iter()
        .filter_map(|source| Url::parse(source).ok())
        .any(|source| is_below(&parsed, &source));
    if allowed {
        Ok(())
    } else {
        Err(ArtifactRefusal::SourceNotListed {
            url: url.to_owned(),
        })
    }
}

/// Whether `url` is `source` or below it, on a boundary of path segments.
fn is_below(url: &Url, source: &Url) -> bool {
    if url.origin() != source.origin() {
        return false;
    }
    let prefix = source.path().trim_end_matches('/');
    match url.path().strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(sources: &[&str], sums: &[&Sha256]) -> Policy {
        Policy {
            artifact_sources: sources.iter().map(ToString::to_string).collect(),
            artifact_sha256: sums.iter().map(ToString::to_string).collect(),
            ..Policy::default()
        }
    }

    const SOURCE: &str = "https://github.com/tailscale/tsidp/releases/";

    #[test]
    fn a_source_ends_at_a_separator() {
        let sum = Sha256::of(b"x");
        let policy = policy(&[SOURCE], &[]);
        for good in [
            "https://github.com/tailscale/tsidp/releases/download/v1/tsidp.tar.gz",
            "https://github.com:443/tailscale/tsidp/releases/x?y=z",
            "https://GitHub.com/tailscale/tsidp/releases/x",
            "https://github.com/tailscale/tsidp/releases",
        ] {
            assert_eq!(check_download(&policy, &sum, good), Ok(()), "{good}");
        }
        for bad in [
            "https://github.com/tailscale/tsidp/releases-evil/x",
            "https://github.com/tailscale/tsidp/releases/../../evil/x",
            "https://github.com/tailscale/tsidp/releases/%2e%2e/%2e%2e/evil/x",
            "https://github.com/tailscale/tsidp/releases/..%2f..%2fevil",
            "https://github.com/tailscale/tsidp/releases/..\\..\\evil",
            "https://github.com/Tailscale/tsidp/releases/x",
            "https://github.com.evil.example/tailscale/tsidp/releases/x",
            "https://github.com@evil.example/tailscale/tsidp/releases/x",
            "https://user@github.com/tailscale/tsidp/releases/x",
            "https://github.com:444/tailscale/tsidp/releases/x",
            "http://github.com/tailscale/tsidp/releases/x",
            "file:///tailscale/tsidp/releases/x",
            "not a url",
        ] {
            assert!(check_download(&policy, &sum, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn empty_lists_allow_nothing() {
        let sum = Sha256::of(b"x");
        let nothing = policy(&[], &[]);
        assert!(check_download(&nothing, &sum, "https://a.example/x").is_err());
        assert!(check_upload(&nothing, &sum).is_err());
    }

    #[test]
    fn listed_sums_are_the_only_ones() {
        let (listed, other) = (Sha256::of(b"x"), Sha256::of(b"y"));
        let policy = policy(&["https://a.example/"], &[&listed]);
        assert_eq!(check_upload(&policy, &listed), Ok(()));
        assert_eq!(
            check_download(&policy, &listed, "https://a.example/x"),
            Ok(())
        );
        assert!(check_upload(&policy, &other).is_err());
        assert!(check_sum(&policy, &other).is_err());
        let error = check_download(&policy, &other, "https://a.example/x").unwrap_err();
        assert!(error.to_string().contains("artifact_sha256"), "{error}");
    }

    #[test]
    fn a_source_that_is_a_whole_server_allows_all_of_it() {
        let sum = Sha256::of(b"x");
        let policy = policy(&["http://10.77.0.2:8000"], &[]);
        assert_eq!(
            check_download(&policy, &sum, "http://10.77.0.2:8000/tsidp"),
            Ok(())
        );
        assert!(check_download(&policy, &sum, "http://10.77.0.2:80/tsidp").is_err());
    }
}
