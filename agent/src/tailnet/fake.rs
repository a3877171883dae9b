//! A node whose state tests set.

use std::net::Ipv4Addr;
use std::sync::Mutex;

use async_trait::async_trait;
use omni_scale_proto::v1::TailnetState;

use super::{NodeStatus, Tailnet, TailnetError};

/// A node in memory: in a state, or with a tailscaled that does not answer.
#[derive(Debug)]
pub struct FakeTailnet {
    status: Mutex<Option<NodeStatus>>,
}

impl FakeTailnet {
    /// A running node with this name and address.
    pub fn running(dns_name: &str, ipv4: Ipv4Addr) -> Self {
        Self {
            status: Mutex::new(Some(NodeStatus {
                state: TailnetState::Running,
                ipv4: Some(ipv4),
                dns_name: dns_name.to_owned(),
                node_id: format!("n-{dns_name}"),
                key_expiry_milliseconds: None,
                health: Vec::new(),
                certificate_domains: vec![dns_name.to_owned()],
                tun: true,
            })),
        }
    }

    /// Replaces the state; `None`: tailscaled does not answer.
    pub fn set(&self, status: Option<NodeStatus>) {
        *self
            .status
            .lock()
            .expect("no test panics while it holds this") = status;
    }
}

#[async_trait]
impl Tailnet for FakeTailnet {
    async fn status(&self) -> Result<NodeStatus, TailnetError> {
        let status = self
            .status
            .lock()
            .expect("no test panics while it holds this")
            .clone();
        status.ok_or_else(|| TailnetError::Unreachable {
            socket: "fake".to_owned(),
            source: std::io::ErrorKind::ConnectionRefused.into(),
        })
    }
}
