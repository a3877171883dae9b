//! Nodes and what is asked of them: memory, bridges, DNS; and the calls about the whole cluster that need no VM.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::access::{Caller, Held};
use crate::answer::{Handled, Success};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::refusal::Refusal;

/// A node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Its memory in bytes.
    pub memory: u64,
    /// Bytes of it that are used without any VM.
    pub memory_used: u64,
    /// Its processors.
    pub cpus: u32,
    /// Its bridges.
    pub bridges: Vec<String>,
    /// Its resolvers, at most three.
    pub dns: Vec<String>,
    /// Its search domain.
    pub search: Option<String>,
    /// The fingerprint that `GET /nodes` shows; the bin sets that of its own certificate.
    pub fingerprint: Option<String>,
    /// Until when it is down.
    pub down_until: Option<u64>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            memory: 64 << 30,
            memory_used: 2 << 30,
            cpus: 16,
            bridges: vec!["vmbr0".to_owned()],
            dns: vec!["192.0.2.53".to_owned()],
            search: Some("lan.example".to_owned()),
            fingerprint: None,
            down_until: None,
        }
    }
}

impl Node {
    /// Whether it answers.
    pub const fn online(&self) -> bool {
        self.down_until.is_none()
    }
}

impl Cluster {
    pub(crate) fn version(&self) -> Success {
        let version = &self.settings.version;
        let release: Vec<&str> = version.split('.').take(2).collect();
        let data =
            json!({"version": version, "release": release.join("."), "repoid": "0123456789abcdef"});
        Success::new(data)
    }

    /// facts §1.8: presence is "held", the value is the propagate flag.
    pub(crate) fn permissions(&self, call: &Call) -> Handled {
        let who = match call.get("userid") {
            Some(other) if *other != call.caller.0 => {
                self.access.check(&call.caller, "/access", &["Sys.Audit"])?;
                Caller(other.to_owned())
            }
            _ => call.caller.clone(),
        };
        let render = |held: Held| -> Value {
            held.into_iter()
                .map(|(privilege, propagate)| (privilege, json!(u8::from(propagate))))
                .collect::<Map<_, _>>()
                .into()
        };
        let mut data = Map::new();
        if let Some(path) = call.get("path") {
            data.insert(path.to_owned(), render(self.access.held(&who, path)));
        } else {
            for path in self.access.paths() {
                let held = self.access.held(&who, &path);
                if !held.is_empty() {
                    data.insert(path, render(held));
                }
            }
        }
        Ok(Success::new(data))
    }

    /// pve-manager `API2/Cluster.pm` :1013: a string, and free only at this moment; nothing is reserved.
    pub(crate) fn next_id(&self, call: &Call) -> Handled {
        if let Some(vmid) = call.number("vmid") {
            let taken = u32::try_from(vmid).is_ok_and(|vmid| self.is_taken(vmid));
            if taken {
                return Err(Refusal::parameter(
                    "vmid",
                    format!("VM {vmid} already exists"),
                ));
            }
            return Ok(Success::new(vmid.to_string()));
        }
        let (lower, upper) = self.settings.next_id;
        match (lower..upper).find(|vmid| !self.is_taken(*vmid)) {
            Some(vmid) => Ok(Success::new(vmid.to_string())),
            None => Err(Refusal::died(format!(
                "unable to get any free VMID in range [{lower}, {upper}]"
            ))),
        }
    }

    pub(crate) fn datacenter_options(&self, call: &Call) -> Success {
        let mut data = json!({"keyboard": "en-us", "allowed-tags": []});
        if let Some(tags) = &self.settings.registered_tags {
            data["allowed-tags"] = json!(tags);
        }
        if self.access.may(&call.caller, "/", "Sys.Audit") {
            let (lower, upper) = self.settings.next_id;
            data["next-id"] = json!({"lower": lower, "upper": upper});
            if let Some(tags) = &self.settings.registered_tags {
                data["user-tag-access"] = json!({"user-allow": "list", "user-allow-list": tags});
            }
        }
        Success::new(data)
    }

