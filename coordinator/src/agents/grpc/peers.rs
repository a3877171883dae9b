//! The tailnet's own table of devices, as this machine's tailscaled tells it. Pure.
//!
//! Lenient about what Tailscale's own client treats as optional. Source: tailscale/tailscale,
//! ipn/ipnstate/ipnstate.go.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

/// A device that cannot be reached, known before anything is tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerTrouble {
    /// No device has the name.
    #[error("no device of this tailnet is called `{dns_name}`{}", nearest(.alike.as_deref()))]
    Absent {
        /// The full name that was looked for.
        dns_name: String,
        /// A device whose name Tailscale made different, as `omni-1`.
        alike: Option<String>,
    },
    /// Its key has expired, and so it is off the tailnet.
    #[error(
        "the key of device `{dns_name}` has expired: it is off the tailnet until it logs in again"
    )]
    Expired {
        /// Its full name.
        dns_name: String,
    },
    /// Control has no connection from it.
    #[error("device `{dns_name}` is offline")]
    Offline {
        /// Its full name.
        dns_name: String,
    },
}

fn nearest(alike: Option<&str>) -> String {
    alike.map_or_else(String::new, |alike| format!("; there is `{alike}`"))
}

impl PeerTrouble {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Absent { alike: Some(_), .. } => {
                "an older device has the name: remove it in the admin console, give the name to the \
                 one that is there, or write that one's name in `hosts.NAME.dns_name`"
                    .to_owned()
            }
            Self::Absent { alike: None, .. } => {
                "has the host joined this tailnet, and may this device see it? see `tailscale \
                 status`; the name is `hosts.NAME.dns_name` in the deployment"
                    .to_owned()
            }
            Self::Expired { .. } => {
                "run `sudo tailscale up` on the host; a tagged device's key does not expire".to_owned()
            }
            Self::Offline { .. } => {
                "is the host up, and does `tailscale status` on it say that it is connected?"
                    .to_owned()
            }
        }
    }
}

/// What the table says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Where the device is: on IPv4, on which agents listen, if it has any.
    At(Vec<IpAddr>),
    /// It cannot be reached.
    Not(PeerTrouble),
    /// The table does not know: the name is of another network, or this machine's own node is not
    /// on the tailnet, in which state it is said.
    Unknown(Option<String>),
}

/// The devices of the tailnet that this one may see.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PeerTable {
    #[serde(default)]
    backend_state: String,
    #[serde(rename = "Self", default)]
    own: Option<Device>,
    #[serde(rename = "MagicDNSSuffix", default)]
    suffix: String,
    #[serde(rename = "Peer", default)]
    peers: Option<BTreeMap<String, Device>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Device {
    #[serde(rename = "DNSName")]
    dns_name: String,
    host_name: String,
    #[serde(rename = "TailscaleIPs")]
    addresses: Option<Vec<IpAddr>>,
    online: bool,
    expired: bool,
}

impl Device {
    fn is_called(&self, dns_name: &str) -> bool {
        self.dns_name
            .trim_end_matches('.')
            .eq_ignore_ascii_case(dns_name)
    }
}

impl PeerTable {
    /// Reads the answer to `GET /localapi/v0/status`.
    pub(super) fn parse(document: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(document)
    }

    /// Looks a device up by its full name.
    pub(super) fn find(&self, dns_name: &str) -> Found {
        if self.backend_state != "Running" {
            return Found::Unknown(Some(self.backend_state.clone()));
        }
        let peers = || self.peers.iter().flat_map(BTreeMap::values);
        let own = self.own.iter().find(|own| own.is_called(dns_name));
        let Some(device) = own.or_else(|| peers().find(|peer| peer.is_called(dns_name))) else {
            return self.absent(dns_name);
        };
        let dns_name = dns_name.to_owned();
        if device.expired {
            return Found::Not(PeerTrouble::Expired { dns_name });
        }
        // Whom control does not reach itself, it knows nothing new of.
        let told = self.own.as_ref().is_some_and(|own| own.online);
        if own.is_none() && told && !device.online {
            return Found::Not(PeerTrouble::Offline { dns_name });
        }
        let mut addresses = device.addresses.clone().unwrap_or_default();
        if addresses.iter().any(IpAddr::is_ipv4) {
            addresses.retain(IpAddr::is_ipv4);
        }
        if addresses.is_empty() {
            return Found::Unknown(None);
        }
        Found::At(addresses)
    }

