//! One piece of work on one machine: whom it asks, how it looks, how it waits.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use omni_scale_proto::id::{DeploymentId, MachineName};
use omni_scale_proto::machine::MachineIdentity;
use omni_scale_proto::v1::{self, FailureClass, progress::Event};
use omni_scale_proxmox::{
    CancellationToken, Client, LogLine, NodeName, Patience, StorageId, TaskEnd, Upid, Vmid,
    WaitError,
};
use tokio::time::Instant;

use super::Machines;
use super::lanes::{Lane, Passage};
use super::record::MachineRecord;
use super::survey::{Found, Scope, Sought, Survey, check_sight};
use super::trouble::{Rounds, Trouble};
use crate::operation::{Failure, Reporter};

/// The most warnings that are told of one piece of work.
const MOST_WARNINGS: usize = 20;

/// What is asked of one machine.
#[derive(Debug, Clone)]
pub struct Request {
    /// For whom.
    pub deployment: DeploymentId,
    /// On which cluster.
    pub hypervisor: v1::Hypervisor,
    /// Which machine.
    pub machine: MachineIdentity,
    /// When it must have come to an end.
    pub deadline: Instant,
}

pub(super) struct Work<'a> {
    pub(super) machines: &'a Machines,
    pub(super) client: Client,
    pub(super) deployment: DeploymentId,
    pub(super) identity: MachineIdentity,
    pub(super) deadline: Instant,
    pub(super) reporter: &'a Reporter,
    /// The one VM that this work is upon, once it has chosen.
    pinned: OnceLock<Vmid>,
    warnings: Mutex<Vec<String>>,
}

impl<'a> Work<'a> {
    pub(super) async fn begin(
        machines: &'a Machines,
        request: &Request,
        reporter: &'a Reporter,
    ) -> Result<Self, Failure> {
        let client = machines.client(&request.hypervisor).await?;
        machines.inner.last.set(&request.hypervisor).await;
        Ok(Self {
            machines,
            client,
            deployment: request.deployment,
            identity: request.machine.clone(),
            deadline: request.deadline,
            reporter,
            pinned: OnceLock::new(),
            warnings: Mutex::default(),
        })
    }

    pub(super) fn name(&self) -> &MachineName {
        self.identity.name()
    }

    pub(super) fn uuid(&self) -> String {
        self.identity.uuid().to_string()
    }

    pub(super) fn record(&self) -> Option<MachineRecord> {
        self.machines.record(self.deployment, self.name())
    }

    pub(super) async fn keep(
        &self,
        change: impl FnOnce(&mut MachineRecord) + Send + 'static,
    ) -> Result<(), Trouble> {
        self.machines
            .keep(self.deployment, self.name(), change)
            .await
    }

    pub(super) fn rounds(&self) -> Rounds {
        Rounds::until(self.deadline)
    }

    pub(super) async fn rest(&self, rounds: &mut Rounds, trouble: Trouble) -> Result<(), Failure> {
        rounds
            .rest(trouble, self.name().as_str(), self.reporter)
            .await
    }

    pub(super) fn stage(&self, activity: impl Into<String>) {
        self.reporter.stage(self.name().as_str(), activity);
    }

