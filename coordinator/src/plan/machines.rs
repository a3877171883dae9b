//! Machines that a deployment wants, and what is asked about them.
//!
//! Data only. Which node, VMID and UUID each gets is decided in `build`, from what is there.

use std::collections::BTreeSet;

use omni_scale_proto::id::{HostName, MachineName};
use omni_scale_proto::v1;
use serde::{Deserialize, Serialize};

/// All machines, and the cluster that they are made on.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredMachines {
    /// The host whose agent reaches the cluster.
    pub host: HostName,
    /// The cluster.
    pub hypervisor: v1::Hypervisor,
    /// VMIDs that machines may get.
    pub vmids: v1::VmidRange,
    /// Resolvers that know the names of the site.
    pub nameservers: Vec<String>,
    /// The machines, by what they are declared in.
    pub groups: Vec<DesiredGroup>,
}

/// Machines that are declared together.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredGroup {
    /// Its name.
    pub name: String,
    /// What its machines become.
    pub purpose: Purpose,
    /// Nodes that they may be on. Empty: all.
    pub nodes: BTreeSet<String>,
    /// The machines, without what a plan decides: UUID, incarnation, node and VMID.
    pub machines: Vec<v1::Machine>,
}

/// What machines become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// A host of the deployment.
    Host(HostName),
    /// They join Omni.
    Talos {
        /// Two of them on one node defeat their purpose.
        apart: bool,
    },
}

impl DesiredMachines {
    /// The group that becomes this host.
    pub fn of_host(&self, host: &HostName) -> Option<&DesiredGroup> {
        let mut groups = self.groups.iter();
        groups.find(|group| matches!(&group.purpose, Purpose::Host(of) if of == host))
    }

    /// Whether there are machines that become hosts.
    pub fn makes_hosts(&self) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|group| matches!(group.purpose, Purpose::Host(_)))
    }

    /// Whether there are machines that join Omni.
    pub fn makes_talos(&self) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|group| matches!(group.purpose, Purpose::Talos { .. }))
    }

    /// What is asked of the cluster.
    pub fn scope(&self) -> MachinesScope {
        let machines = self.groups.iter().flat_map(|group| &group.machines);
        MachinesScope {
            hypervisor: self.hypervisor.clone(),
            vmids: self.vmids,
            names: machines
                .filter_map(|machine| machine.name.parse().ok())
                .collect(),
        }
    }
}

/// Machines that are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachinesScope {
    /// The cluster.
    pub hypervisor: v1::Hypervisor,
    /// VMIDs of which it is asked which are taken.
    pub vmids: v1::VmidRange,
    /// Their names.
    pub names: BTreeSet<MachineName>,
}
