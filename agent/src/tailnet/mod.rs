//! Which node of the tailnet this host is, and in what state.
//!
//! The port [`Tailnet`] asks once; [`follow`] keeps the address that the server listens on. Who a
//! caller is on the tailnet is not asked here yet.

#[cfg(any(test, feature = "testing"))]
mod fake;
mod follow;
mod health;
mod local_api;
mod status;

use std::time::Duration;

use async_trait::async_trait;

#[cfg(any(test, feature = "testing"))]
pub use fake::FakeTailnet;
pub use follow::{AddressCache, follow};
pub use health::TailnetHealth;
pub use local_api::{DEFAULT_SOCKET, LocalApi};
pub use status::NodeStatus;

/// The host's own node.
#[async_trait]
pub trait Tailnet: Send + Sync {
    /// The node as tailscaled sees it now.
    async fn status(&self) -> Result<NodeStatus, TailnetError>;
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
