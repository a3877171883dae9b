//! What a guest agent says of its network.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer};

use crate::tolerant;

/// The envelope of the guest agent's answers.
#[derive(Debug, Deserialize)]
pub(crate) struct GuestInterfaces {
    pub(crate) result: Vec<GuestInterface>,
}

/// A network interface inside the guest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GuestInterface {
    /// Such as `eth0`.
    #[serde(deserialize_with = "tolerant::required")]
    pub name: String,
    /// The MAC address, when it has one.
    #[serde(
        default,
        rename = "hardware-address",
        deserialize_with = "tolerant::text"
    )]
    pub hardware_address: Option<String>,
    /// Its addresses, those that are none left out.
    #[serde(default, rename = "ip-addresses", deserialize_with = "addresses")]
    pub addresses: Vec<GuestAddress>,
}

/// An address with the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestAddress {
    /// The address.
    pub address: IpAddr,
    /// In bits.
    pub prefix: u8,
}

/// A guest is not Proxmox: what it invents must not make the rest unreadable.
fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<GuestAddress>, D::Error> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(
            default,
            rename = "ip-address",
            deserialize_with = "tolerant::optional"
        )]
        address: Option<String>,
        #[serde(default, deserialize_with = "tolerant::optional")]
        prefix: Option<u64>,
    }
    let rows = Option::<Vec<Row>>::deserialize(deserializer)?.unwrap_or_default();
    let addresses = rows.into_iter().filter_map(|row| {
        // Link-local ones may carry their zone.
        let address: IpAddr = row.address?.split('%').next()?.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = row
            .prefix
            .and_then(|prefix| u8::try_from(prefix).ok())
            .filter(|prefix| *prefix <= most);
        Some(GuestAddress {
            address,
            prefix: prefix.unwrap_or(most),
        })
    });
    Ok(addresses.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn addresses_are_read_and_inventions_passed_over() {
        let interfaces: GuestInterfaces = from_value(json!({ "result": [
            { "name": "lo" },
            { "name": "eth0", "hardware-address": "bc:24:11:00:00:01", "ip-addresses": [
                { "ip-address": "192.0.2.5", "ip-address-type": "ipv4", "prefix": 24 },
                { "ip-address": "fe80::1%eth0", "prefix": "64" },
                { "ip-address": "nowhere" },
            ] },
        ] }))
        .unwrap();
        let addresses: Vec<_> = interfaces.result[1]
            .addresses
            .iter()
            .map(|at| (at.address.to_string(), at.prefix))
            .collect();
        assert_eq!(
            addresses,
            [("192.0.2.5".to_owned(), 24), ("fe80::1".to_owned(), 64)]
        );
        assert!(interfaces.result[0].addresses.is_empty());
    }
}
