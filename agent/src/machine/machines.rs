//! The machines of this host's clusters, and what everything that is done with them needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use omni_scale_proto::id::{DeploymentId, MachineName};
use omni_scale_proto::v1;
use tokio::sync::watch;

use super::aside::aside;
use super::hypervisors::SharedHypervisors;
use super::lanes::Lanes;
use super::last::LastHypervisor;
use super::record::{MachineRecord, Records};
use super::trouble::Trouble;
use crate::config::{Paths, Policy};
use crate::host_roots::HostRoots;
use crate::operation::Failure;
use crate::secrets::Secrets;

/// The machines of this host's clusters. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Machines {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) hypervisors: SharedHypervisors,
    pub(super) secrets: Arc<Secrets>,
    pub(super) policy: Arc<Policy>,
    pub(super) roots: HostRoots,
    pub(super) records: Records,
    pub(super) lanes: Lanes,
    deployment: watch::Receiver<Option<DeploymentId>>,
    /// The cluster that was asked last, for whoever wants to know its health.
    pub(super) last: LastHypervisor,
}

/// What machines need of their host.
pub struct MachineParts {
    /// Who is asked.
    pub hypervisors: SharedHypervisors,
    /// The host's secrets.
    pub secrets: Arc<Secrets>,
    /// What root allows.
    pub policy: Arc<Policy>,
    /// Which deployment this agent serves.
    pub deployment: watch::Receiver<Option<DeploymentId>>,
}

impl Machines {
    /// Machines with their records at their place in `paths`. Blocks while it reads them; connects to nobody.
    pub fn open(parts: MachineParts, paths: &Paths) -> Self {
        Self {
            inner: Arc::new(Inner {
                hypervisors: parts.hypervisors,
                secrets: parts.secrets,
                policy: parts.policy,
                roots: HostRoots::in_file(paths.host_roots.clone()),
                records: Records::open(paths.machines.clone()),
                lanes: Lanes::default(),
                deployment: parts.deployment,
                last: LastHypervisor::open(paths.hypervisor.clone()),
            }),
        }
    }

    /// The deployment that this agent serves.
    pub(super) fn deployment(&self) -> Option<DeploymentId> {
        *self.inner.deployment.borrow()
    }

    /// What is known of a machine.
    pub(super) fn record(
        &self,
        deployment: DeploymentId,
        name: &MachineName,
    ) -> Option<MachineRecord> {
        self.inner.records.get(deployment, name)
    }

    /// What is known of all machines.
    pub(super) fn records(&self, deployment: DeploymentId) -> BTreeMap<MachineName, MachineRecord> {
        self.inner.records.all(deployment)
    }

    /// Writes down what is known, where that may take its time.
    pub(super) async fn keep(
        &self,
        deployment: DeploymentId,
        name: &MachineName,
        change: impl FnOnce(&mut MachineRecord) + Send + 'static,
    ) -> Result<(), Trouble> {
        let (records, name) = (self.inner.records.clone(), name.clone());
        match aside(move || records.update(deployment, &name, change)).await {
            Ok(kept) => Ok(kept?),
            Err(error) => Err(Trouble::Final(Failure::from_error(
                v1::FailureClass::Bug,
                &error,
            ))),
        }
    }

    /// Whether work that was dropped still holds on to the records.
    #[cfg(any(test, feature = "testing"))]
    pub fn is_busy(&self) -> bool {
        self.inner.records.is_shared()
    }
}

impl std::fmt::Debug for Machines {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Machines")
            .field("records", &self.inner.records)
            .finish_non_exhaustive()
    }
}
