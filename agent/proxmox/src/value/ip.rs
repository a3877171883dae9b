//! Addresses that Proxmox's own cloud-init data gives to an interface.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{PropertyString, ValueError};

/// How an interface gets its IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv4 {
    /// It asks.
    Dhcp,
    /// It is told; see [`Ipv4::fixed`].
    Static {
        /// The address.
        address: Ipv4Addr,
        /// Bits of the network, 1 to 32.
        prefix: u8,
        /// Where the rest of the world is.
        gateway: Option<Ipv4Addr>,
    },
}

/// How an interface gets its IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6 {
    /// It asks.
    Dhcp,
    /// It listens to routers.
    Auto,
    /// It is told; see [`Ipv6::fixed`].
    Static {
        /// The address.
        address: Ipv6Addr,
        /// Bits of the network, 1 to 128.
        prefix: u8,
        /// Where the rest of the world is.
        gateway: Option<Ipv6Addr>,
    },
}

impl Ipv4 {
    /// A fixed address.
    pub fn fixed(
        address: Ipv4Addr,
        prefix: u8,
        gateway: Option<Ipv4Addr>,
    ) -> Result<Self, ValueError> {
        within(prefix, 32)?;
        Ok(Self::Static {
            address,
            prefix,
            gateway,
        })
    }
}

impl Ipv6 {
    /// A fixed address.
    pub fn fixed(
        address: Ipv6Addr,
        prefix: u8,
        gateway: Option<Ipv6Addr>,
    ) -> Result<Self, ValueError> {
        within(prefix, 128)?;
        Ok(Self::Static {
            address,
            prefix,
            gateway,
        })
    }
}

fn within(prefix: u8, most: u8) -> Result<(), ValueError> {
    if (1..=most).contains(&prefix) {
        Ok(())
    } else {
        Err(ValueError::new(
            &prefix.to_string(),
            "the length of a prefix",
        ))
    }
}

/// `ipconfig0`, `ipconfig1`, …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpConfig {
    /// IPv4.
    pub ipv4: Ipv4,
    /// IPv6, if any.
    pub ipv6: Option<Ipv6>,
}

impl fmt::Display for IpConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut config = PropertyString::default();
        config = match self.ipv4 {
            Ipv4::Dhcp => config.with("ip", "dhcp"),
            Ipv4::Static {
                address,
                prefix,
                gateway,
            } => config
                .with("ip", format!("{address}/{prefix}"))
                .maybe("gw", gateway),
        };
        config = match self.ipv6 {
            None => config,
            Some(Ipv6::Dhcp) => config.with("ip6", "dhcp"),
            Some(Ipv6::Auto) => config.with("ip6", "auto"),
            Some(Ipv6::Static {
                address,
                prefix,
                gateway,
            }) => config
                .with("ip6", format!("{address}/{prefix}"))
                .maybe("gw6", gateway),
        };
        config.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_api_takes_them() {
        let dhcp = IpConfig {
            ipv4: Ipv4::Dhcp,
            ipv6: None,
        };
        assert_eq!(dhcp.to_string(), "ip=dhcp");
        let address = "192.0.2.5".parse().unwrap();
        let fixed = IpConfig {
            ipv4: Ipv4::fixed(address, 24, Some("192.0.2.1".parse().unwrap())).unwrap(),
            ipv6: Some(Ipv6::Auto),
        };
        assert_eq!(fixed.to_string(), "ip=192.0.2.5/24,gw=192.0.2.1,ip6=auto");
        assert!(Ipv4::fixed(address, 33, None).is_err());
    }
}
