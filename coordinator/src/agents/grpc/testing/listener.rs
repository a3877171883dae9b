//! Serving the model on loopback, with the TLS that agents have.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use omni_scale_proto::id::HostName;
use omni_scale_proto::v1::host_service_server::HostServiceServer;
use omni_scale_proto::v1::stack_service_server::StackServiceServer;
use omni_scale_proto::v1::unit_service_server::UnitServiceServer;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use super::TestAgent;
use crate::agents::grpc::Resolve;
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

pub(crate) fn pem(der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

/// Serves until the runtime ends.
pub(crate) async fn serve(agent: TestAgent, identity: ServerIdentity) -> SocketAddr {
    let mut tls =
        ServerTlsConfig::new().identity(Identity::from_pem(&identity.certificate, &identity.key));
    if let Some(authority) = &identity.client_authority {
        tls = tls.client_ca_root(Certificate::from_pem(authority));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .tls_config(tls)
        .unwrap()
        .add_service(HostServiceServer::new(agent.clone()))
        .add_service(UnitServiceServer::new(agent.clone()))
        .add_service(StackServiceServer::new(agent))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    address
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
impl Resolve for Loopback {
    async fn resolve(&self, host: &HostName, dns_name: &str) -> io::Result<Vec<SocketAddr>> {
        match self.0.get(host) {
            Some(address) => Ok(vec![*address]),
            None => Err(io::Error::other(format!("no such name: {dns_name}"))),
        }
    }
}
