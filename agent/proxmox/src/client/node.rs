//! Calls about one node.

use crate::{
    Client, ContentKind, Error, Interface, NodeDns, NodeName, NodeStatus, Storage, UrlMetadata,
    calls, request::Request,
};

impl Client {
    /// What the node has. Needs `Sys.Audit` on it.
    pub async fn node_status(&self, node: &NodeName) -> Result<NodeStatus, Error> {
        self.ask(Request::new(&calls::NODE_STATUS, &[node.as_str()]))
            .await
    }

    /// Whom the node asks for names. Needs `Sys.Audit` on it.
    pub async fn node_dns(&self, node: &NodeName) -> Result<NodeDns, Error> {
        self.ask(Request::new(&calls::NODE_DNS, &[node.as_str()]))
            .await
    }

    /// Bridges and vnets that VMs can be attached to, as far as the token may use them.
    pub async fn bridges(&self, node: &NodeName) -> Result<Vec<Interface>, Error> {
        self.ask(Request::new(&calls::NODE_NETWORK, &[node.as_str()]).with("type", "any_bridge"))
            .await
    }

    /// Storages that are switched on, all or those for one kind of content.
    pub async fn storages(
        &self,
        node: &NodeName,
        content: Option<&ContentKind>,
    ) -> Result<Vec<Storage>, Error> {
        let request = Request::new(&calls::STORAGES, &[node.as_str()])
            .flag("enabled", true)
            .maybe("content", content.map(ContentKind::as_str));
        self.ask(request).await
    }

    /// What the node itself finds behind `url`: whether [`Client::download`] would get out. Needs the same
    /// privileges (`Sys.AccessNetwork` on the node).
    pub async fn url_metadata(&self, node: &NodeName, url: &str) -> Result<UrlMetadata, Error> {
        self.ask(Request::new(&calls::URL_METADATA, &[node.as_str()]).with("url", url))
            .await
    }
}