    fn absent(&self, dns_name: &str) -> Found {
        let suffix = self.suffix.trim_matches('.');
        let label = dns_name
            .strip_suffix(suffix)
            .and_then(|rest| rest.strip_suffix('.'));
        let (Some(label), false) = (label, suffix.is_empty()) else {
            return Found::Unknown(None);
        };
        let mut peers = self.peers.iter().flat_map(BTreeMap::values);
        let alike = peers.find(|peer| {
            let stem = peer.dns_name.split('.').next().unwrap_or_default();
            let number = stem
                .strip_prefix(label)
                .and_then(|rest| rest.strip_prefix('-'));
            peer.host_name.eq_ignore_ascii_case(label)
                || number.is_some_and(|number| number.parse::<u32>().is_ok())
        });
        Found::Not(PeerTrouble::Absent {
            dns_name: dns_name.to_owned(),
            alike: alike.map(|peer| peer.dns_name.trim_end_matches('.').to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};
    use serde_json::{Value, json};

    fn sample() -> Value {
        let device = |name: &str, address: &str| {
            json!({
                "HostName": name, "DNSName": format!("{name}.tail.test."), "Online": true,
                "TailscaleIPs": ["fd7a:115c:a1e0::7", address], "InNetworkMap": true,
            })
        };
        let mut offline = device("idp", "100.64.0.3");
        offline["Online"] = false.into();
        let mut expired = device("pve", "100.64.0.4");
        expired["Expired"] = true.into();
        let mut suffixed = device("spare-1", "100.64.0.5");
        suffixed["HostName"] = "spare".into();
        json!({
            "Version": "1.102.3", "BackendState": "Running", "MagicDNSSuffix": "tail.test",
            "Self": device("op", "100.64.0.1"),
            "Peer": {
                "nodekey:1": device("omni", "100.64.0.2"), "nodekey:2": offline,
                "nodekey:3": expired, "nodekey:4": suffixed,
            },
        })
    }

    fn find(document: &Value, name: &str) -> Found {
        let document = serde_json::to_vec(document).unwrap();
        PeerTable::parse(&document).unwrap().find(name)
    }

    #[test]
    fn a_device_is_found_by_its_full_name_on_ipv4() {
        for (name, address) in [
            ("omni.tail.test", "100.64.0.2"),
            ("OP.tail.test", "100.64.0.1"),
        ] {
            let addresses = Found::At(vec![address.parse().unwrap()]);
            assert_eq!(find(&sample(), name), addresses);
        }
    }

    #[test]
    fn what_cannot_be_reached_is_said_before_it_is_tried() {
        let trouble = |name: &str| match find(&sample(), name) {
            Found::Not(trouble) => format!("{trouble}: {}", trouble.hint()),
            other => panic!("{name}: {other:?}"),
        };
        assert!(trouble("idp.tail.test").starts_with("device `idp.tail.test` is offline"));
        assert!(trouble("pve.tail.test").contains("has expired"));
        assert!(trouble("nobody.tail.test").starts_with("no device of this tailnet"));
        let suffixed = trouble("spare.tail.test");
        assert!(
            suffixed.contains("there is `spare-1.tail.test`"),
            "{suffixed}"
        );
        assert!(
            suffixed.contains("an older device has the name"),
            "{suffixed}"
        );
    }

    #[test]
    fn names_of_other_networks_and_a_node_that_is_off_are_not_for_the_table_to_say() {
        assert_eq!(find(&sample(), "omni.lan"), Found::Unknown(None));
        let mut document = sample();
        document["BackendState"] = "Stopped".into();
        let stopped = Found::Unknown(Some("Stopped".to_owned()));
        assert_eq!(find(&document, "omni.tail.test"), stopped);
        // A node that control does not reach knows nothing new of others.
        let mut document = sample();
        document["Self"]["Online"] = false.into();
        assert!(matches!(find(&document, "idp.tail.test"), Found::At(_)));
        let null = json!({"BackendState": "Running", "Peer": null, "MagicDNSSuffix": "tail.test"});
        assert!(matches!(find(&null, "omni.tail.test"), Found::Not(_)));
    }

    #[test]
    fn noise_in_the_peer_table() {
        let good = sample();
        let make = |dice: &mut Dice| {
            let document = serde_json::to_vec(&damaged_json(dice, &good)).unwrap();
            if dice.once_in(4) {
                damaged_bytes(dice, &document)
            } else {
                document
            }
        };
        hold_against("peer tables", make, |document| {
            if let Ok(table) = PeerTable::parse(document) {
                for name in ["omni.tail.test", "spare.tail.test", "x"] {
                    let _ = table.find(name);
                }
            }
        });
    }
}
