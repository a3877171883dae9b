//! The daemon over foreign parts of a test's choice, on connections that a test hands it: everything
//! between the socket and the ports is the real one, and it can be killed from outside.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use omni_scale_proto::enrollment::{EnrollmentSecret, EnrollmentToken, SECRET_LENGTH, fingerprint};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::parts::Parts;
use super::{CONNECTIONS_WAITING, Ports, RunError};
use crate::clock;
use crate::config::Paths;
use crate::enrollment::{TokenFile, TokenFor};
use crate::identity::IdentityStore;
use crate::ledger::LedgerError;
use crate::operation::Operations;
use crate::server::listen::handshake;
use crate::server::serve::serve;
use crate::server::tls::Credentials;

/// How often a start is tried while an agent that was killed is not quite gone.
const STARTS: u32 = 200;

/// A daemon that runs.
pub struct Daemon {
    operations: Operations,
    identities: Arc<IdentityStore>,
    tasks: Vec<JoinHandle<()>>,
    paths: Paths,
}

impl Daemon {
    /// Starts it. Waits for an earlier one on the same directory to be gone, as systemd does.
    pub async fn start(
        paths: &Paths,
        foreign: &Ports,
        mut incoming: mpsc::UnboundedReceiver<DuplexStream>,
    ) -> Result<Self, RunError> {
        let mut tries = 0;
        let parts = loop {
            let opened = Parts::open_with(paths, |_, _, _| foreign.clone());
            match opened {
                Err(RunError::Ledger(LedgerError::InUse { .. })) if tries < STARTS => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                opened => break opened?,
            }
        };
        let credentials = Credentials::new(parts.identities.clone(), parts.tokens.clone())?;
        let (connections, shaken) = mpsc::channel(CONNECTIONS_WAITING);
        let gate = Arc::new(parts.gate());
        let refusals = gate.refusals();
        let accepting = tokio::spawn(async move {
            let peer = SocketAddr::from((Ipv4Addr::new(100, 64, 0, 200), 40_000));
            while let Some(stream) = incoming.recv().await {
                if let Some(connection) =
                    handshake(stream, peer, credentials.current(), &refusals).await
                    && connections.send(Ok(connection)).await.is_err()
                {
                    return;
                }
            }
        });
        let routes = parts.routes();
        let serving = tokio::spawn(async move {
            let incoming = ReceiverStream::new(shaken);
            // It ends with its task.
            let _ = serve(routes, gate, incoming, std::future::pending()).await;
        });
        Ok(Self {
            operations: parts.operations.clone(),
            identities: parts.identities.clone(),
            tasks: vec![accepting, serving],
            paths: paths.clone(),
        })
    }

    /// What root reads out for an enrolment, as `omni-scale-agent token` makes it.
    pub fn token(&self) -> String {
        let secret = EnrollmentSecret::new([7; SECRET_LENGTH]);
        TokenFile::in_directory(&self.paths.identity)
            .open(&secret, TokenFor::Operator, clock::now_milliseconds(), None)
            .expect("the test's directory can be written");
        let token = EnrollmentToken {
            fingerprint: fingerprint(self.identities.current().leaf()),
            secret,
        };
        token.reveal().as_str().to_owned()
    }

    /// Kills it: nothing of it goes on, and nothing more is written down. Its connections must be
    /// cut by whoever made them.
    pub fn kill(self) {
        self.operations.kill();
        for task in self.tasks {
            task.abort();
        }
    }
}
