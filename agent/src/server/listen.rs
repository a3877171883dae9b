//! Listening on the node's tailnet address, and nowhere else.
//!
//! The address need not be there: with `IP_FREEBIND` the socket starts to work when it appears and
//! survives its coming and going, so boot order and restarts of tailscaled do not matter.
//! Source: tried on Linux 6.18; the option needs no capability.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use super::connection::Connection;
use super::identity::Caller;
use super::refusals::Refusals;
use super::tls::{Credentials, Presented};

/// How long a TLS handshake may take.
const HANDSHAKE_BOUND: Duration = Duration::from_secs(10);
/// Handshakes at the same time. More callers wait in the kernel's queue.
const HANDSHAKES_MAXIMUM: usize = 32;
/// Length of that queue.
const BACKLOG: i32 = 128;
/// Between two attempts to bind, when the first failed.
const BIND_PAUSE: Duration = Duration::from_secs(2);

/// A TLS connection over TCP.
pub type TlsConnection = Connection<TlsStream<TcpStream>>;

/// Where the agent stands with listening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listening {
    /// The host never had a tailnet address.
    WaitingForAddress,
    /// On this address.
    On(SocketAddr),
    /// Not on this address; it is tried again.
    Failed {
        /// The address.
        address: SocketAddr,
        /// Why not.
        reason: String,
    },
}

/// Accepts connections on the address that `address` tells, until the receiver of `connections` is
/// gone. When the address changes, it binds the new one, and connections to the former one end.
pub async fn listen(
    mut address: watch::Receiver<Option<Ipv4Addr>>,
    port: u16,
    credentials: Arc<Credentials>,
    connections: mpsc::Sender<io::Result<TlsConnection>>,
    state: watch::Sender<Listening>,
    refusals: Arc<Refusals>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAXIMUM));
    while !connections.is_closed() {
        let Some(current) = *address.borrow_and_update() else {
            state.send_replace(Listening::WaitingForAddress);
            tokio::select! {
                changed = address.changed() => if changed.is_err() { return },
                () = connections.closed() => return,
            }
            continue;
        };
        let place = SocketAddr::from((current, port));
        let listener = match bind(place) {
            Ok(listener) => listener,
            Err(error) => {
                warn!(address = %place, %error, "cannot listen");
                state.send_replace(Listening::Failed {
                    address: place,
                    reason: error.to_string(),
                });
                let _ = tokio::time::timeout(BIND_PAUSE, address.changed()).await;
                continue;
            }
        };
        // A port of 0, which tests ask for, is another one by now.
        let place = listener.local_addr().unwrap_or(place);
        info!(address = %place, "listening");
        state.send_replace(Listening::On(place));
        // Told when this host has another address. When the agent stops, connections end by themselves.
        let (moved, over) = watch::channel(false);
        loop {
            tokio::select! {
                changed = address.changed() => {
                    if changed.is_err() { return }
                    moved.send_replace(true);
                    break;
                }
                () = connections.closed() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
                        let presented = credentials.current();
                        let (connections, refusals) = (connections.clone(), refusals.clone());
                        let mut over = over.clone();
                        let _ = stream.set_nodelay(true);
                        tokio::spawn(async move {
                            let shaken = handshake(stream, peer, presented, &refusals).await;
                            drop(permit);
                            if let Some(connection) = shaken {
                                let connection = connection.until(async move {
                                    if over.wait_for(|moved| *moved).await.is_err() {
                                        std::future::pending::<()>().await;
                                    }
                                });
                                // The server is gone: so is the connection.
                                let _ = connections.send(Ok(connection)).await;
                            }
                        });
                    }
                    // Out of descriptors, or a caller that went away: the listener itself is sound.
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }
}

/// Binds even when no interface has the address yet.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_freebind_v4(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Learns who is at the other end. `None`: the caller is refused, or silent.
pub(crate) async fn handshake<Bytes>(
    stream: Bytes,
    peer: SocketAddr,
    presented: Presented,
    refusals: &Refusals,
) -> Option<Connection<TlsStream<Bytes>>>
where
    Bytes: AsyncRead + AsyncWrite + Unpin,
{
    let acceptor = TlsAcceptor::from(presented.config);
    match tokio::time::timeout(HANDSHAKE_BOUND, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let caller = match certificates.first() {
                Some(leaf) => Caller::from_certificate(leaf, presented.authority, Some(peer)),
                None => Caller::Enrolling {
                    peer: Some(peer),
                    shown_certificate: presented.certificate.to_vec(),
                },
            };
            Some(Connection::new(stream, caller))
        }
        Ok(Err(error)) => {
            refusals.note(Some(peer), "a connection", &error.to_string());
            None
        }
        Err(_) => {
            debug!(%peer, "a caller did not finish the handshake");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::enrollment::TokenFile;
    use crate::identity::IdentityStore;

    #[tokio::test]
    async fn an_address_that_no_interface_has_can_be_bound() {
        let listener = bind(SocketAddr::from(([100, 64, 250, 250], 0))).unwrap();
        assert_eq!(
            listener.local_addr().unwrap().ip(),
            Ipv4Addr::new(100, 64, 250, 250)
        );
    }

    #[tokio::test]
    async fn the_listener_follows_the_address() {
        let directory = tempfile::tempdir().unwrap();
        let identities = Arc::new(IdentityStore::open(directory.path()).unwrap());
        let tokens = TokenFile::in_directory(directory.path());
        let credentials = Arc::new(Credentials::new(identities, tokens).unwrap());
        let (address, receiver) = watch::channel(None);
        let (connections, incoming) = mpsc::channel(1);
        let (state, mut states) = watch::channel(Listening::WaitingForAddress);
        let listening = tokio::spawn(listen(
            receiver,
            0,
            credentials,
            connections,
            state,
            Arc::default(),
        ));
        for last in [1, 2] {
            let wanted = Ipv4Addr::new(127, 0, 0, last);
            address.send_replace(Some(wanted));
            let on =
                |state: &Listening| matches!(state, Listening::On(place) if place.ip() == wanted);
            states.wait_for(on).await.unwrap();
        }
        drop(incoming);
        listening.await.unwrap();
    }
}
