//! Who is behind an address of the tailnet, as tailscaled's `whois` tells it. Lenient about what
//! Tailscale's own client treats as optional, strict about what an identity needs.
//!
//! Source: tailscale/tailscale, client/tailscale/apitype and tailcfg.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::status::milliseconds;

/// What tailscaled calls the owner of every tagged device: nobody's login.
const TAGGED_DEVICES: &str = "tagged-devices";

/// A device of the tailnet that calls this one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Peer {
    /// StableID: never empty, and never another device's.
    pub node_id: String,
    /// Fully qualified, without the trailing dot. Empty: unknown.
    pub dns_name: String,
    /// Whose device it is. `None`: it is tagged, or nobody is named.
    pub login: Option<String>,
    /// `tag:NAME`. A tagged device is nobody's.
    pub tags: Vec<String>,
    /// Milliseconds since the Unix epoch. `None`: its key does not expire.
    pub key_expiry_milliseconds: Option<i64>,
    /// Whether control says that its key has expired.
    pub expired: bool,
    /// What the tailnet's policy grants this device at this node: values by capability.
    pub capabilities: BTreeMap<String, Vec<Value>>,
}

impl Peer {
    /// Reads the document of `GET /localapi/v0/whois`.
    pub fn parse(document: &[u8]) -> Result<Self, serde_json::Error> {
        let document: Document = serde_json::from_slice(document)?;
        let node = document.node;
        if node.stable_id.is_empty() {
            return Err(serde::de::Error::custom("the node has no StableID"));
        }
        let tags = node.tags.unwrap_or_default();
        let login = document.user_profile.unwrap_or_default().login_name;
        let owned = tags.is_empty() && !login.is_empty() && login != TAGGED_DEVICES;
        let capabilities = document.capabilities.unwrap_or_default();
        Ok(Self {
            node_id: node.stable_id,
            dns_name: node.name.trim_end_matches('.').to_owned(),
            login: owned.then_some(login),
            tags,
            key_expiry_milliseconds: node.key_expiry.as_deref().and_then(milliseconds),
            expired: node.expired,
            capabilities: capabilities
                .into_iter()
                .map(|(name, values)| (name, values.unwrap_or_default()))
                .collect(),
        })
    }

    /// How a person knows it: its name, and whose it is.
    pub fn spoken(&self) -> String {
        let name = match self.dns_name.split('.').next() {
            Some(label) if !label.is_empty() => label,
            _ => &self.node_id,
        };
        let whose = match &self.login {
            Some(login) => login.clone(),
            None if self.tags.is_empty() => "of nobody known".to_owned(),
            None => self.tags.join(", "),
        };
        format!("`{name}` ({whose}, {})", self.node_id)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    node: Node,
    #[serde(default)]
    user_profile: Option<UserProfile>,
    /// Not the node's own `CapMap`, which holds attributes and grants nothing.
    #[serde(rename = "CapMap", default)]
    capabilities: Option<BTreeMap<String, Option<Vec<Value>>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(rename = "StableID")]
    stable_id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    key_expiry: Option<String>,
    #[serde(default)]
    expired: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct UserProfile {
    login_name: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};
    use serde_json::json;

    fn sample() -> Value {
        json!({
            "Node": {
                "ID": 7, "StableID": "n7CNTRL", "Name": "desk.tail.test.", "User": 3,
                "Key": "nodekey:00", "KeyExpiry": "2027-01-01T00:00:00Z",
                "Addresses": ["100.64.0.1/32", "fd7a::1/128"], "Hostinfo": {"OS": "linux"},
                "CapMap": {"example.com/cap/omni-scale": [{"roles": ["admin"]}]}
            },
            "UserProfile": {"ID": 3, "LoginName": "ada@example.net", "DisplayName": "Ada"},
            "CapMap": {"example.com/cap/omni-scale": [{"roles": ["viewer"]}], "other/cap/x": null}
        })
    }

    fn parsed(document: &Value) -> Peer {
        Peer::parse(&serde_json::to_vec(document).unwrap()).unwrap()
    }

    #[test]
    fn a_persons_device_is_read_with_what_is_granted_to_it() {
        let peer = parsed(&sample());
        assert_eq!(
            (peer.node_id.as_str(), peer.dns_name.as_str()),
            ("n7CNTRL", "desk.tail.test")
        );
        assert_eq!(peer.login.as_deref(), Some("ada@example.net"));
        assert_eq!(peer.key_expiry_milliseconds, Some(1_798_761_600_000));
        let granted = &peer.capabilities["example.com/cap/omni-scale"];
        assert_eq!(granted, &[json!({"roles": ["viewer"]})]);
        assert!(peer.capabilities["other/cap/x"].is_empty());
        assert_eq!(peer.spoken(), "`desk` (ada@example.net, n7CNTRL)");
    }

    #[test]
    fn a_tagged_device_has_no_login() {
        let mut document = sample();
        document["Node"]["Tags"] = json!(["tag:operator"]);
        let peer = parsed(&document);
        assert_eq!(
            (peer.login, peer.tags),
            (None, vec!["tag:operator".to_owned()])
        );
        document["Node"]["Tags"] = Value::Null;
        document["UserProfile"]["LoginName"] = json!("tagged-devices");
        assert_eq!(parsed(&document).login, None);
    }

    #[test]
    fn little_is_enough_but_not_without_an_identity() {
        let peer = parsed(&json!({"Node": {"StableID": "n1"}, "CapMap": null}));
        assert!(peer.capabilities.is_empty() && !peer.expired);
        for nobody in [
            r"{}",
            r#"{"Node":{}}"#,
            r#"{"Node":{"StableID":""}}"#,
            "null",
            "",
        ] {
            assert!(Peer::parse(nobody.as_bytes()).is_err(), "{nobody}");
        }
    }

    #[test]
    fn noise_in_a_whois_names_nobody_without_an_id() {
        let sample = sample();
        let make = |dice: &mut Dice| {
            let document = serde_json::to_vec(&damaged_json(dice, &sample)).unwrap();
            if dice.once_in(4) {
                damaged_bytes(dice, &document)
            } else {
                document
            }
        };
        hold_against("answers of whois", make, |document| {
            if let Ok(peer) = Peer::parse(document) {
                assert!(!peer.node_id.is_empty());
                assert!(peer.tags.is_empty() || peer.login.is_none());
            }
        });
    }
}
