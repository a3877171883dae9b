//! Formats that the schema names but does not spell out, as far as our tables use them.

use std::net::IpAddr;

use crate::{
    BootOrder, DiskSize, MacAddress, Network, NodeName, PropertyString, Slot, Smbios, StorageId,
    TagList, VmName, Vmid, VolumeId,
};

/// Whether `value` has the format; `None` for a format that is not known here.
pub(super) fn check(format: &str, value: &str) -> Option<bool> {
    if let Some(single) = format.strip_suffix("-list") {
        // Lists are separated by commas, semicolons or spaces (pve-common, `split_list`).
        let values = value.split([',', ';', ' ']);
        let values = values.filter(|value| !value.is_empty());
        let right: Option<Vec<bool>> = values.map(|value| check(single, value)).collect();
        return right.map(|right| !right.is_empty() && right.into_iter().all(|right| right));
    }
    let configuration_id = |value: &str| {
        let inner =
            |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        value.starts_with(|first: char| first.is_ascii_alphabetic()) && value.chars().all(inner)
    };
    Some(match format {
        "pve-node" => value.parse::<NodeName>().is_ok(),
        "pve-vmid" => value.parse::<Vmid>().is_ok(),
        "pve-storage-id" => value.parse::<StorageId>().is_ok(),
        "pve-storage-content" => [
            "images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import",
        ]
        .contains(&value),
        "pve-volume-id" | "pve-volume-id-or-absolute-path" => value.parse::<VolumeId>().is_ok(),
        "pve-volume-id-or-qm-path" => value == "none" || value.parse::<VolumeId>().is_ok(),
        "dns-name" => value.parse::<VmName>().is_ok(),
        "pve-tag" => TagList::new([value]).is_ok(),
        "pve-bridge-id" => Network::new(value).is_ok(),
        "mac-addr" => value.parse::<MacAddress>().is_ok(),
        "disk-size" => value.parse::<DiskSize>().is_ok(),
        "address" => value.parse::<IpAddr>().is_ok(),
        "pve-configid" | "pve-poolid" => configuration_id(value),
        "urlencoded" => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%-_.!~*'()".contains(&byte);
            value.bytes().all(plain)
        }
        "pve-qm-boot" => boot(value),
        "pve-qm-smbios1" => value.parse::<Smbios>().is_ok(),
        "pve-qm-rng" => {
            let sources = ["/dev/urandom", "/dev/random", "/dev/hwrng"];
            let source = |rng: PropertyString| rng.get("source").map(str::to_owned);
            property(value, &["source", "max_bytes", "period"])
                .and_then(source)
                .is_some_and(|source| sources.contains(&source.as_str()))
        }
        "pve-qm-ipconfig" => property(value, &["ip", "gw", "ip6", "gw6"])
            .is_some_and(|configuration| addresses(&configuration)),
        "pve-vm-cpu-conf" => {
            let keys = ["cputype", "flags", "hidden", "hv-vendor-id", "phys-bits"];
            property(value, &keys).is_some_and(|cpu| cpu.lone().is_some_and(configuration_id))
        }
        _ => return None,
    })
}

/// The property string, if it has none but these keys.
fn property(value: &str, keys: &[&str]) -> Option<PropertyString> {
    let string: PropertyString = value.parse().ok()?;
    let known = string
        .parts()
        .all(|(key, _)| key.is_none_or(|key| keys.contains(&key)));
    known.then_some(string)
}

fn boot(value: &str) -> bool {
    let Some(slots) = value.strip_prefix("order=") else {
        return false;
    };
    let slots: Result<Vec<Slot>, _> = slots.split(';').map(str::parse).collect();
    slots.is_ok_and(|slots| BootOrder(slots).to_string() == value)
}

fn addresses(configuration: &PropertyString) -> bool {
    let network = |text: &str| {
        text.split_once('/').is_some_and(|(address, prefix)| {
            let most = match address.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => 32,
                Ok(IpAddr::V6(_)) => 128,
                Err(_) => return false,
            };
            prefix.parse::<u8>().is_ok_and(|prefix| prefix <= most)
        })
    };
    let right = |key: &str, words: &[&str]| {
        let value = configuration.get(key);
        value.is_none_or(|value| words.contains(&value) || network(value))
    };
    let gateway = |key: &str| {
        let value = configuration.get(key);
        value.is_none_or(|value| value.parse::<IpAddr>().is_ok())
    };
    right("ip", &["dhcp"]) && right("ip6", &["dhcp", "auto"]) && gateway("gw") && gateway("gw6")
}
