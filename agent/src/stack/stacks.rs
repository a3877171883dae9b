//! The stacks of this host, and what everything that is done with them needs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use omni_scale_proto::id::{SecretName, StackName};
use omni_scale_proto::stack::CheckedStack;
use omni_scale_proto::v1::{self, FailureClass};
use tokio::task::spawn_blocking;

use super::applied::{AppliedStack, AppliedStacks};
use super::engine::{ContainerDetails, Engine, EngineError};
use super::observe::{self, Evidence};
use super::policy;
use super::probe::ProbeImage;
use crate::config::{Paths, Policy};
use crate::error::chain;
use crate::files::FileError;
use crate::operation::Failure;
use crate::secrets::Secrets;

/// The stacks of this host. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Stacks {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) policy: Arc<Policy>,
    pub(super) probe: Arc<ProbeImage>,
    records: AppliedStacks,
    /// Held by whoever changes a stack's containers.
    turns: Arc<Mutex<BTreeMap<StackName, Turn>>>,
}

/// The turn to change a stack.
type Turn = Arc<tokio::sync::Mutex<()>>;

impl Stacks {
    /// Stacks on `engine`, within `policy`, with records and the probe at their place in `paths`.
    /// Blocks while it reads the records.
    pub fn new(
        engine: Arc<dyn Engine>,
        secrets: Arc<Secrets>,
        policy: Arc<Policy>,
        paths: &Paths,
    ) -> Self {
        Self {
            engine,
            secrets,
            policy,
            probe: Arc::new(ProbeImage::new(paths.probe.clone())),
            records: AppliedStacks::open(paths.stacks.clone()),
            turns: Arc::default(),
        }
    }

    /// The turn to change the containers of a stack.
    pub(super) fn turn(&self, name: &StackName) -> Turn {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(name.clone()).or_default().clone()
    }

    /// The stack as it is now, and what `images` are. Never fails: what cannot be had is not known.
    pub async fn observe(&self, name: &StackName, images: &[String]) -> v1::StackObservation {
        let containers = match self.engine.project_containers(name.as_str()).await {
            Ok(containers) => containers,
            Err(error) => return observe::unknown(name, chain(&error)),
        };
        let mut observation = match self.interpret(name, &containers).await {
            Ok(observation) => observation,
            Err(failure) => return observe::unknown(name, failure.message),
        };
        observation.images = self.resolve(images).await;
        observation
    }

    /// What these containers mean for the stack.
    pub(super) async fn interpret(
        &self,
        name: &StackName,
        containers: &[ContainerDetails],
    ) -> Result<v1::StackObservation, Failure> {
        let volumes = self.engine.project_volumes(name.as_str()).await;
        let volumes = volumes.map_err(|error| engine_failure(&error))?;
        let networks = self.engine.project_networks(name.as_str()).await;
        let networks = networks.map_err(|error| engine_failure(&error))?;
        let networks = networks
            .into_iter()
            .map(|network| v1::NetworkObservation {
                engine_name: network.name,
                internal: network.internal,
            })
            .collect();
        let record = self.record(name);
        let secret_digest =
            |name: &str| self.secrets.keyed_digest(&name.parse::<SecretName>().ok()?);
        Ok(observe::observation(Evidence {
            name,
            containers,
            applied: record.as_ref(),
            secret_digest: &secret_digest,
            volumes,
            networks,
        }))
    }

    /// What was applied last.
    pub(super) fn record(&self, name: &StackName) -> Option<AppliedStack> {
        self.records.get(name)
    }

    /// The stacks that were applied here, sorted.
    pub fn names(&self) -> Vec<StackName> {
        self.records.names()
    }

    /// Whether a stack of this host has this service.
    pub fn knows_service(&self, service: &str) -> bool {
        self.names().iter().any(|name| {
            let record = self.record(name);
            let services = record
                .map(|record| record.stack.services)
                .unwrap_or_default();
            services.iter().any(|other| other.name == service)
        })
    }

    /// Writes to the records, where that may take its time.
    pub(super) async fn keep<Change>(&self, change: Change) -> Result<(), Failure>
    where
        Change: FnOnce(&AppliedStacks) -> Result<(), FileError> + Send + 'static,
    {
        let records = self.records.clone();
        match spawn_blocking(move || change(&records)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::from_error(FailureClass::Permanent, &error)),
            Err(error) => Err(Failure::from_error(FailureClass::Bug, &error)),
        }
    }

    /// Refuses what `agent.toml` does not allow.
    pub(super) async fn check_policy(&self, stack: &CheckedStack) -> Result<(), Failure> {
        let refusals = self.refusals(stack.as_wire()).await?;
        if refusals.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        let message = format!("this host does not allow it: {}", lines.join("; "));
        let failure = Failure::new(FailureClass::Refused, message);
        let may_be_allowed = refusals.iter().any(|refusal| refusal.key.is_some());
        Err(if may_be_allowed {
            failure.with_hint(
                "root may allow it in /etc/omni-scale/agent.toml, then `systemctl restart omni-scale-agent`",
            )
        } else {
            failure
        })
    }

    pub(super) async fn refusals(
        &self,
        stack: &v1::Stack,
    ) -> Result<Vec<policy::Refusal>, Failure> {
        let (stack, limits) = (stack.clone(), self.policy.clone());
        spawn_blocking(move || policy::refusals(&stack, &limits))
            .await
            .map_err(|error| Failure::from_error(FailureClass::Bug, &error))
    }

    /// Removes the value of a one-time secret that has done its work.
    pub(super) async fn consume(&self, name: SecretName) -> Result<(), Failure> {
        let secrets = self.secrets.clone();
        match spawn_blocking(move || secrets.consume(&name)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::from_error(FailureClass::Permanent, &error)),
            Err(error) => Err(Failure::from_error(FailureClass::Bug, &error)),
        }
    }

    /// A failure without secret values, whatever the Engine or a program put into it.
    pub(super) fn masked(&self, mut failure: Failure) -> Failure {
        failure.message = self.secrets.mask(&failure.message);
        for line in &mut failure.evidence {
            *line = self.secrets.mask(line);
        }
        failure
    }
}

impl std::fmt::Debug for Stacks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Stacks")
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

/// A call to the Engine that failed, in words for an operator.
pub(super) fn engine_failure(error: &EngineError) -> Failure {
    let failure = Failure::from_error(error.class(), error);
    if error.is_absence() {
        failure.with_hint("is the Docker Engine running? `systemctl status docker`")
    } else {
        failure
    }
}
