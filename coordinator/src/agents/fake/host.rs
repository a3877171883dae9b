//! The model of one host.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::id::{DeploymentId, HostName};
use omni_scale_proto::role::HostRole;
use omni_scale_proto::v1;
use omni_scale_proto::{API_VERSION_MAXIMUM, API_VERSION_MINIMUM};
use tokio::time::{Duration, Instant};

use super::client::ClientModel;
use super::machines::MachinesModel;
use super::operations::TargetModel;
use super::secret::SecretModel;
use super::stack::StackModel;
use super::unit::UnitModel;
use crate::agents::Holder;

/// How long a lease lasts unless it is renewed.
pub const LEASE_TIME_TO_LIVE: Duration = Duration::from_secs(30);

/// A host: everything that a test may look at or change behind the agent's back.
#[derive(Debug)]
pub struct FakeHost {
    /// Its name.
    pub name: HostName,
    /// What its agent looks after.
    pub roles: BTreeSet<HostRole>,
    /// /etc/machine-id.
    pub machine_id: String,
    /// StableID of its tailnet node.
    pub node_id: String,
    /// Name of its tailnet node.
    pub dns_name: String,
    /// Names of other devices of the tailnet.
    pub taken_names: Vec<String>,
    /// False: nothing can be sent to its agent.
    pub reachable: bool,
    /// None: not enrolled.
    pub deployment: Option<DeploymentId>,
    /// The oldest and the newest API version that its agent speaks.
    pub api_versions: (u32, u32),
    /// What is wrong with its agent's ledger. Empty: nothing.
    pub damage: String,
    /// Its clock minus everybody else's, in milliseconds.
    pub clock_offset_milliseconds: i64,
    /// The tsidp unit.
    pub unit: UnitModel,
    /// The stack.
    pub stack: StackModel,
    /// Omni's client.
    pub client: ClientModel,
    /// The cluster that its agent reaches.
    pub machines: MachinesModel,
    /// Secrets by name.
    pub secrets: BTreeMap<String, SecretModel>,
    /// What the host's Engine knows about tags.
    pub registry: BTreeMap<String, String>,
    /// By target, what the agent's ledger says.
    pub targets: BTreeMap<String, TargetModel>,
    /// The lease, also when it has run out.
    pub lease: Option<LeaseModel>,
    /// The last epoch that was granted.
    pub last_epoch: u64,
}

/// A lease that was granted.
#[derive(Debug, Clone)]
pub struct LeaseModel {
    /// `operator@machine`.
    pub holder: String,
    /// The rollout.
    pub rollout: String,
    /// Its epoch.
    pub epoch: u64,
    /// Milliseconds since the Unix epoch.
    pub since_milliseconds: i64,
    /// When it ends unless it is renewed.
    pub until: Instant,
}

impl LeaseModel {
    pub(super) fn as_holder(&self) -> Holder {
        let remaining = self.until.saturating_duration_since(Instant::now());
        Holder {
            holder: self.holder.clone(),
            rollout: self.rollout.clone(),
            epoch: self.epoch,
            since_milliseconds: self.since_milliseconds,
            remaining_milliseconds: u32::try_from(remaining.as_millis()).unwrap_or(u32::MAX),
        }
    }
}

impl FakeHost {
    /// A host on which nothing was ever done.
    pub fn new(
        name: &HostName,
        roles: BTreeSet<HostRole>,
        dns_name: &str,
        deployment: DeploymentId,
    ) -> Self {
        Self {
            name: name.clone(),
            roles,
            machine_id: format!("{name:0>32}"),
            node_id: format!("node-{name}"),
            dns_name: dns_name.to_owned(),
            taken_names: Vec::new(),
            reachable: true,
            deployment: Some(deployment),
            api_versions: (API_VERSION_MINIMUM, API_VERSION_MAXIMUM),
            damage: String::new(),
            clock_offset_milliseconds: 0,
            unit: UnitModel::default(),
            stack: StackModel::default(),
            client: ClientModel::default(),
            machines: MachinesModel::default(),
            secrets: BTreeMap::new(),
            registry: BTreeMap::new(),
            targets: BTreeMap::new(),
            lease: None,
            last_epoch: 0,
        }
    }

    /// It is a machine that does not exist, and never had an agent.
    pub(super) fn is_yet_to_be_made(&mut self) {
        self.reachable = false;
        self.deployment = None;
    }

    /// The lease, when it has not run out.
    pub fn current_lease(&self) -> Option<&LeaseModel> {
        self.lease
            .as_ref()
            .filter(|lease| lease.until > Instant::now())
    }

    pub(super) fn is_leased_under(&self, epoch: u64) -> bool {
        self.current_lease()
            .is_some_and(|lease| lease.epoch == epoch)
    }

    /// `Err` when an epoch is not in force: who holds the lease instead, if anybody does.
    pub fn check_epoch(&self, epoch: u64) -> Result<(), Option<v1::LeaseHolder>> {
        if self.is_leased_under(epoch) {
            return Ok(());
        }
        let holder = self.current_lease();
        Err(holder.map(|lease| lease.as_holder().into()))
    }

    /// Sets a secret, or changes its value.
    pub fn set_secret(&mut self, name: &str) {
        let secret = self.secrets.entry(name.to_owned()).or_default();
        secret.version += 1;
        secret.consumed = false;
    }

    /// Gives the lease to somebody who never renews it.
    pub fn lease_to(&mut self, holder: &str, rollout: &str) {
        self.last_epoch += 1;
        self.lease = Some(LeaseModel {
            holder: holder.to_owned(),
            rollout: rollout.to_owned(),
            epoch: self.last_epoch,
            since_milliseconds: 0,
            until: Instant::now() + LEASE_TIME_TO_LIVE,
        });
    }

    pub(super) fn describe(&self, now_milliseconds: i64) -> v1::DescribeResponse {
        v1::DescribeResponse {
            agent_version: "0.1.0".to_owned(),
            api_version_minimum: self.api_versions.0,
            api_version_maximum: self.api_versions.1,
            machine_id: self.machine_id.clone(),
            boot_id: format!("boot-{}", self.name),
            host_name: self.name.to_string(),
            roles: self.roles.iter().map(ToString::to_string).collect(),
            tailnet: Some(v1::TailnetStatus {
                state: v1::TailnetState::Running.into(),
                dns_name: self.dns_name.clone(),
                node_id: self.node_id.clone(),
                tun: true,
                ..v1::TailnetStatus::default()
            }),
            clock_milliseconds: now_milliseconds + self.clock_offset_milliseconds,
            lease: self.current_lease().map(|lease| lease.as_holder().into()),
            deployment_id: self.deployment.map(|id| id.to_string()),
            damage: self.damage.clone(),
            targets: self
                .targets
                .iter()
                .map(|(name, target)| target.status(name))
                .collect(),
            ..v1::DescribeResponse::default()
        }
    }

    pub(super) fn list_secrets(&self) -> Vec<v1::SecretStatus> {
        self.secrets
            .iter()
            .map(|(name, secret)| v1::SecretStatus {
                name: name.clone(),
                keyed_digest: format!("{:064x}", secret.version),
                consumed: secret.consumed,
                candidate: secret.candidate,
                ..v1::SecretStatus::default()
            })
            .collect()
    }

    /// Whether a secret is set and usable.
    pub(crate) fn has_secret(&self, name: &str) -> bool {
        self.secrets
            .get(name)
            .is_some_and(|secret| !secret.consumed && !secret.candidate)
    }
}
