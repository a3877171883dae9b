//! The model of a Proxmox VE cluster, as the agent that reaches it tells of it.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::id::DeploymentId;
use omni_scale_proto::machine::machine_uuid;
use omni_scale_proto::v1::{self, MachinePresence};

use crate::plan::{DesiredMachines, MachinesScope};

/// A cluster.
#[derive(Debug)]
pub struct MachinesModel {
    /// Its nodes.
    pub nodes: Vec<v1::HypervisorNode>,
    /// Machines of ours, by name.
    pub machines: BTreeMap<String, MachineModel>,
    /// How often a machine of a name was deleted.
    pub deleted: BTreeMap<String, u32>,
    /// VMIDs that others have.
    pub foreign: BTreeSet<u32>,
    /// What a creation left half-made.
    pub stubs: Vec<v1::MachineStub>,
    /// Why it does not answer. Empty: it does.
    pub fault: String,
}

/// A machine.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineModel {
    /// As it was asked for.
    pub machine: v1::Machine,
    /// Proxmox's word.
    pub status: String,
    /// It has what it is first booted with.
    pub first_boot: bool,
    /// Its creation has not ended.
    pub begun: bool,
    /// How often it was started.
    pub starts: u32,
}

impl Default for MachinesModel {
    fn default() -> Self {
        let node = |number: u64| v1::HypervisorNode {
            name: format!("pve{number}"),
            online: true,
            free_memory_mebibytes: 64_000 - number,
            image_sha256: Vec::new(),
        };
        Self {
            nodes: (1..=3).map(node).collect(),
            machines: BTreeMap::new(),
            deleted: BTreeMap::new(),
            foreign: BTreeSet::new(),
            stubs: Vec::new(),
            fault: String::new(),
        }
    }
}

impl MachinesModel {
    /// Makes a machine and starts it. With `half`, its creation does not end.
    pub(super) fn apply(&mut self, wanted: &v1::Machine, half: bool) -> Result<(), String> {
        if !self.fault.is_empty() {
            return Err(self.fault.clone());
        }
        let others = self.machines.values();
        let mut others = others.filter(|other| other.machine.uuid != wanted.uuid);
        if self.foreign.contains(&wanted.vmid)
            || others.any(|other| other.machine.vmid == wanted.vmid)
        {
            return Err(format!("VMID {} is taken", wanted.vmid));
        }
        let machine = self
            .machines
            .entry(wanted.name.clone())
            .or_insert_with(|| MachineModel {
                machine: wanted.clone(),
                status: "stopped".to_owned(),
                first_boot: true,
                begun: true,
                starts: 0,
            });
        if machine.machine.uuid != wanted.uuid {
            return Err(format!("its UUID is {}", machine.machine.uuid));
        }
        if half {
            return Ok(());
        }
        machine.begun = false;
        if machine.status != "running" {
            "running".clone_into(&mut machine.status);
            machine.starts += 1;
        }
        Ok(())
    }

    /// Makes every machine as the deployment wants it, at once.
    pub(super) fn converge(&mut self, wanted: &DesiredMachines, deployment: DeploymentId) {
        let nodes: Vec<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let machines = wanted.groups.iter().flat_map(|group| &group.machines);
        for ((machine, vmid), node) in machines.zip(wanted.vmids.first..).zip(nodes.iter().cycle())
        {
            let settled = v1::Machine {
                uuid: machine_uuid(deployment, &machine.name, 0).to_string(),
                vmid,
                node: node.clone(),
                ..machine.clone()
            };
            self.apply(&settled, false).expect("nothing is in the way");
            self.finish_first_boot(&machine.name)
                .expect("it was made just now");
        }
    }

    /// Ejects and deletes what a machine was first booted with.
    pub(super) fn finish_first_boot(&mut self, name: &str) -> Result<(), String> {
        let machine = self.machines.get_mut(name).ok_or("there is no machine")?;
        machine.first_boot = false;
        Ok(())
    }

    pub(super) fn control(&mut self, name: &str, action: v1::ControlAction) -> Result<(), String> {
        let machine = self.machines.get_mut(name).ok_or("there is no machine")?;
        let status = match action {
            v1::ControlAction::Stop => "stopped",
            v1::ControlAction::Start | v1::ControlAction::Restart => "running",
            v1::ControlAction::Unspecified => return Err("nothing was asked".to_owned()),
        };
        status.clone_into(&mut machine.status);
        Ok(())
    }

    /// Deletes a machine, as a person would.
    pub fn delete(&mut self, name: &str) {
        if self.machines.remove(name).is_some() {
            *self.deleted.entry(name.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn observe(
        &self,
        asked: &MachinesScope,
        deployment: DeploymentId,
        generation: impl Fn(&str) -> u64,
    ) -> v1::MachinesObservation {
        if !self.fault.is_empty() {
            return v1::MachinesObservation {
                reason: self.fault.clone(),
                ..v1::MachinesObservation::default()
            };
        }
        let range = asked.vmids.first..=asked.vmids.last;
        let ours = self.machines.values().map(|machine| machine.machine.vmid);
        v1::MachinesObservation {
            known: true,
            version: "9.2.6".to_owned(),
            nodes: self.nodes.clone(),
            machines: asked
                .names
                .iter()
                .map(|name| self.see(name.as_str(), deployment, generation(name.as_str())))
                .collect(),
            taken_vmids: ours
                .chain(self.foreign.iter().copied())
                .filter(|vmid| range.contains(vmid))
                .collect(),
            stubs: self.stubs.clone(),
            ..v1::MachinesObservation::default()
        }
    }

    fn see(&self, name: &str, deployment: DeploymentId, generation: u64) -> v1::MachineObservation {
        let incarnation = self.deleted.get(name).copied().unwrap_or_default();
        let absent = v1::MachineObservation {
            name: name.to_owned(),
            uuid: machine_uuid(deployment, name, incarnation).to_string(),
            incarnation,
            generation,
            presence: MachinePresence::Absent.into(),
            ..v1::MachineObservation::default()
        };
        let Some(machine) = self.machines.get(name) else {
            return absent;
        };
        let presence = if machine.begun {
            MachinePresence::Creating
        } else {
            MachinePresence::Present
        };
        v1::MachineObservation {
            presence: presence.into(),
            node: machine.machine.node.clone(),
            vmid: machine.machine.vmid,
            status: machine.status.clone(),
            applied: Some(machine.machine.clone()),
            first_boot_attached: machine.first_boot,
            ..absent
        }
    }

    /// One line per machine, without what may differ between two ways to the same end.
    pub(super) fn portrait(&self) -> Vec<String> {
        let machines = self.machines.iter();
        machines
            .map(|(name, machine)| {
                format!(
                    "{name} {}: {} on {} as {} first_boot={} begun={} starts={}",
                    machine.machine.uuid,
                    machine.status,
                    machine.machine.node,
                    machine.machine.vmid,
                    machine.first_boot,
                    machine.begun,
                    machine.starts,
                )
            })
            .collect()
    }
}