    /// Something to know although it goes on.
    pub(super) fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < MOST_WARNINGS && !warnings.contains(&text) {
            self.reporter.warning(text.clone());
            warnings.push(text);
        }
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.clone()
    }

    /// Looks for the machine: first where it was, then everywhere.
    pub(super) async fn seek(&self) -> Result<(Survey, Option<Found>), Trouble> {
        let known = self.machines.records(self.deployment);
        let places: BTreeSet<_> = known
            .get(self.name())
            .into_iter()
            .flat_map(MachineRecord::vmids)
            .collect();
        if !places.is_empty() {
            let survey = self.survey(Scope::Only(places)).await?;
            if let Sought::Here(found) = survey.seek(self.name(), &known)
                && found.config.uuid() == Some(self.identity.uuid())
            {
                return Ok((survey, Some(*found)));
            }
        }
        let survey = self.survey(Scope::All).await?;
        match survey.seek(self.name(), &known) {
            Sought::Here(found) => Ok((survey, Some(*found))),
            Sought::Unclear(why) => Err(Trouble::passing(format!(
                "it is not known whether machine {} is there: {why}",
                self.identity
            ))),
            Sought::Nowhere => {
                check_sight(&self.client).await?;
                Ok((survey, None))
            }
        }
    }

    /// From now on this VM and no other one is the machine: what was restored from a backup has the same identity.
    /// Refuses another one than before.
    pub(super) fn pin(&self, found: &Found) -> Result<(), Trouble> {
        self.pinned.get_or_init(|| found.vmid);
        self.check_pinned(found)
    }

    /// The VM that this work is upon, if it has chosen one.
    pub(super) fn pinned(&self) -> Option<Vmid> {
        self.pinned.get().copied()
    }

    /// Refuses another VM than the one that this work is upon.
    pub(super) fn check_pinned(&self, found: &Found) -> Result<(), Trouble> {
        let Some(pinned) = self.pinned().filter(|pinned| *pinned != found.vmid) else {
            return Ok(());
        };
        let failure = Failure::new(
            FailureClass::Refused,
            format!(
                "VM {} on {} says to be machine {}, too; nothing was done to it",
                found.vmid, found.node, self.identity
            ),
        );
        Err(Trouble::Final(failure.with_hint(format!(
            "it may come from a backup, and VM {pinned} was meant; if it is to go, too, delete the machine once more"
        ))))
    }

    pub(super) async fn survey(&self, scope: Scope) -> Result<Survey, Trouble> {
        let known = self.machines.records(self.deployment);
        Ok(Survey::take(&self.client, self.deployment, &known, scope).await?)
    }

    /// The machine as it is at this moment, ours in every way: what each change begins with.
    pub(super) async fn own(&self) -> Result<Found, Trouble> {
        let (_, found) = self.seek().await?;
        let found =
            found.ok_or_else(|| Trouble::passing(format!("machine {} is gone", self.identity)))?;
        found
            .check_owned(self.deployment, &self.identity)
            .map_err(Trouble::Final)?;
        self.check_pinned(&found)?;
        Ok(found)
    }

    /// Waits for a task, and passes its log on.
    pub(super) async fn wait(&self, task: &Upid) -> Result<TaskEnd, WaitError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let patience = Patience::up_to(left.max(Duration::from_secs(1)));
        let (source, reporter) = (self.name().to_string(), self.reporter.clone());
        let mut tell = move |line: &LogLine| {
            reporter.send(Event::LogLine(v1::LogLine {
                source: source.clone(),
                line: line.text.clone(),
                ..v1::LogLine::default()
            }));
        };
        let never = CancellationToken::new();
        let end = self
            .client
            .wait(task, &patience, &never, Some(&mut tell))
            .await?;
        for warning in &end.warnings {
            self.warn(format!("{}: {warning}", task.kind()));
        }
        Ok(end)
    }

    /// Waits until nobody else changes anything on these storages of a node.
    pub(super) async fn enter(
        &self,
        node: &NodeName,
        storages: impl IntoIterator<Item = &str>,
    ) -> Result<Passage, Trouble> {
        let here = self.client.storages(node, None).await?;
        let mut lanes = BTreeSet::new();
        for name in storages {
            let storage: StorageId = name.parse().map_err(|error| unspeakable(&error))?;
            let shared = here
                .iter()
                .any(|known| known.storage == storage && known.shared);
            lanes.insert(Lane {
                cluster: self.client.address().to_string(),
                node: (!shared).then(|| node.clone()),
                storage,
            });
        }
        Ok(self.machines.inner.lanes.enter(lanes).await)
    }
}

/// What the contract allows and the client cannot say.
pub(super) fn unspeakable(error: &dyn std::error::Error) -> Trouble {
    Trouble::Final(Failure::from_error(FailureClass::Permanent, error))
}
