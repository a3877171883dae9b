//! Network interfaces.

use std::{fmt, num::NonZeroU16, str::FromStr};

use super::{PropertyString, ValueError};

/// A virtio interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    bridge: String,
    address: Option<MacAddress>,
    vlan: Option<NonZeroU16>,
    mtu: Option<NonZeroU16>,
    firewall: bool,
}

/// A unicast MAC address, written in capitals with colons as Proxmox does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddress([u8; 6]);

impl Network {
    /// An interface on a bridge or vnet. Proxmox chooses the MAC address.
    pub fn new(bridge: &str) -> Result<Self, ValueError> {
        // `pve-bridge-id`: interface names, and ids of vnets.
        let inner =
            |character: char| character.is_ascii_alphanumeric() || "-_.:".contains(character);
        let named = bridge.starts_with(|first: char| first.is_ascii_alphabetic());
        if !named || bridge.len() > 20 || !bridge.chars().all(inner) {
            return Err(ValueError::new(bridge, "the name of a bridge"));
        }
        Ok(Self {
            bridge: bridge.to_owned(),
            address: None,
            vlan: None,
            mtu: None,
            firewall: false,
        })
    }

    /// With this MAC address.
    #[must_use]
    pub fn address(mut self, address: MacAddress) -> Self {
        self.address = Some(address);
        self
    }

    /// With this VLAN tag, 1 to 4094.
    pub fn vlan(mut self, tag: u16) -> Result<Self, ValueError> {
        let tag = NonZeroU16::new(tag).filter(|tag| tag.get() <= 4094);
        self.vlan = Some(tag.ok_or_else(|| ValueError::new("VLAN tag", "1 to 4094"))?);
        Ok(self)
    }

    /// With this MTU, 576 to 65520 (1 would mean the bridge's own).
    pub fn mtu(mut self, mtu: u16) -> Result<Self, ValueError> {
        let mtu = NonZeroU16::new(mtu).filter(|mtu| (576..=65520).contains(&mtu.get()));
        self.mtu = Some(mtu.ok_or_else(|| ValueError::new("MTU", "576 to 65520"))?);
        Ok(self)
    }

    /// With Proxmox's firewall in front; DHCP must be allowed there.
    #[must_use]
    pub fn firewall(mut self, firewall: bool) -> Self {
        self.firewall = firewall;
        self
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut network = match self.address {
            Some(address) => PropertyString::default().with("virtio", address),
            None => PropertyString::alone("virtio"),
        };
        network = network.with("bridge", &self.bridge);
        if self.firewall {
            network = network.flag("firewall", true);
        }
        network
            .maybe("mtu", self.mtu)
            .maybe("tag", self.vlan)
            .fmt(formatter)
    }
}

impl FromStr for MacAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let parts: [&str; 6] = text.split(':').collect::<Vec<_>>().try_into().ok()?;
            let mut bytes = [0; 6];
            for (byte, part) in bytes.iter_mut().zip(parts) {
                let digits = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
                *byte = digits
                    .then(|| u8::from_str_radix(part, 16).ok())
                    .flatten()?;
            }
            // Multicast addresses are refused by `mac-addr`.
            (bytes[0] & 1 == 0).then_some(Self(bytes))
        };
        read().ok_or_else(|| ValueError::new(text, "a unicast MAC address"))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(formatter, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_written_as_the_api_takes_them() {
        let network = Network::new("vmbr0").unwrap();
        assert_eq!(network.to_string(), "virtio,bridge=vmbr0");
        let network = network
            .address("bc:24:11:2a:00:01".parse().unwrap())
            .vlan(20)
            .unwrap()
            .mtu(1400)
            .unwrap()
            .firewall(true);
        assert_eq!(
            network.to_string(),
            "virtio=BC:24:11:2A:00:01,bridge=vmbr0,firewall=1,mtu=1400,tag=20"
        );
    }

    #[test]
    fn what_the_api_would_refuse_cannot_be_written() {
        for bridge in ["", "0br", "a,b", "a b", "a=b", "abcdefghijklmnopqrstu"] {
            assert!(Network::new(bridge).is_err(), "{bridge}");
        }
        for address in [
            "",
            "bc:24:11:2a:00",
            "bc:24:11:2a:00:0",
            "01:24:11:2a:00:01",
            "bc-24-11-2a-00-01",
        ] {
            assert!(address.parse::<MacAddress>().is_err(), "{address}");
        }
        assert!(Network::new("vmbr0").unwrap().vlan(4095).is_err());
        assert!(Network::new("vmbr0").unwrap().mtu(1).is_err());
    }
}
