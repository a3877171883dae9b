//! Containers, as far as VMs meet them: they take VMIDs, and stand in the cluster's list.

use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;

/// A container of somebody else's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// The node that holds its configuration.
    pub node: String,
    /// Its tags, separated by `;`.
    #[serde(default)]
    pub tags: String,
}

impl Cluster {
    /// Whether a VM or a container has the VMID.
    pub(crate) fn is_taken(&self, vmid: u32) -> bool {
        self.vms.contains_key(&vmid) || self.containers.contains_key(&vmid)
    }

    /// Who has the VMID and where, in the words of pve-cluster's `Cluster.pm` `check_vmid_unused`.
    pub(crate) fn taken_by(&self, vmid: u32) -> Option<String> {
        let vm = self.vms.get(&vmid).map(|vm| ("VM", &vm.node));
        let container = || self.containers.get(&vmid).map(|one| ("CT", &one.node));
        let (kind, node) = vm.or_else(container)?;
        Some(format!("{kind} {vmid} already exists on node '{node}'"))
    }
}
