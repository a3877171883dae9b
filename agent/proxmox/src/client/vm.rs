//! Calls about VMs.

use std::time::Duration;

use crate::{
    Client, DiskSize, Error, GuestInterface, NodeName, Slot, Upid, VmChange, VmConfig, VmSettings,
    VmStatus, Vmid, calls, model::GuestInterfaces, request::Request,
};

fn places<'a>(node: &'a NodeName, vmid: &'a str) -> [&'a str; 2] {
    [node.as_str(), vmid]
}

impl Client {
    /// Makes a VM, stopped. The VMID is taken within the request, or the request fails with
    /// [`crate::Complaint::AlreadyExists`]; until the task ends, the VM's configuration holds nothing but its lock.
    pub async fn create(&self, node: &NodeName, settings: &VmSettings) -> Result<Upid, Error> {
        let mut request = Request::new(&calls::CREATE, &[node.as_str()]);
        for (name, value) in settings.parameters() {
            request = request.with(&name, value);
        }
        self.begin(request).await
    }

    /// A VM's configuration, changes that wait for its next start included. The node must be the VM's own.
    pub async fn config(&self, node: &NodeName, vmid: Vmid) -> Result<VmConfig, Error> {
        self.ask(Request::new(
            &calls::VM_CONFIG,
            &places(node, &vmid.to_string()),
        ))
        .await
    }

    /// Changes a VM's configuration. Returns the task, or nothing when there was nothing to wait for.
    pub async fn change(
        &self,
        node: &NodeName,
        vmid: Vmid,
        change: &VmChange,
    ) -> Result<Option<Upid>, Error> {
        let mut request = Request::new(&calls::CHANGE, &places(node, &vmid.to_string()));
        for (name, value) in change.parameters() {
            request = request.with(&name, value);
        }
        self.ask(request).await
    }

    /// Grows a disk *to* a size. The same size again is a success, a smaller one a task that fails. PVE before 8
    /// returned no task.
    pub async fn resize(
        &self,
        node: &NodeName,
        vmid: Vmid,
        disk: Slot,
        size: DiskSize,
        digest: Option<&str>,
    ) -> Result<Option<Upid>, Error> {
        let request = Request::new(&calls::RESIZE, &places(node, &vmid.to_string()))
            .with("disk", disk)
            .with("size", size)
            .maybe("digest", digest);
        self.ask(request).await
    }

    /// What a VM does now.
    pub async fn status(&self, node: &NodeName, vmid: Vmid) -> Result<VmStatus, Error> {
        self.ask(Request::new(
            &calls::VM_STATUS,
            &places(node, &vmid.to_string()),
        ))
        .await
    }

    /// Starts a VM. That it runs already is the task's failure, not this call's.
    pub async fn start(&self, node: &NodeName, vmid: Vmid) -> Result<Upid, Error> {
        self.begin(Request::new(
            &calls::START,
            &places(node, &vmid.to_string()),
        ))
        .await
    }

    /// Takes a VM's power away.
    pub async fn stop(&self, node: &NodeName, vmid: Vmid) -> Result<Upid, Error> {
        self.begin(Request::new(&calls::STOP, &places(node, &vmid.to_string())))
            .await
    }

    /// Asks the guest to shut down, within `limit` in whole seconds; `force` takes its power away then.
    pub async fn shutdown(
        &self,
        node: &NodeName,
        vmid: Vmid,
        limit: Duration,
        force: bool,
    ) -> Result<Upid, Error> {
        let request = Request::new(&calls::SHUTDOWN, &places(node, &vmid.to_string()))
            .with("timeout", limit.as_secs())
            .maybe("forceStop", force.then_some("1"));
        self.begin(request).await
    }

    /// Removes a stopped VM, the disks that its configuration names, and its place in jobs. A running VM is refused.
    ///
    /// What else carries its VMID on a storage stays: a VM that had the VMID before may have left it, or one of
    /// another cluster that shares the storage may have it.
    pub async fn delete(&self, node: &NodeName, vmid: Vmid) -> Result<Upid, Error> {
        let request = Request::new(&calls::DELETE, &places(node, &vmid.to_string()))
            .flag("purge", true)
            .flag("destroy-unreferenced-disks", false);
        self.begin(request).await
    }

    /// The network data on Proxmox's own cloud-init drive, as it would be written now.
    pub async fn cloud_init_network(&self, node: &NodeName, vmid: Vmid) -> Result<String, Error> {
        let request = Request::new(&calls::CLOUD_INIT, &places(node, &vmid.to_string()))
            .with("type", "network");
        self.ask(request).await
    }

    /// The guest's addresses, if it has an agent that answers. Never to be depended upon.
    pub async fn guest_interfaces(
        &self,
        node: &NodeName,
        vmid: Vmid,
    ) -> Result<Vec<GuestInterface>, Error> {
        let request = Request::new(&calls::GUEST_INTERFACES, &places(node, &vmid.to_string()));
        let interfaces: GuestInterfaces = self.ask(request).await?;
        Ok(interfaces.result)
    }
}
