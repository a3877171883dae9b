//! The part of LocalAPI's status document that says who this host is. Lenient: what Tailscale's
//! own client treats as optional is optional here.
//!
//! Source: tailscale/tailscale, ipn/ipnstate/ipnstate.go.

use std::net::{IpAddr, Ipv4Addr};

use omni_scale_proto::v1::{self, TailnetState};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The host's own node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// What tailscaled is doing.
    pub state: TailnetState,
    /// The node's tailnet IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Fully qualified, without the trailing dot. Empty: unknown.
    pub dns_name: String,
    /// StableID. Empty: unknown.
    pub node_id: String,
    /// Milliseconds since the Unix epoch. `None`: the key does not expire.
    pub key_expiry_milliseconds: Option<i64>,
    /// tailscaled's words on what is wrong.
    pub health: Vec<String>,
    /// Names that the tailnet issues certificates for.
    pub certificate_domains: Vec<String>,
    /// False: userspace networking.
    pub tun: bool,
    /// Whether control knows the node as connected. `None`: tailscaled does not say.
    pub online: Option<bool>,
    /// Whether control says that the node's key has expired.
    pub expired: bool,
    /// Whether the node has been logged in before.
    pub has_node_key: bool,
    /// The machine's own name, which a node asks for when nothing else is configured.
    pub host_name: String,
    /// Whether the tailnet has names. `None`: tailscaled does not say.
    pub magic_dns: Option<bool>,
}

impl NodeStatus {
    /// Reads the document of `GET /localapi/v0/status`.
    pub fn parse(document: &[u8]) -> Result<Self, serde_json::Error> {
        let document: Document = serde_json::from_slice(document)?;
        let own = document.own.unwrap_or_default();
        let addresses = document.addresses.unwrap_or_default();
        Ok(Self {
            state: state(&document.backend_state),
            ipv4: addresses.iter().find_map(|address| match address.parse() {
                Ok(IpAddr::V4(address)) => Some(address),
                _ => None,
            }),
            dns_name: own.dns_name.trim_end_matches('.').to_owned(),
            node_id: own.id,
            key_expiry_milliseconds: own.key_expiry.as_deref().and_then(milliseconds),
            health: document.health.unwrap_or_default(),
            certificate_domains: document.certificate_domains.unwrap_or_default(),
            tun: document.tun,
            online: own.online,
            expired: own.expired,
            has_node_key: document.has_node_key,
            host_name: own.host_name,
            magic_dns: document.tailnet.map(|tailnet| tailnet.magic_dns_enabled),
        })
    }
}

impl From<NodeStatus> for v1::TailnetStatus {
    fn from(status: NodeStatus) -> Self {
        Self {
            state: status.state.into(),
            ipv4: status
                .ipv4
                .map(|address| address.to_string())
                .unwrap_or_default(),
            dns_name: status.dns_name,
            node_id: status.node_id,
            key_expiry_milliseconds: status.key_expiry_milliseconds,
            health: status.health,
            certificate_domains: status.certificate_domains,
            tun: status.tun,
            reason: String::new(),
            conditions: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(default)]
    backend_state: String,
    #[serde(rename = "TailscaleIPs", default)]
    addresses: Option<Vec<String>>,
    #[serde(rename = "Self", default)]
    own: Option<Own>,
    #[serde(default)]
    health: Option<Vec<String>>,
    #[serde(rename = "CertDomains", default)]
    certificate_domains: Option<Vec<String>>,
    #[serde(rename = "TUN", default)]
    tun: bool,
    #[serde(rename = "HaveNodeKey", default)]
    has_node_key: bool,
    #[serde(rename = "CurrentTailnet", default)]
    tailnet: Option<CurrentTailnet>,
}

#[derive(Deserialize)]
struct CurrentTailnet {
    #[serde(rename = "MagicDNSEnabled", default)]
    magic_dns_enabled: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Own {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "DNSName")]
    dns_name: String,
    key_expiry: Option<String>,
    host_name: String,
    online: Option<bool>,
    expired: bool,
}

