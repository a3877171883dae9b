//! Reaching one agent: name → address → TCP → TLS, each within a bound.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use omni_scale_proto::AGENT_PORT;
use omni_scale_proto::id::HostName;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsConnector, rustls};

use super::peers::PeerTrouble;
use super::tls::{NotPinned, SelfMade};

/// Bound on each of the three parts. A tailnet that falls back to a relay needs about one second.
const PART: Duration = Duration::from_secs(5);

/// The way to agents: from the name of a node to its addresses, and from there to a byte stream.
#[async_trait]
pub trait Network: fmt::Debug + Send + Sync {
    /// Where the agent of a host listens. `dns_name` is the full name of the host's node.
    async fn resolve(&self, host: &HostName, dns_name: &str) -> io::Result<Vec<SocketAddr>>;

    /// A connection to one of these addresses, without TLS.
    async fn connect(&self, address: SocketAddr) -> io::Result<Wire>;
}

/// What carries TLS.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<Any: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for Any {}

/// A byte stream of any kind.
pub type Wire = Box<dyn ByteStream>;

/// The system's network, for what is not the tailnet's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNetwork;

#[async_trait]
impl Network for SystemNetwork {
    async fn resolve(&self, _host: &HostName, dns_name: &str) -> io::Result<Vec<SocketAddr>> {
        let addresses = system_addresses(dns_name).await?.into_iter();
        let at = |address| SocketAddr::new(address, AGENT_PORT);
        Ok(addresses.map(at).collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Wire> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true).ok();
        Ok(Box::new(stream))
    }
}

/// What the system's resolver says. Nodes listen on their IPv4 address; IPv6 is for a forwarder in
/// between.
pub(super) async fn system_addresses(dns_name: &str) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((dns_name, AGENT_PORT)).await?;
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    Ok(addresses)
}

/// Why there is no connection. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name is unknown, or the resolver does not answer.
    #[error("the name `{dns_name}` cannot be resolved")]
    Resolve {
        /// The full name of the host's node.
        dns_name: String,
        /// Why.
        source: io::Error,
    },
    /// The tailnet's table of devices says that it cannot be reached.
    #[error(transparent)]
    Peer(PeerTrouble),
    /// Nobody accepts the connection.
    #[error("no connection to {address}")]
    Connect {
        /// What was tried last.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The agent is not enrolled.
    #[error("its agent is not enrolled")]
    NotEnrolled,
    /// The certificate is not the one that the enrolment token names.
    #[error("the certificate at {address} is not the one that the token names")]
    NotPinned {
        /// Who showed it.
        address: SocketAddr,
    },
    /// Whoever answers is not the agent of this host in this deployment.
    #[error("the certificate at {address} is not one of host `{host}` in this deployment")]
    Certificate {
        /// The host that was expected.
        host: HostName,
        /// Who showed it.
        address: SocketAddr,
        /// Why.
        source: rustls::Error,
    },
    /// TLS failed for another reason.
    #[error("TLS with {address} failed")]
    Tls {
        /// With whom.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A [`DialError`] that can be taken out of the layers that carried it up.
#[derive(Debug, Clone)]
pub struct Unconnected(pub Arc<DialError>);

impl fmt::Display for Unconnected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for Unconnected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl DialError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Resolve { .. } => "is this machine on the tailnet? see `tailscale status`; the \
                name is `hosts.NAME.dns_name` in the deployment"
                .to_owned(),
            Self::Peer(trouble) => trouble.hint(),
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                "is the agent running? see `systemctl status omni-scale-agent` on the host"
                    .to_owned()
            }
            Self::Connect { .. } => {
                "is the host up and on the tailnet, and do its ACLs allow port 7443?".to_owned()
            }
            Self::NotEnrolled => {
                "run `sudo omni-scale-agent token` on the host, then `omni-scale enroll HOST --token TOKEN` here"
                    .to_owned()
            }
            Self::NotPinned { .. } => "either the token is of another host, or somebody is in \
                between; compare the fingerprint with `sudo omni-scale-agent token` on the host"
                .to_owned(),
            Self::Certificate {
                source:
                    rustls::Error::InvalidCertificate(
                        CertificateError::Expired | CertificateError::ExpiredContext { .. },
                    ),
                ..
            } => "make a new token with `sudo omni-scale-agent token` on the host and enrol it \
                again with `omni-scale enroll`"
                .to_owned(),
            Self::Certificate { .. } => "the name may lead to another machine, or the agent \
                belongs to another deployment"
                .to_owned(),
            Self::Tls { source, .. } => CertificateRefusal::find(source)?.hint().to_owned(),
        })
    }
}

