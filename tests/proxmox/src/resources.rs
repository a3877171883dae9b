//! `/cluster/resources`, and why its names cannot be trusted (facts §1.8; pve-manager `API2Tools.pm`:81).
//!
//! `lock`, `tags` and the node are the configuration's. Name, state and load are what the nodes last broadcast, about
//! every ten seconds; a VMID that was taken again shows the **old** VM's until then.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::Success;
use crate::call::Call;
use crate::cluster::Cluster;

/// What a node last said of a VM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LastSeen {
    name: String,
    running: bool,
    memory: u64,
    since: Option<u64>,
}

impl Cluster {
    /// Nodes that are up say what runs on them. What is gone is not taken back.
    pub(crate) fn broadcast(&mut self) {
        for vm in self.vms.values() {
            if self.nodes.get(&vm.node).is_some_and(super::Node::online) {
                let seen = LastSeen {
                    name: vm.shown_name(),
                    running: vm.is_running(),
                    memory: vm.memory_bytes(),
                    since: vm.running_since,
                };
                self.last_seen.insert(vm.vmid, seen);
            }
        }
        self.next_broadcast = self.now + self.settings.broadcast_ms.max(1);
    }

    pub(crate) fn resources(&self, call: &Call) -> Success {
        let kind = call.get("type");
        let mut rows: Vec<Value> = Vec::new();
        if kind.is_none_or(|kind| kind == "vm") {
            let may = |vmid: u32| {
                self.access
                    .may(&call.caller, &format!("/vms/{vmid}"), "VM.Audit")
            };
            rows.extend(
                self.vms
                    .keys()
                    .filter(|vmid| may(**vmid))
                    .map(|vmid| self.vm_row(*vmid)),
            );
            let seen = self.containers.iter().filter(|(vmid, _)| may(**vmid));
            rows.extend(seen.map(|(vmid, container)| {
                json!({"id": format!("lxc/{vmid}"), "type": "lxc", "vmid": vmid, "node": container.node,
                    "tags": container.tags, "template": 0, "status": "stopped"})
            }));
        }
        if kind.is_none_or(|kind| kind == "node") {
            rows.extend(self.nodes.iter().map(|(name, node)| {
                let status = if node.online() { "online" } else { "offline" };
                json!({"id": format!("node/{name}"), "type": "node", "node": name, "status": status,
                    "maxcpu": node.cpus, "maxmem": node.memory, "mem": self.memory_used(name), "level": ""})
            }));
        }
        if kind.is_none_or(|kind| kind == "storage") {
            for node in self.nodes.keys() {
                for (name, storage) in &self.storages {
                    let path = format!("/storage/{name}");
                    let seen = self.access.check_any(
                        &call.caller,
                        &path,
                        &["Datastore.Audit", "Datastore.AllocateSpace"],
                    );
                    if seen.is_ok() && self.storage_on(node, name).is_ok() {
                        let content: Vec<&str> =
                            storage.content.iter().map(String::as_str).collect();
                        rows.push(json!({"id": format!("storage/{node}/{name}"), "type": "storage", "node": node,
                            "storage": name, "status": "available", "plugintype": storage.kind,
                            "content": content.join(","), "shared": u8::from(storage.shared),
                            "maxdisk": storage.total, "disk": storage.total - self.available(node, name)}));
                    }
                }
            }
        }
        Success::new(rows)
    }

    fn vm_row(&self, vmid: u32) -> Value {
        let Some(vm) = self.vms.get(&vmid) else {
            return Value::Null;
        };
        let mut row = json!({"id": format!("qemu/{vmid}"), "type": "qemu", "vmid": vmid, "node": vm.node,
            "template": u8::from(vm.flag("template"))});
        for key in ["lock", "tags"] {
            if let Some(value) = vm.config.get(key) {
                row[key] = json!(value);
            }
        }
        let online = self.nodes.get(&vm.node).is_some_and(super::Node::online);
        match self.last_seen.get(&vmid).filter(|_| online) {
            Some(seen) => {
                row["name"] = json!(seen.name);
                row["status"] = json!(if seen.running { "running" } else { "stopped" });
                row["maxmem"] = json!(seen.memory);
                row["uptime"] = json!(
                    seen.since
                        .map_or(0, |since| self.now.saturating_sub(since) / 1000)
                );
                row["cpu"] = json!(0);
                row["mem"] = json!(0);
            }
            None => row["status"] = json!("unknown"),
        }
        row
    }
}
