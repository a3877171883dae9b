//! The address to listen on: learnt from tailscaled, remembered for a boot before it answers.

use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::{NodeView, Tailnet};
use crate::error::chain;
use crate::files;

/// Between two questions while tailscaled tells no changes.
const IMPATIENT: Duration = Duration::from_secs(2);
/// Between two questions while it does: an expiry is no change.
const PATIENT: Duration = Duration::from_secs(30);
/// Between a change and the next question, at least.
const SETTLING: Duration = Duration::from_millis(500);

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

/// Follows the node for ever: what is to be said of it, and its address. The first address is the
/// remembered one; one that tailscaled no longer tells is kept, because the listener survives its
/// coming and going.
pub async fn follow(
    tailnet: Arc<dyn Tailnet>,
    cache: AddressCache,
    address: watch::Sender<Option<Ipv4Addr>>,
    node: watch::Sender<NodeView>,
) {
    let mut said = None;
    let mut changes = None;
    loop {
        if changes.is_none() {
            // Before the look, so that no change falls between the two.
            changes = tailnet.changes().await.ok();
        }
        let view = NodeView::of(&*tailnet).await;
        if let Some(new) = view.status.as_ref().and_then(|status| status.ipv4)
            && *address.borrow() != Some(new)
        {
            info!(address = %new, "the tailnet address is known");
            cache.store(new);
            address.send_replace(Some(new));
        }
        let trouble = view.trouble().map(|condition| condition.summary.clone());
        if trouble != said {
            if let Some(what) = &trouble {
                warn!("the tailnet node {what}");
            } else {
                info!("the tailnet node is connected");
            }
            said = trouble;
        }
        let same = *node.borrow() == view;
        if !same {
            node.send_replace(view);
        }
        let pause = if changes.is_some() {
            PATIENT
        } else {
            IMPATIENT
        };
        if wait(&mut changes, pause).await.is_break() {
            changes = None;
        }
    }
}

/// Waits for a change, or as long as `pause`. `Break`: no change will be told any more.
async fn wait(changes: &mut Option<mpsc::Receiver<()>>, pause: Duration) -> ControlFlow<()> {
    let change = async {
        match changes {
            Some(changes) => changes.recv().await,
            None => std::future::pending().await,
        }
    };
    let ended = matches!(tokio::time::timeout(pause, change).await, Ok(None));
    // A large tailnet changes all the time; and a tailscaled that restarts needs a moment.
    tokio::time::sleep(SETTLING).await;
    if ended {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
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
        let (node, mut nodes) = watch::channel(NodeView::default());
        let following = tokio::spawn(follow(tailnet.clone(), cache.clone(), sender, node));
        nodes
            .wait_for(|node| !node.reason.is_empty())
            .await
            .unwrap();

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
        nodes
            .wait_for(|node| node.conditions.is_empty())
            .await
            .unwrap();
        following.abort();
    }
}
