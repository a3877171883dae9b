//! Serving the model on loopback, with the TLS that agents have.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use omni_scale_proto::id::HostName;
use omni_scale_proto::v1;
use omni_scale_proto::v1::client_service_server::ClientServiceServer;
use omni_scale_proto::v1::host_service_server::HostServiceServer;
use omni_scale_proto::v1::machine_service_server::MachineServiceServer;
use omni_scale_proto::v1::stack_service_server::StackServiceServer;
use omni_scale_proto::v1::unit_service_server::UnitServiceServer;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::transport::server::Router;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::pb::health_server::HealthServer;

use super::TestAgent;
use crate::agents::grpc::memory::MemoryNetwork;
use crate::agents::grpc::{Network, SystemNetwork, Wire};
use crate::pki::Authority;

/// What a listener shows, and whom it believes.
pub(crate) struct ServerIdentity {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) certificate_der: Vec<u8>,
    /// None: clients need no certificate.
    pub(crate) client_authority: Option<String>,
}

impl ServerIdentity {
    /// An enrolled agent, whose certificate was made at `now`.
    pub(crate) fn enrolled(authority: &Authority, host: &str, now: OffsetDateTime) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::new(Vec::new())
            .unwrap()
            .serialize_request(&key)
            .unwrap();
        let issued = authority
            .issue_agent(&host.parse().unwrap(), request.der(), now)
            .unwrap();
        Self {
            certificate: pem(issued.der()),
            key: key.serialize_pem(),
            certificate_der: issued.der().to_vec(),
            client_authority: Some(pem(authority.certificate().der())),
        }
    }

    /// An agent that was never enrolled.
    pub(crate) fn self_made() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["agent".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            certificate_der: certificate.der().to_vec(),
            client_authority: None,
        }
    }
}

impl ServerIdentity {
    /// An agent that was given this certificate for its key.
    pub(super) fn of_certificate(given: &v1::EnrollCertificate, key: String) -> Self {
        let leaf = &given.certificate_chain[0];
        Self {
            certificate: pem(leaf),
            key,
            certificate_der: leaf.clone(),
            client_authority: Some(pem(&given.authority)),
        }
    }
}

pub(crate) fn pem(der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

/// A server with the TLS that agents have.
fn server(identity: &ServerIdentity) -> Server {
    let mut tls =
        ServerTlsConfig::new().identity(Identity::from_pem(&identity.certificate, &identity.key));
    if let Some(authority) = &identity.client_authority {
        tls = tls.client_ca_root(Certificate::from_pem(authority));
    }
    Server::builder().tls_config(tls).unwrap()
}

/// All services of an agent with every role.
fn all_services(identity: &ServerIdentity, agent: TestAgent) -> Router {
    server(identity)
        .add_service(HostServiceServer::new(agent.clone()))
        .add_service(HealthServer::new(agent.clone()))
        .add_service(UnitServiceServer::new(agent.clone()))
        .add_service(StackServiceServer::new(agent.clone()))
        .add_service(ClientServiceServer::new(agent.clone()))
        .add_service(MachineServiceServer::new(agent))
}

/// Serves on loopback until the runtime ends.
pub(crate) async fn serve(agent: TestAgent, identity: ServerIdentity) -> SocketAddr {
    spawn(all_services(&identity, agent)).await
}

/// The same for an agent without roles.
pub(crate) async fn serve_host_only(agent: TestAgent, identity: ServerIdentity) -> SocketAddr {
    spawn(server(&identity).add_service(HostServiceServer::new(agent))).await
}

async fn spawn(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

/// Serves on a network in memory, in the place of who listened on the host before.
pub(crate) fn serve_in_memory(
    network: &MemoryNetwork,
    host: &HostName,
    agent: TestAgent,
    identity: &ServerIdentity,
) {
    let incoming = UnboundedReceiverStream::new(network.listen(host)).map(io::Result::Ok);
    tokio::spawn(all_services(identity, agent).serve_with_incoming(incoming));
}

/// Leads each host's name to a port of loopback.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loopback(pub(crate) BTreeMap<HostName, SocketAddr>);

impl Loopback {
    pub(crate) fn to(host: &str, address: SocketAddr) -> Self {
        Self([(host.parse().unwrap(), address)].into())
    }
}

#[async_trait]
impl Network for Loopback {
    async fn resolve(&self, host: &HostName, dns_name: &str) -> io::Result<Vec<SocketAddr>> {
        match self.0.get(host) {
            Some(address) => Ok(vec![*address]),
            None => Err(io::Error::other(format!("no such name: {dns_name}"))),
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Wire> {
        SystemNetwork.connect(address).await
    }
}
