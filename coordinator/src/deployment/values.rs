//! Values of a deployment that are right once they are parsed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::image::ImageReference;

/// A value that is not what its key wants. The message never shows more than 80 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct InvalidValue {
    text: String,
    wanted: &'static str,
}

impl InvalidValue {
    fn new(text: &str, wanted: &'static str) -> Self {
        Self {
            text: text.chars().take(80).collect(),
            wanted,
        }
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl $name {
            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

/// A DNS name of at least two labels, lower-case, without the trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);
as_text!(DnsName);

impl FromStr for DnsName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let valid = text.len() <= 253 && text.contains('.') && text.split('.').all(is_label);
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidValue::new(
                text,
                "a DNS name: lower-case labels joined by dots, no dot at the end",
            ))
        }
    }
}

/// What a resolver adds to names without a dot: lower-case labels joined by dots; one is enough.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SearchDomain(String);
as_text!(SearchDomain);

impl FromStr for SearchDomain {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text.len() <= 253 && text.split('.').all(is_label) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidValue::new(
                text,
                "a search domain: lower-case labels joined by dots, no dot at the end",
            ))
        }
    }
}

/// The name of a node on the tailnet: one lower-case DNS label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);
as_text!(NodeName);

impl NodeName {
    /// The node's full name in a tailnet.
    ///
    /// # Panics
    ///
    /// Never: a label before a DNS name is a DNS name, and only its length could forbid it.
    pub fn within(&self, domain: &DnsName) -> DnsName {
        DnsName(format!("{}.{domain}", self.0))
    }
}

impl FromStr for NodeName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidValue::new(
                text,
                "a node name: 1 to 63 lower-case letters, digits and `-`, a letter or digit at both ends",
            ))
        }
    }
}

/// A name of a node, storage, bridge or processor at the hypervisor: nothing in it may end a
/// property.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HypervisorWord(String);
as_text!(HypervisorWord);

impl From<HypervisorWord> for String {
    fn from(word: HypervisorWord) -> Self {
        word.0
    }
}

impl FromStr for HypervisorWord {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if omni_scale_proto::machine::is_hypervisor_word(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidValue::new(
                text,
                "a name of Proxmox: 1 to 100 letters, digits, `-`, `_`, `.` or `+`",
            ))
        }
    }
}

/// An address with the length of its network's prefix: `192.168.1.21/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubnetAddress {
    address: IpAddr,
    prefix_length: u8,
}

impl SubnetAddress {
    /// The address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Bits of its network: at most 32 or 128.
    pub const fn prefix_length(self) -> u8 {
        self.prefix_length
    }
}

impl FromStr for SubnetAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let parsed = text.split_once('/').and_then(|(address, length)| {
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let prefix_length = length.parse().ok().filter(|length| *length <= most)?;
            Some(Self {
                address,
                prefix_length,
            })
        });
        parsed.ok_or_else(|| {
            InvalidValue::new(
                text,
                "an address with its prefix length, as `192.168.1.21/24`",
            )
        })
    }
}

/// A size as `8GiB` or `512MiB`, whole mebibytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    mebibytes: u32,
}

impl Size {
    /// Mebibytes.
    pub const fn mebibytes(self) -> u32 {
        self.mebibytes
    }

    /// Gibibytes, if it is whole ones.
    pub const fn gibibytes(self) -> Option<u32> {
        if self.mebibytes.is_multiple_of(1024) {
            Some(self.mebibytes / 1024)
        } else {
            None
        }
    }
}

impl FromStr for Size {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let units = [("TiB", 1024 * 1024), ("GiB", 1024), ("MiB", 1)];
        let size = units.iter().find_map(|(unit, factor)| {
            let number: u32 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(*factor).filter(|size| *size > 0)
        });
        size.map(|mebibytes| Self { mebibytes })
            .ok_or_else(|| InvalidValue::new(text, "a size like `8GiB`, `512MiB` or `1TiB`"))
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

/// An `http://` or `https://` address without user, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl(String);
as_text!(HttpUrl);

impl FromStr for HttpUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = || InvalidValue::new(text, "an `http://` or `https://` address");
        let uri: http::Uri = text.parse().map_err(|_| invalid())?;
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().is_some_and(|authority| {
            !authority.as_str().contains('@') && !authority.host().is_empty()
        });
        if scheme && authority && uri.query().is_none() && !text.contains('#') {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid())
        }
    }
}

/// An OIDC issuer: `https://`, compared byte by byte, so no slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(String);
as_text!(Issuer);

