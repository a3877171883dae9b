//! One connection: name, TCP, TLS, within one time limit.

use std::{io, net::SocketAddr, time::Duration};

use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{Address, TrustError, trust::Verifier};

/// Why there is no connection. Nothing was sent over it, whatever was to be.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("`{host}` has no address")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// No address of it accepts; the last one's reason.
    #[error("`{address}` accepts no connection")]
    Connect {
        /// The socket address, or the name when it has no address.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The peer closed or broke the connection during the handshake.
    #[error("the TLS handshake broke off")]
    Handshake(#[source] io::Error),
    /// The peer is not believed.
    #[error("the node is not trusted")]
    Trust(#[source] TrustError),
    /// The time limit passed.
    #[error("no connection within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// Connects to `address` and judges who answers.
pub(crate) async fn connect(
    address: &Address,
    verifier: &Verifier,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    timeout(limit, async {
        let stream = dial(address).await?;
        let name = address.server_name().ok_or_else(|| ConnectError::Resolve {
            host: address.host().to_owned(),
            source: io::ErrorKind::InvalidInput.into(),
        })?;
        TlsConnector::from(verifier.configuration())
            .connect(name, stream)
            .await
            .map_err(|error| {
                match error
                    .get_ref()
                    .and_then(|inner| inner.downcast_ref::<rustls::Error>())
                {
                    Some(inner) => ConnectError::Trust(verifier.explain(inner)),
                    None => ConnectError::Handshake(error),
                }
            })
    })
    .await
    .unwrap_or(Err(ConnectError::TimedOut(limit)))
}

/// The first address that accepts: a name may have one that leads nowhere.
async fn dial(address: &Address) -> Result<TcpStream, ConnectError> {
    let resolve = |source| ConnectError::Resolve {
        host: address.host().to_owned(),
        source,
    };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((address.host(), address.port()))
        .await
        .map_err(resolve)?
        .collect();
    let mut failure = resolve(io::ErrorKind::NotFound.into());
    for socket in addresses {
        match TcpStream::connect(socket).await {
            Ok(stream) => {
                // Requests are small and written at once; waiting to fill a segment only delays them.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(source) => {
                failure = ConnectError::Connect {
                    address: socket.to_string(),
                    source,
                };
            }
        }
    }
    Err(failure)
}
