//! Operations over a directory of their own, with a deployment and a lease, for the tests of whoever owns a target.

use std::sync::Arc;

use omni_scale_proto::id::DeploymentId;
use omni_scale_proto::operation::Operation;
use tokio::sync::watch;

use super::Operations;
use crate::lease::{Acquired, Leases};
use crate::ledger::Ledger;
use crate::secrets::Secrets;

/// An agent's memory, and operations on it.
pub(crate) struct Desk {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) operations: Operations,
    pub(crate) deployment: watch::Sender<Option<DeploymentId>>,
    pub(crate) epoch: u64,
}

impl Desk {
    /// Enrolled, and with the lease held by `rollout one`.
    pub(crate) async fn new() -> Self {
        let mut desk = Self::open(tempfile::tempdir().unwrap());
        desk.epoch = desk.lease("one").await;
        desk
    }

    /// The same host after a restart of the agent. Nobody renewed the lease.
    pub(crate) fn restarted(self) -> Self {
        let Self {
            directory,
            ledger,
            operations,
            leases,
            epoch,
            ..
        } = self;
        drop((operations, leases));
        drop(ledger);
        Self {
            epoch,
            ..Self::open(directory)
        }
    }

    /// The agent of this directory, after a start. Nobody has taken its lease.
    pub(crate) fn open(directory: tempfile::TempDir) -> Self {
        let ledger = Arc::new(Ledger::open(&directory.path().join("ledger")).unwrap());
        let leases = Arc::new(Leases::new(ledger.clone()));
        let secrets = Arc::new(Secrets::open(&directory.path().join("secrets")).unwrap());
        let (deployment, receiver) = watch::channel(Some(deployment()));
        let operations = Operations::new(ledger.clone(), leases.clone(), secrets.clone(), receiver);
        Self {
            directory,
            ledger,
            leases,
            secrets,
            operations,
            deployment,
            epoch: 0,
        }
    }

    /// Takes the lease for another rollout.
    pub(crate) async fn lease(&self, rollout: &str) -> u64 {
        match self
            .leases
            .acquire(deployment(), "ada@desk", rollout)
            .await
            .unwrap()
        {
            Acquired::Granted(grant) => grant.epoch,
            Acquired::Held(holder) => panic!("held by {holder:?}"),
        }
    }

    /// An operation under the current lease. The same number gives the same id.
    pub(crate) fn operation(&self, id: u8, generation: u64) -> Operation {
        Operation {
            id: format!("{id:064x}").parse().unwrap(),
            deployment: deployment(),
            generation,
            lease_epoch: self.epoch,
            deadline_seconds: 60,
        }
    }
}

/// The deployment that all tests of the agent belong to.
pub(crate) fn deployment() -> DeploymentId {
    "7f2c6a54-9f0e-4c1e-8f61-0a2d9f1f8a11".parse().unwrap()
}