/// Why an agent does not take the operator's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CertificateRefusal {
    /// It has ended.
    Ended,
    /// It is on the deny list.
    Denied,
    /// It is not of the agent's deployment, or not an operator's.
    Foreign,
}

impl CertificateRefusal {
    /// What the server said in a TLS alert, anywhere in the chain of causes. h2 keeps only the
    /// words of an error of the connection, so words are looked at.
    pub(super) fn find(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let words = error.to_string();
            if let Some((_, alert)) = words.split_once("received fatal alert: ") {
                return Self::from_alert(alert);
            }
            cause = error.source();
        }
        None
    }

    /// The names are those of [`rustls::AlertDescription`].
    fn from_alert(words: &str) -> Option<Self> {
        let mut name = words.split(|character: char| !character.is_ascii_alphanumeric());
        match name.next()? {
            "CertificateExpired" => Some(Self::Ended),
            "CertificateRevoked" | "AccessDenied" => Some(Self::Denied),
            // A certificate of an authority with the same name fails at its signature.
            "BadCertificate"
            | "UnsupportedCertificate"
            | "CertificateUnknown"
            | "UnknownCA"
            | "CertificateRequired"
            | "DecryptError" => Some(Self::Foreign),
            _ => None,
        }
    }

    /// Completes "its agent …".
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Ended => "says that this operator's certificate has ended",
            Self::Denied => "says that this operator's certificate is revoked",
            Self::Foreign => "does not take this operator's certificate",
        }
    }

    /// What to do next.
    pub(super) const fn hint(self) -> &'static str {
        match self {
            Self::Ended => "renew it with `omni-scale renew --operator`, or ask for a new one",
            Self::Denied => "ask an admin of the deployment for a new one",
            Self::Foreign => {
                "the agent may belong to another deployment; if it does not, enrol it again"
            }
        }
    }
}

/// How to reach one agent.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) host: HostName,
    pub(super) dns_name: String,
    pub(super) network: Arc<dyn Network>,
    pub(super) tls: Arc<ClientConfig>,
}

impl Dialer {
    /// Connects, or says why not. Addresses are tried in order.
    pub(super) async fn dial(&self) -> Result<TlsStream<Wire>, DialError> {
        let addresses = self.addresses().await?;
        let mut last = None;
        for address in addresses {
            match bounded(self.network.connect(address)).await {
                Ok(stream) => return self.handshake(stream, address).await,
                Err(source) => last = Some(DialError::Connect { address, source }),
            }
        }
        Err(last.unwrap_or_else(|| self.unresolved(io::Error::other("it has no address"))))
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, DialError> {
        bounded(self.network.resolve(&self.host, &self.dns_name))
            .await
            .map_err(|source| self.unresolved(source))
    }

    fn unresolved(&self, source: io::Error) -> DialError {
        match source.downcast::<PeerTrouble>() {
            Ok(trouble) => DialError::Peer(trouble),
            Err(source) => DialError::Resolve {
                dns_name: self.dns_name.clone(),
                source,
            },
        }
    }

    async fn handshake(
        &self,
        stream: Wire,
        address: SocketAddr,
    ) -> Result<TlsStream<Wire>, DialError> {
        let name = ServerName::try_from(self.host.as_str().to_owned()).map_err(|error| {
            DialError::Tls {
                address,
                source: io::Error::other(error),
            }
        })?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        bounded(connector.connect(name, stream))
            .await
            .map_err(|source| self.tls_failure(source, address))
    }

    fn tls_failure(&self, source: io::Error, address: SocketAddr) -> DialError {
        let inner = source
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if other.0.is::<SelfMade>() =>
            {
                DialError::NotEnrolled
            }
            Some(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if other.0.is::<NotPinned>() =>
            {
                DialError::NotPinned { address }
            }
            Some(error @ rustls::Error::InvalidCertificate(_)) => DialError::Certificate {
                host: self.host.clone(),
                address,
                source: error.clone(),
            },
            _ => DialError::Tls { address, source },
        }
    }
}

async fn bounded<T>(part: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PART, part).await.unwrap_or_else(|_| {
        let message = format!("no answer within {} s", PART.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, message))
    })
}
