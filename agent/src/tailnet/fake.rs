//! A node whose state, and whose callers, tests set.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use omni_scale_proto::v1::TailnetState;
use tokio::sync::{mpsc, watch};

use super::{Named, NodeStatus, Peer, Preferences, Tailnet, TailnetError, Warning};

/// A node in memory: in a state, or with a tailscaled that does not answer. Whoever calls it is
/// `desk` of `ada@example.net`, unless a test says otherwise.
#[derive(Debug)]
pub struct FakeTailnet {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

/// What is said of a caller.
#[derive(Debug)]
enum Caller {
    /// Nothing.
    Unsaid,
    Device(Peer),
    NoDevice,
}

impl From<Option<Peer>> for Caller {
    fn from(peer: Option<Peer>) -> Self {
        peer.map_or(Self::NoDevice, Self::Device)
    }
}

#[derive(Debug)]
struct State {
    status: Option<NodeStatus>,
    /// `None`: it does not tell them.
    warnings: Option<Vec<Warning>>,
    peer: Caller,
    /// By address, before `peer`.
    peers: BTreeMap<IpAddr, Option<Peer>>,
    /// How often it was asked for a caller.
    asked: usize,
    /// Other devices, by their full names.
    devices: BTreeMap<String, Named>,
}

impl FakeTailnet {
    /// A running node with this name and address.
    pub fn running(dns_name: &str, ipv4: Ipv4Addr) -> Self {
        Self {
            state: Mutex::new(State {
                status: Some(NodeStatus {
                    state: TailnetState::Running,
                    ipv4: Some(ipv4),
                    dns_name: dns_name.to_owned(),
                    node_id: format!("n-{dns_name}"),
                    certificate_domains: vec![dns_name.to_owned()],
                    tun: true,
                    online: Some(true),
                    has_node_key: true,
                    magic_dns: Some(true),
                    ..NodeStatus::default()
                }),
                warnings: Some(Vec::new()),
                peer: Caller::Device(Self::desk()),
                peers: BTreeMap::new(),
                asked: 0,
                devices: BTreeMap::new(),
            }),
            changed: watch::channel(()).0,
        }
    }

    /// The device that calls unless a test says otherwise. Nothing is granted to it.
    pub fn desk() -> Peer {
        Peer {
            node_id: "nDESK".to_owned(),
            dns_name: "desk.tail.test".to_owned(),
            login: Some("ada@example.net".to_owned()),
            ..Peer::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no test panics while it holds this")
    }

    /// Replaces the state; `None`: tailscaled does not answer.
    pub fn set(&self, status: Option<NodeStatus>) {
        self.lock().status = status;
        self.changed.send_replace(());
    }

    /// What it warns of from now on.
    pub fn warn(&self, warnings: Vec<Warning>) {
        self.lock().warnings = Some(warnings);
        self.changed.send_replace(());
    }

    /// It does not tell any more what it warns of.
    pub fn keep_warnings(&self) {
        self.lock().warnings = None;
    }

    /// Who calls from now on; `None`: no device of the tailnet.
    pub fn set_peer(&self, peer: Option<Peer>) {
        self.lock().peer = peer.into();
    }

    /// Who calls from this address; `None`: no device of the tailnet.
    pub fn set_peer_at(&self, address: IpAddr, peer: Option<Peer>) {
        self.lock().peers.insert(address, peer);
    }

    /// What the tailnet has under a name from now on.
    pub fn set_named(&self, dns_name: &str, named: Named) {
        self.lock().devices.insert(dns_name.to_owned(), named);
    }

    /// It does not say any more who calls.
    pub fn forget_peers(&self) {
        let mut state = self.lock();
        state.peer = Caller::Unsaid;
        state.peers.clear();
    }

    /// How often it was asked for a caller.
    pub fn asked(&self) -> usize {
        self.lock().asked
    }
}

fn silent() -> TailnetError {
    TailnetError::Unreachable {
        socket: "fake".to_owned(),
        source: std::io::ErrorKind::ConnectionRefused.into(),
    }
}

#[async_trait]
impl Tailnet for FakeTailnet {
    async fn status(&self) -> Result<NodeStatus, TailnetError> {
        self.lock().status.clone().ok_or_else(silent)
    }

    async fn whois(&self, address: SocketAddr) -> Result<Option<Peer>, TailnetError> {
        let mut state = self.lock();
        state.asked += 1;
        match state.peers.get(&address.ip()) {
            Some(peer) => Ok(peer.clone()),
            None => match &state.peer {
                Caller::Unsaid => Err(silent()),
                Caller::Device(peer) => Ok(Some(peer.clone())),
                Caller::NoDevice => Ok(None),
            },
        }
    }

    async fn named(&self, dns_name: &str) -> Result<Option<Named>, TailnetError> {
        if self.status().await?.state != TailnetState::Running {
            return Ok(None);
        }
        let named = self.lock().devices.get(dns_name).cloned();
        Ok(Some(named.unwrap_or_default()))
    }

    async fn preferences(&self) -> Result<Preferences, TailnetError> {
        self.status().await?;
        Ok(Preferences {
            want_running: true,
            accepts_dns: true,
            ..Preferences::default()
        })
    }

    async fn warnings(&self) -> Result<Vec<Warning>, TailnetError> {
        self.status().await?;
        self.lock().warnings.clone().ok_or_else(silent)
    }

    async fn changes(&self) -> Result<mpsc::Receiver<()>, TailnetError> {
        self.status().await?;
        let mut changed = self.changed.subscribe();
        let (ticks, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let _ = ticks.try_send(());
                tokio::select! {
                    () = ticks.closed() => return,
                    changed = changed.changed() => if changed.is_err() { return },
                }
            }
        });
        Ok(receiver)
    }

    fn has_address(&self, _: Ipv4Addr) -> Option<bool> {
        None
    }
}
