//! The formats of names and addresses in networks (pve-common `JSONSchema.pm`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::format::{Format, list, word_or};

/// The message for a value that is not of this format; formats of other things are fine.
pub(super) fn check(format: Format, value: &str) -> Result<(), String> {
    let (fine, what) = match format {
        Format::DnsName => (dns_name(value), "DNS name"),
        Format::MacAddress => (mac(value), "unicast MAC address"),
        Format::Ipv4 => (value.parse::<Ipv4Addr>().is_ok(), "IPv4 address"),
        Format::Ipv6 => (value.parse::<Ipv6Addr>().is_ok(), "IPv6 address"),
        Format::Ipv4Config => {
            let fine = ["dhcp", "manual"].contains(&value) || network(value, IpAddr::is_ipv4, 32);
            (fine, "ipv4 network configuration")
        }
        Format::Ipv6Config => {
            let fine =
                ["auto", "dhcp", "manual"].contains(&value) || network(value, IpAddr::is_ipv6, 128);
            (fine, "ipv6 network configuration")
        }
        Format::Cidr => {
            let fine = network(value, IpAddr::is_ipv4, 32) || network(value, IpAddr::is_ipv6, 128);
            (fine, "CIDR network")
        }
        Format::AddressList => {
            let wrong = list(value)
                .find(|address| address.parse::<IpAddr>().is_err() && !dns_name(address));
            return match wrong {
                Some(address) => Err(format!(
                    "value does not look like a valid address: {address}"
                )),
                None => Ok(()),
            };
        }
        _ => return Ok(()),
    };
    if fine {
        Ok(())
    } else {
        Err(format!("value does not look like a valid {what}"))
    }
}

fn dns_name(value: &str) -> bool {
    value.split('.').all(|label| {
        !label.is_empty()
            && label.chars().all(word_or("-"))
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

fn mac(value: &str) -> bool {
    let octets: Vec<&str> = value.split(':').collect();
    octets.len() == 6
        && octets
            .iter()
            .all(|octet| octet.len() == 2 && octet.bytes().all(|digit| digit.is_ascii_hexdigit()))
        && octets
            .first()
            .and_then(|first| u8::from_str_radix(first, 16).ok())
            .is_some_and(|first| first & 1 == 0)
}

fn network(value: &str, of_version: fn(&IpAddr) -> bool, longest: u8) -> bool {
    value.split_once('/').is_some_and(|(address, bits)| {
        address
            .parse::<IpAddr>()
            .is_ok_and(|address| of_version(&address))
            && bits
                .parse::<u8>()
                .is_ok_and(|bits| bits > 7 && bits <= longest)
    })
}
