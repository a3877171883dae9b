//! The daemon from start to end: read what root decided, take over what the disk knows, serve, drain.
//!
//! READY waits for nobody: not for tailscaled, not for the Engine, not for the bus.

mod parts;
mod ports;
mod report;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::sync::Arc;
use std::time::Duration;

use omni_scale_proto::AGENT_PORT;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tracing::{error, info, warn};

use crate::config::{ConfigError, Paths};
use crate::error::chain;
use crate::identity::{IdentityError, IdentityStore};
use crate::ledger::LedgerError;
use crate::notify::Notifier;
use crate::secrets::SecretError;
use crate::server::listen::{Listening, listen};
use crate::server::serve::serve;
use crate::server::tls::{Credentials, TlsError};
use crate::stack::start_left_behind;
use crate::tailnet::{AddressCache, NodeView, follow};
use parts::Parts;
pub use ports::Ports;

/// How long operations that run at a stop get to end. What still runs then is looked at after the restart.
const OPERATIONS_PATIENCE: Duration = Duration::from_secs(4);
/// How long requests get to end after that.
const REQUESTS_PATIENCE: Duration = Duration::from_secs(1);
/// Connections that have shaken hands and wait to be served.
const CONNECTIONS_WAITING: usize = 16;

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// agent.toml is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A directory or file of the agent's own is not usable.
    #[error(transparent)]
    File(#[from] crate::files::FileError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The secrets cannot be opened.
    #[error(transparent)]
    Secrets(#[from] SecretError),
    /// What is remembered of the unit, or of Omni's client, cannot be read.
    #[error(transparent)]
    Record(#[from] crate::record::RecordError),
    /// The identity cannot be read or made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Nothing can be served with the identity.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The process cannot hear signals.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// The server failed.
    #[error("the server ended")]
    Server(#[source] tonic::transport::Error),
    /// The server, or what it gets its connections from, ended by itself.
    #[error("nothing is served any more")]
    NothingServed,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(paths: Paths) -> Result<(), RunError> {
    let mut signals = Signals::new().map_err(RunError::Signals)?;
    let notifier = Arc::new(Notifier::default());
    let parts = Parts::open(&paths)?;
    let credentials = Arc::new(Credentials::new(
        parts.identities.clone(),
        parts.tokens.clone(),
    )?);

    let cache = AddressCache::new(&paths.tailnet);
    let (address, followed) = watch::channel(cache.load());
    let (node, followed_node) = watch::channel(NodeView::default());
    let following = tokio::spawn(follow(parts.tailnet.clone(), cache, address, node));
    let gate = Arc::new(parts.gate());
    let (connections, incoming) = mpsc::channel(CONNECTIONS_WAITING);
    let (state, listening) = watch::channel(Listening::WaitingForAddress);
    let listener = tokio::spawn(listen(
        followed,
        AGENT_PORT,
        credentials,
        connections,
        state,
        gate.refusals(),
    ));
    let (stop, stopped) = oneshot::channel::<()>();
    let starting = parts
        .stacks
        .clone()
        .map(|stacks| tokio::spawn(start_left_behind(stacks)));
    let routes = parts.routes();
    let own_question = HealthClient::new(routes.clone());
    let mut serving = tokio::spawn(serve(routes, gate, ReceiverStream::new(incoming), async {
        // A sender that is gone means the same.
        let _ = stopped.await;
    }));
    notifier.ready();
    let keeping_alive = tokio::spawn({
        let notifier = notifier.clone();
        // Not over the network, which may be away: through the services, as any caller's.
        let answers = move || {
            let mut own_question = own_question.clone();
            async move {
                let asked = HealthCheckRequest::default();
                own_question.check(asked).await.is_ok()
            }
        };
        async move { notifier.keep_alive(answers).await }
    });
    let reporting = tokio::spawn(report::report(
        notifier.clone(),
        listening,
        followed_node,
        parts.identities.subscribe(),
        parts.operations.clone(),
    ));

    let ended_by_itself = tokio::select! {
        () = signals.until_stop(&notifier, &parts.identities) => None,
        // It ends with the listener, too, and that with what follows the tailnet.
        ended = &mut serving => Some(ended),
    };

    info!("stopping");
    if let Some(starting) = starting {
        starting.abort();
    }
    reporting.abort();
    notifier.status("stopping: waiting for operations to end");
    notifier.stopping();
    if !parts.operations.stop(OPERATIONS_PATIENCE).await {
        warn!("operations still run; they are looked at after the restart");
    }
    let _ = stop.send(());
    listener.abort();
    following.abort();
    if let Some(ended) = ended_by_itself {
        keeping_alive.abort();
        return Err(match ended {
            Ok(Err(error)) => RunError::Server(error),
            Ok(Ok(())) | Err(_) => RunError::NothingServed,
        });
    }
    let ended = tokio::time::timeout(REQUESTS_PATIENCE, serving).await;
    keeping_alive.abort();
    match ended {
        Ok(Ok(result)) => result.map_err(RunError::Server),
        // Streams that only watch are cut off, which their callers expect of a restart.
        Ok(Err(_)) | Err(_) => Ok(()),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Reads the identity again at each SIGHUP; returns when the process shall end.
    async fn until_stop(&mut self, notifier: &Notifier, identities: &Arc<IdentityStore>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    notifier.reloading();
                    let identities = identities.clone();
                    match tokio::task::spawn_blocking(move || identities.reload()).await {
                        Ok(Ok(())) => info!("read the identity again; agent.toml is read at a restart"),
                        Ok(Err(error)) => error!(error = %chain(&error), "cannot read the identity; keeping the one from before"),
                        Err(error) => error!(%error, "cannot read the identity"),
                    }
                    notifier.ready();
                }
            }
        }
    }
}
