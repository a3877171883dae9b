//! A VM: configuration, pending changes, power; and how the API shows it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};

use crate::answer::{Handled, Success};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::drive::Drive;
use crate::refusal::Refusal;
use crate::schema::{self, AGENT};

/// A VM, or the stub of one that is being made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Vm {
    /// Its id, until it is recycled.
    pub vmid: u32,
    /// The node that holds its configuration.
    pub node: String,
    /// The configuration, values as text.
    pub config: BTreeMap<String, String>,
    /// Changes that wait for the next cold start; `None` deletes.
    pub pending: BTreeMap<String, Option<String>>,
    /// Since when it runs, in virtual milliseconds.
    pub running_since: Option<u64>,
    /// Whether the HA manager looks after it.
    pub ha_managed: bool,
    /// What is inside, as far as the API can tell.
    pub guest: Guest,
}

/// The inside of a VM.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Guest {
    /// Time from an ACPI shutdown to power off; `None` ignores it.
    pub shutdown_ms: Option<u64>,
    /// What QEMU says while it has a process, such as `paused`; `None` is `running`.
    pub detail: Option<String>,
    /// What the guest agent answers; `None` while none runs.
    pub interfaces: Option<Vec<Interface>>,
}

/// A network interface as the guest agent tells of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Interface {
    /// `eth0`
    pub name: String,
    /// Its MAC address.
    pub mac: String,
    /// Its addresses with the length of their prefixes.
    pub addresses: Vec<(std::net::IpAddr, u8)>,
}

impl Vm {
    /// A VM of which nothing is known but its lock.
    pub(crate) fn stub(vmid: u32, node: &str, guest_shutdown_ms: u64) -> Self {
        Self {
            vmid,
            node: node.to_owned(),
            config: BTreeMap::from([("lock".to_owned(), "create".to_owned())]),
            pending: BTreeMap::new(),
            running_since: None,
            ha_managed: false,
            guest: Guest {
                shutdown_ms: Some(guest_shutdown_ms),
                detail: None,
                interfaces: None,
            },
        }
    }

    /// Whether it runs.
    pub const fn is_running(&self) -> bool {
        self.running_since.is_some()
    }

    /// The config's `lock`.
    pub fn lock(&self) -> Option<&str> {
        self.config.get("lock").map(String::as_str)
    }

    /// The `uuid` of `smbios1`.
    pub fn uuid(&self) -> Option<&str> {
        self.config
            .get("smbios1")?
            .split(',')
            .find_map(|part| part.strip_prefix("uuid="))
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.config.get(key).is_some_and(|value| value == "1")
    }

    /// SHA-1 of the configuration file (qemu-server `QemuServer.pm` `parse_vm_config`).
    pub fn digest(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.config {
            let _ = writeln!(text, "{key}: {value}");
        }
        for (key, value) in &self.pending {
            let _ = writeln!(text, "[PENDING] {key}: {value:?}");
        }
        HEXLOWER.encode(&Sha1::digest(text.as_bytes()))
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        let text = self.config.get("memory").map_or("512", String::as_str);
        let number = text.strip_prefix("current=").unwrap_or(text);
        number.parse::<u64>().unwrap_or(512) << 20
    }

    fn processors(&self) -> u64 {
        let number = |key: &str| {
            self.config
                .get(key)
                .and_then(|value| value.parse::<u64>().ok())
                .unwrap_or(1)
        };
        number("cores") * number("sockets")
    }

    /// The drives, in the order of their keys.
    pub(crate) fn drives(&self) -> Vec<(String, Drive)> {
        let keys = self.config.iter().filter(|(key, _)| schema::is_drive(key));
        keys.filter_map(|(key, value)| Some((key.clone(), Drive::parse(key, value).ok()?)))
            .collect()
    }

    /// Every volume that the configuration names.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let unused = self
            .config
            .iter()
            .filter(|(key, _)| key.starts_with("unused"));
        let unused =
            unused.map(|(_, value)| value.split(',').next().unwrap_or_default().to_owned());
        self.drives()
            .into_iter()
            .map(|(_, drive)| drive.file)
            .chain(unused)
            .filter(|file| file.contains(':'))
            .collect()
    }

    /// What the guest shows as its name.
    pub(crate) fn shown_name(&self) -> String {
        self.config
            .get("name")
            .cloned()
            .unwrap_or_else(|| format!("VM{}", self.vmid))
    }

    /// Takes the pending changes over, as a cold start does.
    pub(crate) fn apply_pending(&mut self) {
        for (key, value) in std::mem::take(&mut self.pending) {
            match value {
                Some(value) => {
                    self.config.insert(key, value);
                }
                None => {
                    self.config.remove(&key);
                }
            }
        }
    }

    pub(crate) fn agent_enabled(&self) -> bool {
        self.config
            .get("agent")
            .and_then(|agent| schema::parse_property_string(AGENT, agent).ok())
            .is_some_and(|agent| agent.get("enabled").is_some_and(|value| value == "1"))
    }
}

