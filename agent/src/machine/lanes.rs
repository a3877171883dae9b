//! One change at a time per node and storage: Proxmox has a lock there, and gives up on it after ten seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use omni_scale_proxmox::{NodeName, StorageId};
use tokio::sync::OwnedMutexGuard;

/// A storage as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    /// The cluster.
    pub(super) cluster: String,
    /// Absent: all nodes share the storage.
    pub(super) node: Option<NodeName>,
    /// The storage.
    pub(super) storage: StorageId,
}

/// Who is at work where.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<BTreeMap<Lane, Arc<tokio::sync::Mutex<()>>>>);

/// Work on these lanes. Dropping it lets the next one go on.
#[must_use]
#[derive(Debug)]
pub(super) struct Passage {
    _lanes: Vec<OwnedMutexGuard<()>>,
}

impl Lanes {
    /// Waits until all of these are free. Taken in one order by everybody, so that nobody waits in a circle.
    pub(super) async fn enter(&self, lanes: BTreeSet<Lane>) -> Passage {
        let mut taken = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let mutex = {
                let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                known.entry(lane).or_default().clone()
            };
            taken.push(mutex.lock_owned().await);
        }
        Passage { _lanes: taken }
    }
}
