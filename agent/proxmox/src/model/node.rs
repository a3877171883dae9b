//! Nodes: which there are, what they have, whom they ask for names.

use serde::{Deserialize, Deserializer};

use crate::{Fingerprint, NodeName, tolerant};

/// Whether a node takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It does.
    Online,
    /// It does not.
    Offline,
    /// The cluster does not say.
    Unknown,
}

impl<'de> Deserialize<'de> for NodeState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let state: Option<String> = tolerant::optional(deserializer)?;
        Ok(match state.as_deref() {
            Some("online") => Self::Online,
            Some("offline") => Self::Offline,
            _ => Self::Unknown,
        })
    }
}

/// A row of `/nodes`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Node {
    /// Its name.
    pub node: NodeName,
    /// Whether it takes part.
    #[serde(rename = "status")]
    pub state: NodeState,
    /// Logical processors.
    #[serde(default, rename = "maxcpu", deserialize_with = "tolerant::optional")]
    pub processors: Option<u64>,
    /// The share of them that is busy, 0 to 1.
    #[serde(default, rename = "cpu", deserialize_with = "tolerant::optional")]
    pub load: Option<f64>,
    /// In bytes.
    #[serde(default, rename = "maxmem", deserialize_with = "tolerant::optional")]
    pub memory: Option<u64>,
    /// In bytes.
    #[serde(default, rename = "mem", deserialize_with = "tolerant::optional")]
    pub memory_used: Option<u64>,
    /// What its certificate is pinned by: once one node is trusted, the others follow.
    #[serde(default, rename = "ssl_fingerprint", deserialize_with = "fingerprint")]
    pub fingerprint: Option<Fingerprint>,
}

fn fingerprint<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Fingerprint>, D::Error> {
    let text: Option<String> = tolerant::text(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// What `/nodes/{node}/status` says, as far as it is of use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeStatus {
    /// Its processors.
    #[serde(default, rename = "cpuinfo")]
    pub processor: Processor,
    /// Its memory.
    #[serde(default)]
    pub memory: Memory,
    /// Such as `pve-manager/9.2.11/…`.
    #[serde(default, rename = "pveversion", deserialize_with = "tolerant::text")]
    pub version: Option<String>,
}

/// A node's processors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Processor {
    /// The model's name.
    #[serde(default, deserialize_with = "tolerant::text")]
    pub model: Option<String>,
    /// Logical processors.
    #[serde(default, deserialize_with = "tolerant::optional")]
    pub cpus: Option<u64>,
    /// Abilities as Linux names them, separated by spaces; tells which `cpu` types a VM can have here.
    #[serde(default, deserialize_with = "tolerant::text")]
    pub flags: Option<String>,
}

/// A node's memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Memory {
    /// All of it.
    #[serde(default, deserialize_with = "tolerant::optional")]
    pub total: Option<u64>,
    /// What nobody uses.
    #[serde(default, deserialize_with = "tolerant::optional")]
    pub free: Option<u64>,
    /// What a VM could have, caches given up; only newer versions say.
    #[serde(default, deserialize_with = "tolerant::optional")]
    pub available: Option<u64>,
}

/// Whom a node asks for names. What VMs of it inherit when their own configuration leaves anything out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeDns {
    /// The search domain.
    #[serde(default, deserialize_with = "tolerant::text")]
    pub search: Option<String>,
    #[serde(default, deserialize_with = "tolerant::text")]
    dns1: Option<String>,
    #[serde(default, deserialize_with = "tolerant::text")]
    dns2: Option<String>,
    #[serde(default, deserialize_with = "tolerant::text")]
    dns3: Option<String>,
}

impl NodeDns {
    /// The resolvers, in their order, as written in the node's `resolv.conf`.
    pub fn servers(&self) -> Vec<&str> {
        [&self.dns1, &self.dns2, &self.dns3]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect()
    }
}

/// A row of `/nodes/{node}/network`. Bridges on which the token holds neither `SDN.Audit` nor `SDN.Use` are left
/// out by Proxmox without a word.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Interface {
    /// Such as `vmbr0`.
    #[serde(rename = "iface", deserialize_with = "tolerant::required")]
    pub name: String,
    /// Such as `bridge`, `OVSBridge`, `bond`, `vnet`.
    #[serde(default, rename = "type", deserialize_with = "tolerant::text")]
    pub kind: Option<String>,
    /// Whether it is up.
    #[serde(default, deserialize_with = "tolerant::flag")]
    pub active: bool,
    /// Whether it takes VLAN tags.
    #[serde(
        default,
        rename = "bridge_vlan_aware",
        deserialize_with = "tolerant::flag"
    )]
    pub vlan_aware: bool,
    /// The node's own address on it, with the prefix length.
    #[serde(default, deserialize_with = "tolerant::text")]
    pub cidr: Option<String>,
}

/// What a node finds behind a URL.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UrlMetadata {
    /// The name that the server gives.
    #[serde(default, deserialize_with = "tolerant::text")]
    pub filename: Option<String>,
    /// The type that the server gives.
    #[serde(default, deserialize_with = "tolerant::text")]
    pub mimetype: Option<String>,
    /// In bytes, when the server says.
    #[serde(default, deserialize_with = "tolerant::optional")]
    pub size: Option<u64>,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn nodes_are_read_in_every_spelling() {
        let node: Node = from_value(json!({
            "node": "pve1", "status": "online", "maxcpu": "8", "cpu": "0.25", "maxmem": 1024, "mem": 10.0,
            "ssl_fingerprint": Fingerprint::of(b"x").to_string(), "level": "", "new": {},
        }))
        .unwrap();
        assert_eq!(node.state, NodeState::Online);
        assert_eq!(
            (node.processors, node.load, node.memory_used),
            (Some(8), Some(0.25), Some(10))
        );
        assert_eq!(node.fingerprint, Some(Fingerprint::of(b"x")));
        let node: Node = from_value(json!({ "node": "pve2", "status": "resting" })).unwrap();
        assert_eq!((node.state, node.memory), (NodeState::Unknown, None));
        assert!(
            from_value::<Node>(json!({ "node": "pve2", "status": "online", "mem": "much" }))
                .is_err()
        );
    }

    #[test]
    fn resolvers_keep_their_order() {
        let dns: NodeDns = from_value(
            json!({ "search": "lan", "dns1": "192.0.2.53", "dns2": "", "dns3": "1.1.1.1" }),
        )
        .unwrap();
        assert_eq!(dns.servers(), ["192.0.2.53", "1.1.1.1"]);
    }
}
