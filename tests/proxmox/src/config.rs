//! `…/config`: changes of a configuration, at once or by a task (qemu-server `Qemu.pm` `$update_vm_api`, facts §1.6).
//!
//! A running VM takes over at once what can be plugged; the rest waits as pending for its next cold start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::answer::{Handled, Success};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::jobs::{Act, OnVm, Scratch, check_lock, lock_timeout, vm_lock};
use crate::random::Random;
use crate::refusal::Refusal;
use crate::rights;
use crate::schema::{self, NET, VM};

/// What an update takes that is no configuration.
const NOT_CONFIG: [&str; 9] = [
    "node",
    "vmid",
    "skiplock",
    "digest",
    "delete",
    "revert",
    "force",
    "background_delay",
    "import-working-storage",
];

/// A change that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    user: String,
    set: BTreeMap<String, String>,
    delete: Vec<String>,
    revert: Vec<String>,
    digest: Option<String>,
    skip_lock: bool,
}

impl Cluster {
    /// `POST …/config`: a task.
    pub(crate) fn update_config(&mut self, call: &Call) -> Handled {
        let change = self.change(call)?;
        let (node, vmid) = (call.node(), call.vmid());
        let job = OnVm::job(vmid, Act::Change(change));
        let upid = self.spawn(&call.caller, node, "qmconfig", &vmid.to_string(), job)?;
        if call.get("background_delay").is_none() {
            return Ok(Success::new(upid));
        }
        self.wait_for(&upid).map_err(|refusal| {
            Refusal::died(format!("failed to update VM {vmid}: {}", refusal.text()))
        })
    }

    /// `PUT …/config`: at once. While a worker holds the configuration's lock, it waits ten seconds and gives up.
    pub(crate) fn update_config_now(&mut self, call: &Call) -> Handled {
        let mut change = self.change(call)?;
        let (node, vmid) = (call.node(), call.vmid());
        if self.locks.contains_key(&vm_lock(vmid)) {
            let refusal = Refusal::died(lock_timeout(vmid));
            self.delay_answer(10_000);
            return Err(refusal);
        }
        let mut scratch = Scratch::new("", node, &call.caller.0);
        change.take(self, &mut scratch, vmid)?;
        Ok(Success::default())
    }

    fn change(&mut self, call: &Call) -> Result<Change, Refusal> {
        let (caller, vmid) = (&call.caller, call.vmid());
        if call.flag("skiplock") && !caller.is_root() {
            return Err(Refusal::parameter(
                "skiplock",
                "Only root may use this option.",
            ));
        }
        let mut set = call.values.clone();
        set.retain(|key, _| !NOT_CONFIG.contains(&key.as_str()));
        let names = |key: &str| -> Vec<String> {
            call.get(key)
                .map(|text| schema::list(text).map(str::to_owned).collect())
                .unwrap_or_default()
        };
        let (delete, revert) = (names("delete"), names("revert"));
        if set.is_empty() && delete.is_empty() && revert.is_empty() {
            return Err(Refusal::died("no options specified"));
        }
        for (parameter, list) in [("revert", &revert), ("delete", &delete)] {
            for name in list {
                if schema::lookup(&[VM], name).is_none() {
                    return Err(Refusal::parameter(
                        parameter,
                        format!("unknown option '{name}'"),
                    ));
                }
                if set.contains_key(name) {
                    let text = format!(
                        "you can't use '-{name}' and -{parameter} {name}' at the same time"
                    );
                    return Err(Refusal::parameter("delete", text));
                }
            }
        }
        Self::check_drives(&mut set)?;
        for (key, value) in set.iter_mut().filter(|(key, _)| key.starts_with("net")) {
            *value =
                print_net(value, &mut self.random).map_err(|text| Refusal::parameter(key, text))?;
        }
        rights::check_keys(&self.access, caller, vmid, delete.iter().chain(set.keys()))?;
        rights::check_serial(&self.access, caller, vmid, &set)?;
        self.check_storage_access(caller, vmid, &set, None)?;
        self.check_bridges(caller, &set)?;
        let change = Change {
            user: caller.0.clone(),
            set,
            delete,
            revert,
            digest: call
                .get("digest")
                .filter(|digest| !digest.is_empty())
                .map(str::to_owned),
            skip_lock: call.flag("skiplock"),
        };
        change
            .check(self, call.node(), vmid)
            .map_err(Refusal::Died)?;
        Ok(change)
    }
}

impl Change {
    pub(crate) fn sets(&self, key: &str) -> bool {
        self.set.contains_key(key)
    }

