//! The address to listen on: learnt from tailscaled, remembered for a boot before it answers.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use super::Tailnet;
use crate::error::chain;
use crate::files;

/// Between two questions while no address is known.
const IMPATIENT: Duration = Duration::from_secs(2);
/// Between two questions while the address is known. A move of a node is rare.
const PATIENT: Duration = Duration::from_secs(30);

/// The last address, on disk.
#[derive(Debug, Clone)]
pub struct AddressCache {
    path: PathBuf,
}

impl AddressCache {
    /// Keeps it in this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The address of an earlier run. A damaged cache is no address.
    pub fn load(&self) -> Option<Ipv4Addr> {
        let bytes = files::read(&self.path, 64).ok()??;
        std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
    }

    fn store(&self, address: Ipv4Addr) {
        if let Err(error) =
            files::write_atomically(&self.path, format!("{address}\n").as_bytes(), 0o600)
        {
            warn!(error = %chain(&error), "cannot remember the tailnet address");
        }
    }
}

/// Follows the node's address for ever. The first value is the remembered one; an address that
/// tailscaled no longer tells is kept, because the listener survives its coming and going.
pub async fn follow(
    tailnet: Arc<dyn Tailnet>,
    cache: AddressCache,
    address: watch::Sender<Option<Ipv4Addr>>,
) {
    let mut last_error = String::new();
    loop {
        match tailnet.status().await {
            Ok(status) => {
                last_error.clear();
                if let Some(new) = status.ipv4
                    && *address.borrow() != Some(new)
                {
                    info!(address = %new, "the tailnet address is known");
                    cache.store(new);
                    address.send_replace(Some(new));
                }
            }
            Err(error) => {
                let error = chain(&error);
                if error != last_error {
                    warn!(%error, "the tailnet state is unknown");
                    last_error = error;
                }
            }
        }
        let pause = if address.borrow().is_some() {
            PATIENT
        } else {
            IMPATIENT
        };
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tailnet::FakeTailnet;

    const FIRST: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
    const SECOND: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);

    #[tokio::test(start_paused = true)]
    async fn an_address_is_learnt_remembered_and_followed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = AddressCache::new(directory.path().join("address"));
        assert_eq!(cache.load(), None);
        let tailnet = Arc::new(FakeTailnet::running("omni.tail.test", FIRST));
        tailnet.set(None);
        let (sender, mut receiver) = watch::channel(cache.load());
        let following = tokio::spawn(follow(tailnet.clone(), cache.clone(), sender));

        let running = |address| FakeTailnet::running("omni.tail.test", address);
        tailnet.set(Some(running(FIRST).status().await.unwrap()));
        receiver
            .wait_for(|address| *address == Some(FIRST))
            .await
            .unwrap();
        tailnet.set(None);
        tailnet.set(Some(running(SECOND).status().await.unwrap()));
        receiver
            .wait_for(|address| *address == Some(SECOND))
            .await
            .unwrap();
        assert_eq!(cache.load(), Some(SECOND));
        following.abort();
    }
}
