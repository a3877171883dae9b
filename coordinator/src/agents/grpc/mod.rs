//! The adapter of the port: agents over gRPC, each on its own mutually authenticated TLS 1.3
//! connection. This folder is the only place that knows tonic.
//!
//! A connection is made when a host is first asked, and proven by one `Describe`: with TLS 1.3
//! a client learns only from its first answer whether the server takes its certificate. So a
//! refused certificate is known before anything that changes something is sent. Every wait has
//! a bound. Nothing is retried here.

mod administration;
mod connection;
mod dial;
mod enroller;
mod enrollment;
mod health;
mod machines;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
mod operation;
mod peers;
mod port;
mod status;
mod stream;
mod tailnet;
mod tls;
mod upload;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use omni_scale_proto::id::HostName;

pub use administration::{GeneratedSecret, ListedSecret, RenewalError};
pub use dial::{ByteStream, DialError, Network, SystemNetwork, Unconnected, Wire};
pub use enroller::Enroller;
pub use enrollment::{
    Enrolled, EnrollmentAnswer, EnrollmentError, EnrollmentSession, FixedAddress,
};
pub use health::Health;
pub use peers::PeerTrouble;
pub use stream::{Changes, Log, LogSource};
pub use tailnet::TailnetNetwork;
pub use tls::TlsError;
pub use upload::{Upload, UploadError};

use self::connection::Connection;
use crate::agents::AgentError;
use crate::pki::Credential;

/// The agents of a deployment, asked in the name of one operator.
pub struct GrpcAgents {
    connections: BTreeMap<HostName, Connection>,
    dns_names: BTreeMap<HostName, String>,
    network: Arc<dyn Network>,
    /// Set when hosts are made on the way.
    enroller: OnceLock<Enroller>,
}

impl GrpcAgents {
    /// Agents by host name, each with the full name of its node. Nothing is connected yet.
    pub fn new(
        hosts: impl IntoIterator<Item = (HostName, String)>,
        credential: &Credential,
        network: &Arc<dyn Network>,
    ) -> Result<Self, TlsError> {
        let tls = Arc::new(tls::with_credential(credential)?);
        let dns_names: BTreeMap<HostName, String> = hosts.into_iter().collect();
        let connections = dns_names
            .iter()
            .map(|(host, dns_name)| {
                let dialer = dial::Dialer {
                    host: host.clone(),
                    dns_name: dns_name.clone(),
                    network: Arc::clone(network),
                    tls: Arc::clone(&tls),
                };
                (host.clone(), Connection::new(dialer))
            })
            .collect();
        Ok(Self {
            connections,
            dns_names,
            network: Arc::clone(network),
            enroller: OnceLock::new(),
        })
    }

    fn connection(&self, host: &HostName, tried: &str) -> Result<&Connection, AgentError> {
        self.connections
            .get(host)
            .ok_or_else(|| AgentError::Faulty {
                host: host.clone(),
                tried: tried.to_owned(),
                message: "the deployment has no such host".to_owned(),
            })
    }
}

impl fmt::Debug for GrpcAgents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GrpcAgents")
            .field("hosts", &self.connections.keys())
            .finish_non_exhaustive()
    }
}
