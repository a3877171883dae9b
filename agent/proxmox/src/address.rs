//! Where the API is: what people write as `https://pve.lan:8006`.

use std::{fmt, net::IpAddr, str::FromStr};

use rustls_pki_types::ServerName;
use thiserror::Error;

/// The port when none is written, as in Proxmox's own client (pve-apiclient, LWP.pm).
const USUAL_PORT: u16 = 8006;

/// The address of one node's API. Always HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Anything but `https://`; there is no mode without TLS.
    #[error("`{0}` does not begin with `https://`")]
    NotHttps(String),
    /// No host, or one that is neither a DNS name nor an IP address.
    #[error("`{0}` names no host")]
    Host(String),
    /// Not 1 to 65535.
    #[error("`{0}` is not a port")]
    Port(String),
    /// Credentials, a query or a path other than `/api2/json`.
    #[error("`{0}` is more than an address: the form is `https://HOST[:PORT]`")]
    More(String),
}

impl Address {
    /// The name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host for TLS.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).ok()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text
            .strip_prefix("https://")
            .ok_or_else(|| AddressError::NotHttps(text.to_owned()))?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let more = !matches!(path, "" | "/" | "/api2/json" | "/api2/json/");
        if more || authority.contains('@') {
            return Err(AddressError::More(text.to_owned()));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => bracketed
                .split_once(']')
                .ok_or_else(|| AddressError::Host(text.to_owned()))?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => USUAL_PORT,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| AddressError::Port(digits.to_owned()))?,
            None => return Err(AddressError::Host(text.to_owned())),
        };
        let bracketed = authority.starts_with('[');
        let is_host = match host.parse::<IpAddr>() {
            Ok(address) => address.is_ipv6() == bracketed,
            Err(_) => !bracketed && ServerName::try_from(host).is_ok(),
        };
        if !is_host {
            return Err(AddressError::Host(text.to_owned()));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// `HOST:PORT`, as in the `Host` header and in errors.
impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_an_address() {
        for (text, shown) in [
            ("https://pve.lan:8006", "pve.lan:8006"),
            ("https://pve.lan:8006/", "pve.lan:8006"),
            ("https://pve.lan/api2/json", "pve.lan:8006"),
            ("https://192.0.2.4:443/api2/json/", "192.0.2.4:443"),
            ("https://[2001:db8::1]", "[2001:db8::1]:8006"),
            ("https://[2001:db8::1]:9000", "[2001:db8::1]:9000"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn nothing_else_is() {
        for text in [
            "pve.lan",
            "http://pve.lan:8006",
            "https://",
            "https://:8006",
            "https://pve.lan:",
            "https://pve.lan:0",
            "https://pve.lan:65536",
            "https://root@pve.lan",
            "https://pve.lan/?x",
            "https://pve.lan/other",
            "https://2001:db8::1",
            "https://[pve.lan]",
            "https://[2001:db8::1]8006",
            "https://[2001:db8::1",
            "https://p ve",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
