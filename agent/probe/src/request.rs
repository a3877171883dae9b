//! What can be asked of a probe: one URL, one expectation, and how to get there.
//!
//! A request is data that crosses a process border (JSON), so it is strict: an unknown key is refused.
//! [`ProbeRequest::check`] is the one place that says whether a request makes sense; nothing here does I/O.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

/// The path of an OpenID Connect discovery document, after the issuer (OpenID Connect Discovery 1.0, §4).
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// The time a probe may take when the request does not say, in milliseconds.
pub const DEFAULT_TIMEOUT_MILLISECONDS: u32 = 10_000;

/// The longest time that a request may ask for, in milliseconds.
pub const LONGEST_TIMEOUT_MILLISECONDS: u32 = 120_000;

/// The most probes in one run of the binary.
pub const MOST_PROBES: usize = 32;

/// One GET of one URL, and what the answer must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// Absolute `http://` or `https://` URL, without user information.
    pub url: String,
    /// What the answer must be for the probe to be met.
    pub expect: Expectation,
    /// PEM certificates: exactly these roots are trusted, the system's are not.
    ///
    /// Needed for `https`. A root that the TLS library cannot read is passed over as long as one is left.
    #[serde(default)]
    pub roots_pem: String,
    /// Bound on the whole probe in milliseconds, 1 to [`LONGEST_TIMEOUT_MILLISECONDS`].
    #[serde(default = "default_timeout")]
    pub timeout_milliseconds: u32,
    /// How the host name of the URL becomes addresses.
    #[serde(default)]
    pub resolver: Resolver,
}

/// What the answer must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Expectation {
    /// An OpenID Connect issuer: the document is 200 and JSON, its `issuer` is exactly this one, and its `jwks_uri`
    /// answers 200 with at least one key.
    Discovery {
        /// The issuer, as the relying party is configured with it. The request's URL is this and [`DISCOVERY_PATH`].
        issuer: String,
    },
    /// A status code and a body.
    Status {
        /// The HTTP status code, 100 to 599.
        code: u16,
        /// What the body must be.
        #[serde(default)]
        body: BodyExpectation,
    },
}

/// What the body of an answer must be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BodyExpectation {
    /// Anything.
    #[default]
    Any,
    /// No byte at all: Omni answers unknown paths with 200 and a page, and only `/healthz` with nothing.
    Empty,
    /// UTF-8 text that contains this one.
    Contains {
        /// The text, not empty.
        text: String,
    },
}

/// How a host name becomes addresses. A literal address in the URL needs none of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Resolver {
    /// The probe asks the nameservers of this file itself, never through the C library.
    ResolvConf {
        /// Usually `/etc/resolv.conf`.
        path: PathBuf,
        /// A hosts file that is looked at first, as the product in the same namespace does; absent: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hosts_path: Option<PathBuf>,
    },
    /// The operating system's own way (`getaddrinfo`): what the other programs of a host see.
    System,
    /// These nameservers and no file: one of them alone can be told from what `resolv.conf` makes of them.
    Nameservers {
        /// At least one; the port of DNS is 53.
        addresses: Vec<SocketAddr>,
    },
    /// These addresses, in this order; the name is used for TLS and the `Host` header only.
    Fixed {
        /// At least one.
        addresses: Vec<IpAddr>,
    },
}

impl Default for Resolver {
    fn default() -> Self {
        Self::ResolvConf {
            path: PathBuf::from("/etc/resolv.conf"),
            hosts_path: Some(PathBuf::from("/etc/hosts")),
        }
    }
}

/// What the binary reads: one request or several that run side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeInput {
    /// One request; the binary prints one report.
    One(Box<ProbeRequest>),
    /// 1 to [`MOST_PROBES`] requests; the binary prints a list of reports in the same order.
    Several(Vec<ProbeRequest>),
}

impl ProbeRequest {
    /// Asks whether `issuer` serves its discovery document and keys, trusting exactly `roots_pem`.
    pub fn discovery(issuer: &str, roots_pem: impl Into<String>) -> Self {
        Self {
            url: format!("{issuer}{DISCOVERY_PATH}"),
            expect: Expectation::Discovery {
                issuer: issuer.to_owned(),
            },
            roots_pem: roots_pem.into(),
            timeout_milliseconds: DEFAULT_TIMEOUT_MILLISECONDS,
            resolver: Resolver::default(),
        }
    }

    /// Asks whether `url` answers with this status code and body, trusting exactly `roots_pem`.
    pub fn status(
        url: &str,
        code: u16,
        body: BodyExpectation,
        roots_pem: impl Into<String>,
    ) -> Self {
        Self {
            url: url.to_owned(),
            expect: Expectation::Status { code, body },
            roots_pem: roots_pem.into(),
            timeout_milliseconds: DEFAULT_TIMEOUT_MILLISECONDS,
            resolver: Resolver::default(),
        }
    }

    /// The same request with another resolver.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    /// The same request with another bound on the whole probe.
    #[must_use]
    pub fn with_timeout_milliseconds(mut self, timeout_milliseconds: u32) -> Self {
        self.timeout_milliseconds = timeout_milliseconds;
        self
    }
}

fn default_timeout() -> u32 {
    DEFAULT_TIMEOUT_MILLISECONDS
}