impl Cluster {
    /// The VM on that node, or Proxmox VE's words for one that is not there.
    pub(crate) fn vm_on(&self, node: &str, vmid: u32) -> Result<&Vm, String> {
        self.vms
            .get(&vmid)
            .filter(|vm| vm.node == node)
            .ok_or_else(|| missing(node, vmid))
    }

    pub(crate) fn list_vms(&self, call: &Call) -> Success {
        let rows: Vec<Value> = self
            .vms
            .values()
            .filter(|vm| vm.node == call.node())
            .filter(|vm| {
                self.access
                    .may(&call.caller, &format!("/vms/{}", vm.vmid), "VM.Audit")
            })
            .map(|vm| self.status_row(vm))
            .collect();
        Success::new(rows)
    }

    fn status_row(&self, vm: &Vm) -> Value {
        let disk = vm
            .drives()
            .iter()
            .find(|(_, drive)| !drive.is_cdrom())
            .and_then(|(_, drive)| drive.size());
        let memory = if vm.is_running() {
            vm.memory_bytes() / 2
        } else {
            0
        };
        let uptime = vm
            .running_since
            .map_or(0, |since| self.now.saturating_sub(since) / 1000);
        let mut row = json!({
            "vmid": vm.vmid,
            "name": vm.shown_name(),
            "status": if vm.is_running() { "running" } else { "stopped" },
            "cpus": vm.processors(),
            "maxmem": vm.memory_bytes(),
            "maxdisk": disk.unwrap_or(0),
            "mem": memory,
            "disk": 0, "diskread": 0, "diskwrite": 0, "netin": 0, "netout": 0,
            "cpu": 0,
            "uptime": uptime,
        });
        for key in ["lock", "tags"] {
            if let Some(value) = vm.config.get(key) {
                row[key] = json!(value);
            }
        }
        if vm.flag("template") {
            row["template"] = json!(1);
        }
        if vm.is_running() {
            row["pid"] = json!(1_000_000 + vm.vmid);
        }
        if vm.config.contains_key("serial0") {
            row["serial"] = json!(1);
        }
        row
    }

    pub(crate) fn current(&self, call: &Call) -> Handled {
        let vm = self
            .vm_on(call.node(), call.vmid())
            .map_err(Refusal::Died)?;
        let mut row = self.status_row(vm);
        let detail = vm.guest.detail.as_ref().filter(|_| vm.is_running());
        row["qmpstatus"] = detail.map_or_else(|| row["status"].clone(), |detail| json!(detail));
        row["ha"] = json!({"managed": u8::from(vm.ha_managed)});
        if vm.agent_enabled() {
            row["agent"] = json!(1);
        }
        if vm.is_running() {
            row["running-machine"] = json!("pc-q35-10.1+pve0");
            row["running-qemu"] = json!("10.1.2");
        }
        Ok(Success::new(row))
    }

    /// facts §1.6: pending changes are shown as if applied, unless `current=1`.
    pub(crate) fn config(&self, call: &Call) -> Handled {
        let vm = self
            .vm_on(call.node(), call.vmid())
            .map_err(Refusal::Died)?;
        if let Some(snapshot) = call.get("snapshot") {
            return Err(Refusal::died(format!(
                "snapshot '{snapshot}' does not exist"
            )));
        }
        let mut shown = vm.clone();
        if !call.flag("current") {
            shown.apply_pending();
        }
        let mut data: Map<String, Value> = shown
            .config
            .iter()
            .map(|(key, value)| (key.clone(), config_value(key, value)))
            .collect();
        data.insert("digest".to_owned(), json!(vm.digest()));
        Ok(Success::new(data))
    }

    pub(crate) fn pending(&self, call: &Call) -> Handled {
        let vm = self
            .vm_on(call.node(), call.vmid())
            .map_err(Refusal::Died)?;
        let mut rows = Vec::new();
        for (key, value) in &vm.config {
            let mut row = json!({"key": key, "value": config_value(key, value)});
            match vm.pending.get(key) {
                Some(Some(wanted)) => row["pending"] = config_value(key, wanted),
                Some(None) => row["delete"] = json!(1),
                None => {}
            }
            rows.push(row);
        }
        for (key, wanted) in vm
            .pending
            .iter()
            .filter(|(key, _)| !vm.config.contains_key(*key))
        {
            if let Some(wanted) = wanted {
                rows.push(json!({"key": key, "pending": config_value(key, wanted)}));
            }
        }
        Ok(Success::new(rows))
    }
}

/// As the API shows it: integers and booleans as numbers, the rest (`memory` too) as text.
fn config_value(key: &str, value: &str) -> Value {
    if key == "cipassword" {
        return json!("**********");
    }
    let number = (schema::integer_key(key) || schema::boolean_key(key))
        .then(|| value.parse::<i64>().ok())
        .flatten();
    number.map_or_else(|| json!(value), |number| json!(number))
}

/// pve-guest-common `AbstractConfig.pm` `load_config`.
pub(crate) fn missing(node: &str, vmid: u32) -> String {
    format!("Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
}
