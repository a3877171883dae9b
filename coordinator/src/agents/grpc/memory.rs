//! A network inside this process, for tests: listeners by host name, connections that can be cut,
//! and no time but tokio's.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use omni_scale_proto::AGENT_PORT;
use omni_scale_proto::id::HostName;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::{mpsc, watch};

use super::{Network, Wire};

/// Bytes that are on their way in each direction.
const IN_FLIGHT: usize = 64 * 1024;

/// The network. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct MemoryNetwork {
    places: Arc<Mutex<BTreeMap<HostName, Place>>>,
}

/// A host on the network.
#[derive(Debug)]
struct Place {
    address: SocketAddr,
    /// None: connections are refused.
    listener: Option<mpsc::UnboundedSender<DuplexStream>>,
    /// Rises when the connections of the host are cut.
    cuts: watch::Sender<u64>,
    /// How many connections there were.
    connections: usize,
}

impl MemoryNetwork {
    /// Listens on a host, in the place of who listened there before.
    pub fn listen(&self, host: &HostName) -> mpsc::UnboundedReceiver<DuplexStream> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut places = self.places();
        let number = u8::try_from(places.len() + 1).expect("tests have few hosts");
        let place = places.entry(host.clone()).or_insert_with(|| Place {
            address: (Ipv4Addr::new(100, 64, 0, number), AGENT_PORT).into(),
            listener: None,
            cuts: watch::Sender::new(0),
            connections: 0,
        });
        place.listener = Some(sender);
        receiver
    }

    /// Nobody listens on the host any more, and its connections are cut.
    pub fn leave(&self, host: &HostName) {
        if let Some(place) = self.places().get_mut(host) {
            place.listener = None;
        }
        self.cut(host);
    }

    /// Cuts the connections of a host, in the middle of whatever is on its way.
    pub fn cut(&self, host: &HostName) {
        if let Some(place) = self.places().get(host) {
            place.cuts.send_modify(|cuts| *cuts += 1);
        }
    }

    /// How many connections to a host there were.
    pub fn connections(&self, host: &HostName) -> usize {
        self.places().get(host).map_or(0, |place| place.connections)
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<HostName, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Network for MemoryNetwork {
    async fn resolve(&self, host: &HostName, dns_name: &str) -> io::Result<Vec<SocketAddr>> {
        match self.places().get(host) {
            Some(place) => Ok(vec![place.address]),
            None => Err(io::Error::other(format!("no such name: {dns_name}"))),
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Wire> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let mut places = self.places();
        let place = places
            .values_mut()
            .find(|place| place.address == address)
            .ok_or_else(refused)?;
        let (near, mut near_end) = duplex(IN_FLIGHT);
        let (far, mut far_end) = duplex(IN_FLIGHT);
        let listener = place.listener.as_ref().ok_or_else(refused)?;
        listener.send(far).map_err(|_| refused())?;
        place.connections += 1;
        let mut cuts = place.cuts.subscribe();
        drop(places);
        tokio::spawn(async move {
            // Both ends are dropped when either is gone, and when the connection is cut.
            tokio::select! {
                _ = copy_bidirectional(&mut near_end, &mut far_end) => {}
                _ = cuts.changed() => {}
            }
        });
        Ok(Box::new(near))
    }
}
