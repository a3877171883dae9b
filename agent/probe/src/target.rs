//! A URL as a probe uses it: scheme, host, port and path, already known to be usable.
//!
//! Only what a probe needs of RFC 3986; a URL with user information is refused, so that no secret is ever logged.

use std::net::IpAddr;

use http::{Uri, uri::Scheme};
use rustls_pki_types::ServerName;

use crate::{dns::Name, fault::Fault, report::FailureClass};

/// Where to connect and what to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whether TLS is spoken.
    pub(crate) secure: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// The `Host` header: the authority as it was written.
    pub(crate) authority: String,
    /// Path and query, beginning with `/`.
    pub(crate) path: String,
}

/// The host of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// A name that has to be resolved, with the text it was written in.
    Name { text: String, name: Name },
    /// A literal address.
    Address(IpAddr),
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, Fault> {
        let bad = |reason: &str| {
            Fault::new(
                FailureClass::BadRequest,
                format!("the URL `{url}` {reason}"),
            )
        };
        let uri: Uri = url
            .parse()
            .map_err(|error| bad(&format!("cannot be read: {error}")))?;
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(bad("is neither `http` nor `https`")),
        };
        let authority = uri.authority().ok_or_else(|| bad("has no host"))?;
        if authority.as_str().contains('@') {
            // Not quoted: it may hold a password.
            return Err(Fault::new(
                FailureClass::BadRequest,
                "the URL has user information before its host",
            ));
        }
        if url.contains('#') {
            return Err(bad("has a fragment"));
        }
        let text = authority.host();
        let port = match authority.as_str().get(text.len()..) {
            None | Some("") if secure => 443,
            None | Some("") => 80,
            Some(after) => after
                .strip_prefix(':')
                .and_then(|digits| digits.parse().ok())
                .filter(|port| *port != 0)
                .ok_or_else(|| bad("has no usable port"))?,
        };
        let host = match text.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name {
                name: Name::parse(text)
                    .map_err(|error| bad(&format!("has no usable host: {error}")))?,
                text: text.to_owned(),
            },
        };
        Ok(Self {
            secure,
            host,
            port,
            authority: authority.as_str().to_owned(),
            path: uri
                .path_and_query()
                .map_or("/", http::uri::PathAndQuery::as_str)
                .to_owned(),
        })
    }

    /// The name that the peer's certificate must carry.
    pub(crate) fn server_name(&self) -> Result<ServerName<'static>, Fault> {
        match &self.host {
            Host::Address(address) => Ok(ServerName::from(*address)),
            Host::Name { text, .. } => ServerName::try_from(text.trim_end_matches('.').to_owned())
                .map_err(|_| {
                    Fault::new(
                        FailureClass::BadRequest,
                        format!("`{text}` cannot be the name in a certificate"),
                    )
                }),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name { text, .. } => formatter.write_str(text),
            Self::Address(address) => write!(formatter, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_follows_the_scheme_unless_it_is_given() {
        assert_eq!(
            Target::parse("https://idp.tail.test/x?y=1").unwrap().port,
            443
        );
        assert_eq!(Target::parse("http://idp.tail.test").unwrap().port, 80);
        let given = Target::parse("http://127.0.0.1:8080/healthz").unwrap();
        assert_eq!(
            (given.port, given.path.as_str(), given.authority.as_str()),
            (8080, "/healthz", "127.0.0.1:8080")
        );
    }

    #[test]
    fn a_literal_address_needs_no_name() {
        assert_eq!(
            Target::parse("https://[fd7a::1]:8443/").unwrap().host,
            Host::Address("fd7a::1".parse().unwrap())
        );
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for url in [
            "",
            "idp",
            "/healthz",
            "ftp://idp/",
            "https://",
            "https://:443/",
            "https://a b/",
            "https://idp:0/",
            "https://idp:99999/",
            "https://idp:/",
            "https://x..y/",
            "https://idp/#f",
            "https://straße.test/",
        ] {
            let refused = Target::parse(url).unwrap_err();
            assert_eq!(refused.class, FailureClass::BadRequest, "{url}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let refused = Target::parse("https://user:hunter2@idp/").unwrap_err();
        assert!(!refused.message.contains("hunter2"), "{}", refused.message);
    }
}
