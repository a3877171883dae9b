//! What the cluster lists. Its names and states are up to 10 s old and may be those of an earlier VM of the same
//! VMID: good for finding the node of a VMID, never for knowing whose a VM is (pve-manager, API2Tools.pm).

use serde::{Deserialize, Deserializer};

use crate::{NodeName, PowerState, TagList, Vmid, tolerant};

/// What a row is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceKind {
    /// A VM.
    Vm,
    /// A container. It takes a VMID like a VM.
    Container,
    /// A node.
    Node,
    /// A storage.
    Storage,
    /// Anything else, as the API names it.
    Other(String),
}

impl<'de> Deserialize<'de> for ResourceKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name: String = tolerant::required(deserializer)?;
        Ok(match name.as_str() {
            "qemu" => Self::Vm,
            "lxc" => Self::Container,
            "node" => Self::Node,
            "storage" => Self::Storage,
            _ => Self::Other(name),
        })
    }
}

/// A row of `/cluster/resources`. Only what the token may see is listed: what is not there need not be free.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Resource {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ResourceKind,
    /// Such as `qemu/105`.
    #[serde(deserialize_with = "tolerant::required")]
    pub id: String,
    /// Of VMs and containers.
    #[serde(default, deserialize_with = "tolerant::optional")]
    pub vmid: Option<Vmid>,
    /// Where it is now.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// May be stale, see the module.
    #[serde(default, deserialize_with = "tolerant::text")]
    pub name: Option<String>,
    /// May be stale, see the module.
    #[serde(default, rename = "status")]
    pub state: PowerState,
    /// From the configuration, as it is now.
    #[serde(default, deserialize_with = "tolerant::text")]
    pub lock: Option<String>,
    /// From the configuration, as it is now.
    #[serde(default)]
    pub tags: TagList,
    /// The pool that it is in.
    #[serde(default, deserialize_with = "tolerant::text")]
    pub pool: Option<String>,
    /// Whether it is a template.
    #[serde(default, deserialize_with = "tolerant::flag")]
    pub template: bool,
    /// What it may use, in bytes.
    #[serde(default, rename = "maxmem", deserialize_with = "tolerant::optional")]
    pub memory: Option<u64>,
    /// What it uses, in bytes.
    #[serde(default, rename = "mem", deserialize_with = "tolerant::optional")]
    pub memory_used: Option<u64>,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn rows_of_all_kinds_are_read() {
        let rows: Vec<Resource> = from_value(json!([
            { "type": "qemu", "id": "qemu/105", "vmid": "105", "node": "pve1", "status": "unknown", "tags": "a;b" },
            { "type": "lxc", "id": "lxc/106", "vmid": 106, "node": "pve1", "status": "running", "template": 0 },
            { "type": "node", "id": "node/pve1", "node": "pve1", "status": "online", "maxmem": 1e10 },
            { "type": "sdn", "id": "sdn/pve1/localnetwork", "node": "pve1", "status": "ok", "sdn": "localnetwork" },
        ]))
        .unwrap();
        assert_eq!(rows[0].vmid.unwrap().get(), 105);
        assert_eq!(rows[0].state, PowerState::Unknown);
        assert!(rows[0].tags.contains("b"));
        assert_eq!(rows[1].kind, ResourceKind::Container);
        assert_eq!(rows[2].memory, Some(10_000_000_000));
        assert_eq!(rows[3].kind, ResourceKind::Other("sdn".into()));
    }
}
