//! Node, VMID, UUID and incarnation of each machine.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::v1::{self, MachinePresence};

use crate::plan::machines::{DesiredGroup, DesiredMachines, Purpose};
use crate::plan::observed::HostFacts;
use crate::plan::placement::{Group, Machine, Node, place};
use crate::plan::refusal::{PlanError, PlanRefusal};

/// Where machines are, or go.
#[derive(Debug)]
pub(super) struct Places {
    nodes: BTreeMap<String, String>,
    vmids: BTreeMap<String, u32>,
    /// What is not as good as it should be.
    pub(super) warnings: Vec<String>,
}

impl Places {
    pub(super) fn of(
        groups: &[&DesiredGroup],
        wanted: &DesiredMachines,
        facts: &HostFacts,
        cluster: &v1::MachinesObservation,
    ) -> Result<Self, PlanError> {
        let refused = |refusal| PlanError::Refused {
            refusals: vec![refusal],
        };
        let nodes: Vec<Node> = cluster.nodes.iter().map(node).collect();
        let groups_to_place: Vec<Group> = groups.iter().map(|one| group(one, facts)).collect();
        let placement = place(&groups_to_place, &nodes).map_err(|no_place| {
            refused(PlanRefusal::NoPlace {
                machine: no_place.machine,
                reason: no_place.reason,
            })
        })?;
        let machines = groups.iter().flat_map(|group| &group.machines);
        let vmids = vmids(machines, wanted, facts, cluster).map_err(refused)?;
        Ok(Self {
            nodes: placement.nodes,
            vmids,
            warnings: placement.warnings,
        })
    }

    /// A machine with everything decided.
    pub(super) fn settled(&self, machine: &v1::Machine, facts: &HostFacts) -> v1::Machine {
        let seen = facts.machine(&machine.name);
        v1::Machine {
            uuid: seen.map(|seen| seen.uuid.clone()).unwrap_or_default(),
            incarnation: seen.map_or(0, |seen| seen.incarnation),
            node: self.nodes.get(&machine.name).cloned().unwrap_or_default(),
            vmid: self.vmids.get(&machine.name).copied().unwrap_or_default(),
            ..machine.clone()
        }
    }
}

fn node(node: &v1::HypervisorNode) -> Node {
    Node {
        name: node.name.clone(),
        online: node.online,
        free_memory_mebibytes: node.free_memory_mebibytes,
    }
}

fn group(group: &DesiredGroup, facts: &HostFacts) -> Group {
    Group {
        name: group.name.clone(),
        apart: matches!(group.purpose, Purpose::Talos { apart: true }),
        nodes: group.nodes.clone(),
        machines: group
            .machines
            .iter()
            .map(|machine| Machine {
                name: machine.name.clone(),
                memory_mebibytes: machine.memory_mebibytes,
                node: facts.machine(&machine.name).and_then(standing),
            })
            .collect(),
    }
}

/// Where a machine is. One whose creation has begun is where that was asked for.
fn standing(seen: &v1::MachineObservation) -> Option<String> {
    let applied = seen.applied.as_ref().map(|applied| &applied.node);
    let begun = applied.filter(|_| seen.presence() == MachinePresence::Creating);
    [Some(&seen.node), begun]
        .into_iter()
        .flatten()
        .find(|node| !node.is_empty())
        .cloned()
}

/// A VMID for each machine: its own, or the first of the range that nobody has.
fn vmids<'a>(
    machines: impl Iterator<Item = &'a v1::Machine> + Clone,
    wanted: &DesiredMachines,
    facts: &HostFacts,
    cluster: &v1::MachinesObservation,
) -> Result<BTreeMap<String, u32>, PlanRefusal> {
    let range = wanted.vmids.first..=wanted.vmids.last;
    let own = |machine: &v1::Machine| {
        let seen = facts.machine(&machine.name)?;
        let applied = seen.applied.as_ref().map(|applied| applied.vmid);
        let begun = applied.filter(|_| seen.presence() == MachinePresence::Creating);
        [Some(seen.vmid), begun]
            .into_iter()
            .flatten()
            .find(|vmid| *vmid != 0)
    };
    let mut taken: BTreeSet<u32> = cluster.taken_vmids.iter().copied().collect();
    taken.extend(machines.clone().filter_map(own));
    let mut free = range.clone().filter(|vmid| !taken.contains(vmid));
    machines
        .map(|machine| {
            let vmid = match own(machine) {
                Some(vmid) if range.contains(&vmid) => vmid,
                // It was made when the range was another one. Its VMID is no part of what it is.
                Some(_) => wanted.vmids.first,
                None => free.next().ok_or_else(|| PlanRefusal::NoVmid {
                    machine: machine.name.clone(),
                    first: wanted.vmids.first,
                    last: wanted.vmids.last,
                })?,
            };
            Ok((machine.name.clone(), vmid))
        })
        .collect()
}