    pub(crate) fn list_nodes(&self, call: &Call) -> Success {
        let nodes: Vec<Value> = self
            .nodes
            .iter()
            .map(|(name, node)| {
                let mut row = json!({"node": name, "id": format!("node/{name}"), "type": "node", "level": ""});
                row["status"] = json!(if node.online() { "online" } else { "offline" });
                if let Some(fingerprint) = &node.fingerprint {
                    row["ssl_fingerprint"] = json!(fingerprint);
                }
                if node.online() && self.access.may(&call.caller, &format!("/nodes/{name}"), "Sys.Audit") {
                    row["cpu"] = json!(0.02);
                    row["maxcpu"] = json!(node.cpus);
                    row["mem"] = json!(self.memory_used(name));
                    row["maxmem"] = json!(node.memory);
                    row["uptime"] = json!(3600);
                }
                row
            })
            .collect();
        Success::new(nodes)
    }

    pub(crate) fn node_status(&self, call: &Call) -> Handled {
        let name = call.node();
        let node = self.nodes.get(name).ok_or_else(|| unknown_node(name))?;
        let used = self.memory_used(name);
        let free = node.memory.saturating_sub(used);
        Ok(Success::new(json!({
            "boot-info": {"mode": "efi", "secureboot": 0},
            "cpu": 0.02,
            "cpuinfo": {"cores": node.cpus, "cpus": node.cpus, "model": "simulated", "sockets": 1},
            "current-kernel": {"machine": "x86_64", "release": "6.17.2-1-pve", "sysname": "Linux", "version": "#1"},
            "loadavg": ["0.10", "0.10", "0.10"],
            "memory": {"available": free, "free": free, "total": node.memory, "used": used},
            "pveversion": format!("pve-manager/{}/0123456789abcdef", self.settings.version),
            "rootfs": {"avail": 64_u64 << 30, "free": 64_u64 << 30, "total": 96_u64 << 30, "used": 32_u64 << 30},
            "uptime": 3600,
        })))
    }

    pub(crate) fn dns(&self, call: &Call) -> Handled {
        let name = call.node();
        let node = self.nodes.get(name).ok_or_else(|| unknown_node(name))?;
        let mut data = json!({});
        for (at, server) in node.dns.iter().take(3).enumerate() {
            data[format!("dns{}", at + 1)] = json!(server);
        }
        if let Some(search) = &node.search {
            data["search"] = json!(search);
        }
        Ok(Success::new(data))
    }

    /// facts §1.8: bridges that the caller may neither see nor use are left out without a word.
    pub(crate) fn network(&self, call: &Call) -> Handled {
        let name = call.node();
        let node = self.nodes.get(name).ok_or_else(|| unknown_node(name))?;
        let wanted = call.get("type").unwrap_or_default();
        let mut rows = Vec::new();
        if ["", "eth"].contains(&wanted) {
            rows.push(json!({"iface": "eno1", "type": "eth", "active": 1, "exists": 1, "families": ["inet"],
                "method": "manual", "method6": "manual", "priority": 3}));
        }
        if [
            "",
            "bridge",
            "any_bridge",
            "any_local_bridge",
            "include_sdn",
        ]
        .contains(&wanted)
        {
            for (at, bridge) in node.bridges.iter().enumerate() {
                let path = format!("/sdn/zones/localnetwork/{bridge}");
                if self
                    .access
                    .check_any(&call.caller, &path, &["SDN.Audit", "SDN.Use"])
                    .is_ok()
                {
                    rows.push(json!({"iface": bridge, "type": "bridge", "active": 1, "autostart": 1,
                        "bridge_ports": "eno1", "bridge_stp": "off", "bridge_fd": "0", "families": ["inet"],
                        "method": "static", "method6": "manual", "priority": 4 + at}));
                }
            }
        }
        Ok(Success::new(rows))
    }

    /// Bytes of memory in use: the node's own and those of its running VMs.
    pub(crate) fn memory_used(&self, node: &str) -> u64 {
        let own = self.nodes.get(node).map_or(0, |node| node.memory_used);
        let vms = self
            .vms
            .values()
            .filter(|vm| vm.node == node && vm.is_running());
        own + vms.map(crate::Vm::memory_bytes).sum::<u64>()
    }
}

/// The request never got to the node: pveproxy cannot find it.
pub(crate) fn unknown_node(name: &str) -> Refusal {
    Refusal::died(format!(
        "hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
    ))
}