pub(super) fn state(word: &str) -> TailnetState {
    match word {
        "NeedsLogin" => TailnetState::NeedsLogin,
        "NeedsMachineAuth" => TailnetState::NeedsApproval,
        "Stopped" => TailnetState::Stopped,
        "Starting" | "NoState" => TailnetState::Starting,
        "Running" => TailnetState::Running,
        _ => TailnetState::Unknown,
    }
}

/// A time as Go writes it. Its zero, in the year 1, is no time: so older versions of tailscaled write that a key does not
/// expire.
pub(super) fn milliseconds(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let milliseconds = i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()?;
    (milliseconds > 0).then_some(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};
    use proptest::prelude::*;

    #[test]
    fn a_key_without_an_end_has_none() {
        assert_eq!(milliseconds("0001-01-01T00:00:00Z"), None);
        assert_eq!(milliseconds("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(milliseconds("never"), None);
    }

    #[test]
    fn a_running_node_is_read() {
        let status = NodeStatus::parse(
            br#"{"Version":"1.102.3","TUN":true,"BackendState":"Running","TailscaleIPs":["fd7a::1","100.64.0.3"],
                "Self":{"ID":"n1","HostName":"omni","DNSName":"omni.tail.test.","KeyExpiry":"2027-01-01T00:00:00Z","Online":true},
                "CurrentTailnet":{"MagicDNSEnabled":true},"HaveNodeKey":true,
                "Health":["a"],"CertDomains":["omni.tail.test"],"Peer":{}}"#,
        )
        .unwrap();
        assert_eq!(status.state, TailnetState::Running);
        assert_eq!(status.ipv4, Some(Ipv4Addr::new(100, 64, 0, 3)));
        assert_eq!(status.dns_name, "omni.tail.test");
        assert_eq!(status.key_expiry_milliseconds, Some(1_798_761_600_000));
        assert!(status.tun && status.has_node_key && !status.expired);
        assert_eq!((status.online, status.magic_dns), (Some(true), Some(true)));
    }

    #[test]
    fn a_node_that_is_logged_out_has_nulls() {
        let status = NodeStatus::parse(
            br#"{"BackendState":"NeedsLogin","TailscaleIPs":null,"Self":{"ID":"","DNSName":""},"Health":null,"CertDomains":null}"#,
        )
        .unwrap();
        assert_eq!(
            (status.state, status.ipv4),
            (TailnetState::NeedsLogin, None)
        );
    }

    #[test]
    fn a_state_of_tomorrow_is_unknown() {
        let status = NodeStatus::parse(br#"{"BackendState":"Levitating"}"#).unwrap();
        assert_eq!(status.state, TailnetState::Unknown);
    }

    #[test]
    fn noise_in_a_document_breaks_nothing() {
        let sample = serde_json::json!({
            "Version": "1.102.3", "TUN": true, "BackendState": "Running",
            "TailscaleIPs": ["fd7a::1", "100.64.0.3"],
            "Self": {"ID": "n1", "HostName": "omni", "DNSName": "omni.tail.test.",
                     "KeyExpiry": "2027-01-01T00:00:00Z"},
            "Health": ["a"], "CertDomains": ["omni.tail.test"], "Peer": {},
        });
        let make = |dice: &mut Dice| {
            let document = serde_json::to_vec(&damaged_json(dice, &sample)).unwrap();
            if dice.once_in(4) {
                damaged_bytes(dice, &document)
            } else {
                document
            }
        };
        hold_against("LocalAPI documents", make, |document| {
            if let Ok(status) = NodeStatus::parse(document) {
                assert!(!status.dns_name.ends_with('.'));
            }
        });
    }

    proptest! {
        #[test]
        fn no_document_makes_it_panic(document in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = NodeStatus::parse(&document);
        }
    }
}
