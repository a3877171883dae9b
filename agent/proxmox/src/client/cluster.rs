//! Calls about the cluster and the token.

use crate::{
    Client, DatacenterOptions, Error, Node, Permissions, Resource, Version, Vmid, calls,
    request::Request,
};

impl Client {
    /// Which Proxmox VE answers. Any token may ask.
    pub async fn version(&self) -> Result<Version, Error> {
        self.ask(Request::new(&calls::VERSION, &[])).await
    }

    /// What the token may do, on `path` or on every path that has an entry.
    pub async fn permissions(&self, path: Option<&str>) -> Result<Permissions, Error> {
        self.ask(Request::new(&calls::PERMISSIONS, &[]).maybe("path", path))
            .await
    }

    /// A VMID that was free a moment ago; with `wanted`, that one, or an error. It reserves nothing.
    pub async fn next_id(&self, wanted: Option<Vmid>) -> Result<Vmid, Error> {
        self.ask(Request::new(&calls::NEXT_ID, &[]).maybe("vmid", wanted))
            .await
    }

    /// VMs and containers of all nodes, as far as the token may see them; see [`Resource`] for what is stale.
    pub async fn guests(&self) -> Result<Vec<Resource>, Error> {
        self.ask(Request::new(&calls::RESOURCES, &[]).with("type", "vm"))
            .await
    }

    /// The datacenter's settings. Needs `Sys.Audit` on `/`.
    pub async fn options(&self) -> Result<DatacenterOptions, Error> {
        self.ask(Request::new(&calls::OPTIONS, &[])).await
    }

    /// The nodes.
    pub async fn nodes(&self) -> Result<Vec<Node>, Error> {
        self.ask(Request::new(&calls::NODES, &[])).await
    }
}
