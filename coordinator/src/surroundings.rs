//! What one run of the program touches of the world, so that tests can give it another one.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::agents::grpc::{Network, TailnetNetwork};
use crate::config::Environment;
use crate::login::{HttpsIssuers, Issuers};
use crate::output::Terminals;
use crate::pki::{AskSecret, Terminal};
use crate::rollout::{SystemClock, WallClock};

/// Somebody asks the program to stop.
#[async_trait]
pub trait Interrupts: Send + Sync {
    /// Waits for the next time. From the first call on, it is the program that decides.
    async fn next(&self);
}

/// SIGINT and SIGTERM.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signals;

#[async_trait]
impl Interrupts for Signals {
    async fn next(&self) {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt());
        let terminate = signal(SignalKind::terminate());
        match (interrupt, terminate) {
            (Ok(mut interrupt), Ok(mut terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            // Without handlers the signals end the program, as they always did.
            _ => std::future::pending().await,
        }
    }
}

/// The world of one run.
pub struct Surroundings {
    /// The environment, read once.
    pub environment: Environment,
    /// What relative paths are relative to. Empty: the working directory.
    pub directory: PathBuf,
    /// Standard input.
    pub input: Box<dyn Read + Send>,
    /// Standard output.
    pub output: Box<dyn Write + Send>,
    /// Standard error.
    pub errors: Box<dyn Write + Send>,
    /// Which of them are terminals.
    pub terminals: Terminals,
    /// Asks for what must not be seen.
    pub person: Arc<dyn AskSecret>,
    /// Finds agents.
    pub network: Arc<dyn Network>,
    /// Finds issuers.
    pub issuers: Arc<dyn Issuers>,
    /// Tells the time.
    pub clock: Arc<dyn WallClock>,
    /// Ctrl-C.
    pub interrupts: Arc<dyn Interrupts>,
    /// Begins to log at a verbosity.
    pub logging: fn(u8),
}

impl Surroundings {
    /// The world of this process.
    pub fn of_this_process(logging: fn(u8)) -> Self {
        use std::io::IsTerminal as _;
        let terminals = Terminals {
            input: std::io::stdin().is_terminal(),
            output: std::io::stdout().is_terminal(),
            errors: std::io::stderr().is_terminal(),
        };
        Self {
            environment: Environment::of_this_process(),
            directory: PathBuf::new(),
            input: Box::new(std::io::stdin()),
            output: Box::new(std::io::stdout()),
            errors: Box::new(std::io::stderr()),
            terminals,
            person: Arc::new(Terminal),
            network: Arc::new(TailnetNetwork::default()),
            issuers: Arc::new(HttpsIssuers::new(TailnetNetwork::default())),
            clock: Arc::new(SystemClock),
            interrupts: Arc::new(Signals),
            logging,
        }
    }
}
