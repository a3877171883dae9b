//! Asking a running rollout to stop where it is.

use tokio::sync::watch;

/// Asks.
#[derive(Debug)]
pub struct Stopper {
    sender: watch::Sender<Option<String>>,
}

/// Is asked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StopSignal {
    receiver: watch::Receiver<Option<String>>,
}

impl Stopper {
    /// A stopper and its signal. Dropping the stopper stops nothing.
    pub fn new() -> (Self, StopSignal) {
        let (sender, receiver) = watch::channel(None);
        (Self { sender }, StopSignal { receiver })
    }

    /// Asks the rollout to stop, and says why.
    pub fn stop(&self, reason: impl Into<String>) {
        self.sender.send_replace(Some(reason.into()));
    }
}

impl StopSignal {
    /// A signal that never comes.
    pub fn never() -> Self {
        Stopper::new().1
    }

    /// Whether it has come, and why.
    pub fn reason(&self) -> Option<String> {
        self.receiver.borrow().clone()
    }

    /// Waits for it.
    pub async fn wait(&self) -> String {
        let mut receiver = self.receiver.clone();
        let come = receiver.wait_for(Option::is_some).await;
        match come.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // Whoever could have asked is gone.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}