    pub(crate) fn deletes(&self, key: &str) -> bool {
        self.delete.iter().any(|name| name == key)
    }

    /// What is checked before the task, and again under the lock.
    pub(crate) fn check(&self, cluster: &Cluster, node: &str, vmid: u32) -> Result<(), String> {
        let vm = cluster.vm_on(node, vmid)?;
        if self
            .digest
            .as_ref()
            .is_some_and(|digest| *digest != vm.digest())
        {
            return Err("checksum mismatch (file change by other user?)".to_owned());
        }
        check_lock(vm.lock(), self.skip_lock)?;
        if !cluster.has_quorum() {
            return Err(format!(
                "unable to open file '/etc/pve/nodes/{node}/qemu-server/{vmid}.conf.tmp.1234' - Permission denied"
            ));
        }
        Ok(())
    }

    /// The effect, in a task.
    pub(crate) fn apply(
        &mut self,
        cluster: &mut Cluster,
        scratch: &mut Scratch,
        vmid: u32,
    ) -> Result<(), String> {
        scratch.log(format!("update VM {vmid}: {}", self.words()));
        self.take(cluster, scratch, vmid)
            .map_err(|refusal| match refusal {
                Refusal::Died(text) => text,
                other => format!("{} {}", other.status(), other.text()),
            })
    }

    fn words(&self) -> String {
        let mut words: Vec<String> = self
            .set
            .iter()
            .map(|(key, value)| {
                format!(
                    "-{key} {}",
                    if key == "cipassword" {
                        "<hidden>"
                    } else {
                        value
                    }
                )
            })
            .collect();
        if !self.delete.is_empty() {
            words.push(format!("-delete {}", self.delete.join(",")));
        }
        words.join(" ")
    }

    fn take(
        &mut self,
        cluster: &mut Cluster,
        scratch: &mut Scratch,
        vmid: u32,
    ) -> Result<(), Refusal> {
        let caller = Caller(self.user.clone());
        let node = scratch.node.clone();
        for name in std::mem::take(&mut self.revert) {
            if let Some(vm) = cluster.vms.get_mut(&vmid) {
                vm.pending.remove(&name);
            }
        }
        for name in &self.delete {
            let vm = cluster.vm_on(&node, vmid).map_err(Refusal::Died)?;
            let Some(value) = vm
                .config
                .get(name)
                .or_else(|| vm.pending.get(name)?.as_ref())
                .cloned()
            else {
                scratch.log(format!(
                    "cannot delete '{name}' - not set in current configuration!"
                ));
                continue;
            };
            if schema::is_drive(name) {
                if vm.flag("protection") {
                    return Err(Refusal::died(format!(
                        "can't remove drive '{name}' - protection mode enabled"
                    )));
                }
                cluster.check_drive_use(&caller, vmid, name, &value)?;
            } else if name == "tags" {
                cluster
                    .check_tags(&caller, vmid, &value, "")
                    .map_err(Refusal::Died)?;
            }
            cluster.unset(&node, vmid, name, &value)?;
        }
        for (key, value) in self.set.clone() {
            let value = if schema::is_drive(&key) {
                cluster.new_drive(&caller, scratch, vmid, &key, &value)?
            } else if key == "tags" {
                let vm = cluster.vm_on(&node, vmid).map_err(Refusal::Died)?;
                let old = vm.config.get("tags").cloned().unwrap_or_default();
                cluster
                    .check_tags(&caller, vmid, &old, &value)
                    .map_err(Refusal::Died)?;
                sorted_tags(&value)
            } else {
                value
            };
            if key == "boot" {
                cluster.check_boot(&node, vmid, &value, self)?;
            }
            cluster.set(&node, vmid, &key, value)?;
        }
        Ok(())
    }
}

/// A NIC as Proxmox VE writes it: `model=MAC` first, a MAC made up if there is none.
pub(crate) fn print_net(value: &str, random: &mut Random) -> Result<String, String> {
    let mut net = schema::parse_property_string(NET, value)?;
    let model = net
        .remove("model")
        .ok_or_else(|| "unable to parse network options".to_owned())?;
    let mac = net.remove("macaddr").unwrap_or_else(|| random.mac());
    let mut parts = vec![format!("{model}={mac}")];
    parts.extend(net.iter().map(|(key, value)| format!("{key}={value}")));
    Ok(parts.join(","))
}

/// Sorted, each once, in lower case (facts §1.8).
pub(crate) fn sorted_tags(tags: &str) -> String {
    let mut tags: Vec<String> = schema::list(tags).map(str::to_ascii_lowercase).collect();
    tags.sort();
    tags.dedup();
    tags.join(";")
}