impl Issuer {
    /// The issuer of a tsidp with this name, listening on 443.
    pub fn of_tsidp(name: &DnsName) -> Self {
        Self(format!("https://{name}"))
    }
}

impl FromStr for Issuer {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let valid = text.starts_with("https://") && !text.ends_with('/');
        if valid && HttpUrl::from_str(text).is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidValue::new(
                text,
                "an issuer: `https://…` without a slash at the end",
            ))
        }
    }
}

/// An address of the Omni host that Talos machines reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LanAddress(IpAddr);

impl LanAddress {
    /// The address.
    pub const fn ip(self) -> IpAddr {
        self.0
    }
}

impl FromStr for LanAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let address: IpAddr = text.parse().map_err(|_| {
            InvalidValue::new(
                text,
                "an IP address; Omni hands it to machines, which resolve no names",
            )
        })?;
        let of_a_tailnet = match address {
            IpAddr::V4(v4) => v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64,
            IpAddr::V6(v6) => v6.segments()[..3] == [0xfd7a, 0x115c, 0xa1e0],
        };
        if of_a_tailnet {
            return Err(InvalidValue::new(
                text,
                "an address of the LAN but of a tailnet, where Talos machines are not",
            ));
        }
        let link_local = match address {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        if address.is_loopback() || address.is_unspecified() || address.is_multicast() || link_local
        {
            return Err(InvalidValue::new(
                text,
                "an address that other machines of the LAN can reach",
            ));
        }
        Ok(Self(address))
    }
}

/// An e-mail address, as an OIDC token spells it. Upper and lower case matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailAddress(String);
as_text!(EmailAddress);

impl FromStr for EmailAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let valid = text.len() <= 254
            && text
                .chars()
                .all(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | ','))
            && text.rsplit_once('@').is_some_and(|(local, domain)| {
                !local.is_empty() && !local.contains('@') && !domain.is_empty()
            });
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidValue::new(text, "an e-mail address"))
        }
    }
}

/// A released version of Omni: what may stand in its configuration depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OmniVersion {
    /// Before the first dot.
    pub major: u32,
    /// After it.
    pub minor: u32,
}

impl OmniVersion {
    /// A version.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// The version that an image's tag names. None for `latest`, other words and bare digests.
    pub fn of_image(image: &ImageReference) -> Option<Self> {
        let mut parts = image.tag()?.strip_prefix('v')?.split(['.', '-', '+']);
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for OmniVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "v{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lan_address_is_one_that_machines_reach() {
        for good in [
            "192.168.1.20",
            "10.77.0.12",
            "203.0.113.9",
            "2001:db8::1",
            "fd00::1",
            "100.128.0.1",
        ] {
            assert!(good.parse::<LanAddress>().is_ok(), "{good}");
        }
        for bad in [
            "omni.lan",
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "100.64.0.1",
            "100.127.255.255",
            "fd7a:115c:a1e0::1",
            "169.254.1.1",
            "fe80::1",
            "224.0.0.1",
            "192.168.1.20:8090",
            "",
        ] {
            assert!(bad.parse::<LanAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_issuer_has_no_slash_at_the_end() {
        assert!("https://tsidp.tail.test".parse::<Issuer>().is_ok());
        assert!(
            "https://idp.example.com/realms/home"
                .parse::<Issuer>()
                .is_ok()
        );
        for bad in [
            "https://tsidp.tail.test/",
            "http://tsidp.tail.test",
            "https://",
            "https://a?b",
            "https://u@a",
            "tsidp.tail.test",
        ] {
            assert!(bad.parse::<Issuer>().is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_come_from_tags() {
        let version = |text: &str| OmniVersion::of_image(&text.parse().unwrap());
        assert_eq!(version("omni:v1.10.4"), Some(OmniVersion::new(1, 10)));
        assert_eq!(version("omni:v1.7.0-beta.1"), Some(OmniVersion::new(1, 7)));
        assert_eq!(version("omni:latest"), None);
        assert_eq!(version("omni"), None);
        assert!(OmniVersion::new(1, 10) > OmniVersion::new(1, 9));
    }

    #[test]
    fn names_are_checked() {
        assert!("tail-scale.ts.net".parse::<DnsName>().is_ok());
        for bad in ["", "net", "a..b", "a.b.", "A.b", "-a.b", "a_b.c"] {
            assert!(bad.parse::<DnsName>().is_err(), "{bad}");
        }
        assert!("a@b".parse::<EmailAddress>().is_ok());
        for bad in ["", "a", "@b", "a@", "a b@c", "Ada <a@b>", "a@b@c"] {
            assert!(bad.parse::<EmailAddress>().is_err(), "{bad}");
        }
    }
}
