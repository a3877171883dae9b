//! Connections out of this host: to where a name leads, in the clear or under TLS. What is said over
//! them is the callers' business.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// How the agent calls itself to servers.
pub(crate) const USER_AGENT: &str = concat!("omni-scale-agent/", env!("CARGO_PKG_VERSION"));

/// Bytes in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// TLS with servers whose certificates chain to one of these, for HTTP/1.1.
pub(crate) fn connector(roots_pem: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(roots_pem.as_bytes()).flatten();
    roots.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(tls))
}

/// The name that a server's certificate must be for. `None`: no certificate can be for it.
pub(crate) fn server_name(host: &Host<&str>) -> Option<ServerName<'static>> {
    Some(match host {
        Host::Domain(name) => ServerName::try_from((*name).to_owned()).ok()?,
        Host::Ipv4(address) => ServerName::from(IpAddr::from(*address)),
        Host::Ipv6(address) => ServerName::from(IpAddr::from(*address)),
    })
}

/// What stands in the `Host` header for a URL whose host is `host`.
pub(crate) fn authority(url: &Url, host: &str) -> String {
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The first address that can be connected to: one of several may lead nowhere. `within` bounds the
/// question for addresses, and then each address's connection and handshake.
pub(crate) async fn connect(
    host: &Host<&str>,
    port: u16,
    tls: Option<&(&TlsConnector, ServerName<'static>)>,
    within: Duration,
) -> io::Result<Box<dyn Stream>> {
    let addresses: Vec<SocketAddr> = match host {
        Host::Domain(name) => {
            let looked_up = timeout(within, lookup_host((*name, port))).await;
            let looked_up = looked_up.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            looked_up?.collect()
        }
        Host::Ipv4(address) => vec![(*address, port).into()],
        Host::Ipv6(address) => vec![(*address, port).into()],
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in addresses {
        match timeout(within, attempt(address, tls)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

async fn attempt(
    address: SocketAddr,
    tls: Option<&(&TlsConnector, ServerName<'static>)>,
) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    match tls {
        None => Ok(Box::new(stream)),
        Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
    }
}
