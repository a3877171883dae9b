//! Devices of the tailnet as this host's node sees them: LocalAPI's status with its peers. Lenient
//! as [`super::NodeStatus`] is.
//!
//! Source: tailscale/tailscale, ipn/ipnstate/ipnstate.go.

use std::collections::BTreeMap;

use omni_scale_proto::v1::TailnetState;
use serde::Deserialize;

use super::condition::is_suffixed;
use super::status::{milliseconds, state};

/// A device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// Fully qualified, without the trailing dot.
    pub dns_name: String,
    /// Whether control knows it as connected.
    pub online: bool,
    /// Whether its key has expired.
    pub expired: bool,
    /// Milliseconds since the Unix epoch. `None`: the key does not expire.
    pub key_expiry_milliseconds: Option<i64>,
}

/// What the tailnet has under a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// The device with exactly this name.
    pub device: Option<Device>,
    /// Devices whose names are this one and a number: they asked for it when it was taken.
    pub suffixed: Vec<Device>,
}

impl Named {
    /// Reads the document of `GET /localapi/v0/status` for a name. `None`: the host's own node does
    /// not run, so it knows of no others.
    pub fn parse(document: &[u8], dns_name: &str) -> Result<Option<Self>, serde_json::Error> {
        let document: Document = serde_json::from_slice(document)?;
        if state(&document.backend_state) != TailnetState::Running {
            return Ok(None);
        }
        let (label, suffix) = dns_name.split_once('.').unwrap_or((dns_name, ""));
        let mut named = Self::default();
        let peers = document.peers.unwrap_or_default();
        for peer in peers.into_values().chain(document.own) {
            let device = Device::from(peer);
            let (its_label, its_suffix) = device
                .dns_name
                .split_once('.')
                .unwrap_or((&device.dns_name, ""));
            if !its_suffix.eq_ignore_ascii_case(suffix) {
                continue;
            }
            if its_label.eq_ignore_ascii_case(label) {
                named.device = Some(device);
            } else if is_suffixed(its_label, label) {
                named.suffixed.push(device);
            }
        }
        named
            .suffixed
            .sort_by(|one, other| one.dns_name.cmp(&other.dns_name));
        Ok(Some(named))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(default)]
    backend_state: String,
    #[serde(rename = "Self", default)]
    own: Option<Peer>,
    #[serde(rename = "Peer", default)]
    peers: Option<BTreeMap<String, Peer>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Peer {
    #[serde(rename = "DNSName")]
    dns_name: String,
    online: bool,
    expired: bool,
    key_expiry: Option<String>,
}

impl From<Peer> for Device {
    fn from(peer: Peer) -> Self {
        Self {
            dns_name: peer.dns_name.trim_end_matches('.').to_owned(),
            online: peer.online,
            expired: peer.expired,
            key_expiry_milliseconds: peer.key_expiry.as_deref().and_then(milliseconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};
    use serde_json::{Value, json};

    fn sample() -> Value {
        json!({
            "BackendState": "Running",
            "Self": {"DNSName": "idp.tail.test.", "Online": true},
            "Peer": {
                "nodekey:1": {"DNSName": "tsidp.tail.test.", "Online": true,
                              "KeyExpiry": "2027-01-01T00:00:00Z"},
                "nodekey:2": {"DNSName": "sidero-2.tail.test.", "Expired": true},
                "nodekey:3": {"DNSName": "sidero-x.tail.test."},
                "nodekey:4": {"DNSName": "tsidp.other.test.", "Online": true},
            },
        })
    }

    fn find(document: &Value, name: &str) -> Option<Named> {
        Named::parse(document.to_string().as_bytes(), name).unwrap()
    }

    #[test]
    fn a_name_leads_to_its_device_and_to_those_that_wanted_it() {
        let tsidp = find(&sample(), "TSIDP.tail.test").unwrap();
        let device = tsidp.device.unwrap();
        assert!(device.online && !device.expired);
        assert_eq!(device.key_expiry_milliseconds, Some(1_798_761_600_000));
        assert!(tsidp.suffixed.is_empty());
        let sidero = find(&sample(), "sidero.tail.test").unwrap();
        assert_eq!(sidero.device, None);
        assert_eq!(sidero.suffixed.len(), 1);
        assert!(sidero.suffixed[0].expired && !sidero.suffixed[0].online);
        assert!(find(&sample(), "idp.tail.test").unwrap().device.is_some());
    }

    #[test]
    fn a_node_that_does_not_run_knows_of_nobody() {
        let mut document = sample();
        document["BackendState"] = "NeedsLogin".into();
        assert_eq!(find(&document, "tsidp.tail.test"), None);
        let alone = json!({"BackendState": "Running", "Peer": null});
        assert_eq!(find(&alone, "tsidp.tail.test"), Some(Named::default()));
    }

    #[test]
    fn noise_in_a_table_of_devices() {
        let good = sample();
        let make = |dice: &mut Dice| {
            let document = serde_json::to_vec(&damaged_json(dice, &good)).unwrap();
            if dice.once_in(4) {
                damaged_bytes(dice, &document)
            } else {
                document
            }
        };
        hold_against("tables of devices", make, |document| {
            if let Ok(Some(named)) = Named::parse(document, "tsidp.tail.test") {
                assert!(
                    named
                        .device
                        .is_none_or(|device| !device.dns_name.is_empty())
                );
            }
        });
    }
}
