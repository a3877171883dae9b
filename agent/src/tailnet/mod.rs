//! Which node of the tailnet this host is, in what state, and who is behind an address of it.
//!
//! The port [`Tailnet`] asks tailscaled; [`NodeView`] is one look at the node with everything that
//! is to be said about it; [`follow`] keeps that and the address that the server listens on.
//! Whether a caller may do what they ask for is decided in `server`, not here.

pub mod condition;
mod device;
#[cfg(any(test, feature = "testing"))]
mod fake;
mod follow;
mod health;
mod local_api;
mod look;
mod preferences;
mod status;
mod warning;
mod whois;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

pub use device::{Device, Named};
#[cfg(any(test, feature = "testing"))]
pub use fake::FakeTailnet;
pub use follow::{AddressCache, follow};
pub use health::TailnetHealth;
pub use local_api::{DEFAULT_SOCKET, LocalApi};
pub use look::NodeView;
pub use preferences::Preferences;
pub use status::NodeStatus;
pub use warning::{Warning, WarningSeverity};
pub use whois::Peer;

/// The host's own node. Every answer is bounded in time and size.
#[async_trait]
pub trait Tailnet: Send + Sync {
    /// The node as tailscaled sees it now.
    async fn status(&self) -> Result<NodeStatus, TailnetError>;

    /// Who is behind the other end of a TCP connection to this node. `None`: no device of the
    /// tailnet. An error is neither: it must never be taken for a device.
    async fn whois(&self, address: SocketAddr) -> Result<Option<Peer>, TailnetError>;

    /// What the tailnet has under a full name. `None`: the node does not run, and knows of nobody.
    async fn named(&self, dns_name: &str) -> Result<Option<Named>, TailnetError>;

    /// What the node was told to be.
    async fn preferences(&self) -> Result<Preferences, TailnetError>;

    /// What tailscaled warns of now.
    async fn warnings(&self) -> Result<Vec<Warning>, TailnetError>;

    /// Ticks when something about the node may have changed, and ends when tailscaled does.
    async fn changes(&self) -> Result<mpsc::Receiver<()>, TailnetError>;

    /// Whether an interface of this host has the address. `None`: nobody can tell.
    fn has_address(&self, address: Ipv4Addr) -> Option<bool>;
}
/// Why tailscaled's answer is not known. Never to be taken for any state of the node.
#[derive(Debug, thiserror::Error)]
pub enum TailnetError {
    /// There is no socket, or nobody behind it.
    #[error("tailscaled does not answer at `{socket}`")]
    Unreachable {
        /// The socket.
        socket: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection to tailscaled broke")]
    Broken(#[source] hyper::Error),
    /// Another status than 200.
    #[error("tailscaled answered {status} to `{path}`")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What was asked.
        path: &'static str,
    },
    /// Something that is not the expected document.
    #[error("tailscaled's answer to `{path}` is not understood")]
    Malformed {
        /// What was asked.
        path: &'static str,
        /// Where it does not fit.
        #[source]
        source: serde_json::Error,
    },
    /// More than is sensible.
    #[error("tailscaled's answer to `{path}` is larger than {limit} bytes")]
    TooLarge {
        /// What was asked.
        path: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Nothing in time.
    #[error("tailscaled did not answer within {} s", bound.as_secs())]
    TimedOut {
        /// The bound.
        bound: Duration,
    },
}
