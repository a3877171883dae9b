//! One operation outside of a plan: under a lease of its own, at the next generation.

use std::time::Duration;

use omni_scale_proto::id::{DeploymentId, HostName};
use omni_scale_proto::operation::{Operation, Target, random_operation_id};
use omni_scale_proto::v1;
use rand::RngCore as _;
use rand::rngs::OsRng;
use uuid::Uuid;

use super::Context;
use crate::agents::grpc::GrpcAgents;
use crate::agents::{AgentError, Agents as _, LeaseRequest};
use crate::exit::Exit;
use crate::output::Stop;

/// How often the lease is renewed; agents give it for three times as long.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// How agents begin to tell of an end that nobody saw: the deadline came first, or a fault of the
/// agent. The contract has no field for it.
const UNKNOWN: &str = "outcome unknown";

/// What is changed, and in whose name.
#[derive(Debug, Clone)]
pub(super) struct Single<'a> {
    pub(super) agents: &'a GrpcAgents,
    pub(super) deployment: DeploymentId,
    /// `operator@machine`.
    pub(super) holder: String,
    pub(super) host: &'a HostName,
    pub(super) target: Target,
    /// Bound on the work, in seconds.
    pub(super) deadline_seconds: u32,
}

impl Single<'_> {
    /// Takes the lease, does the work, gives the lease back whatever came of it.
    pub(super) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&Operation) -> Result<T, AgentError>,
    ) -> Result<T, AgentError> {
        let request = LeaseRequest {
            deployment: self.deployment,
            holder: self.holder.clone(),
            rollout: Uuid::new_v4().to_string(),
        };
        let grant = self.agents.acquire_lease(self.host, &request).await?;
        let result = tokio::select! {
            biased;
            result = self.at_next_generation(grant.epoch, work) => result,
            lost = self.keep(&request, grant.epoch) => Err(lost),
        };
        // A lease that cannot be given back runs out by itself.
        let _ = self
            .agents
            .release_lease(self.host, &request, grant.epoch)
            .await;
        result
    }

    async fn at_next_generation<T>(
        &self,
        lease_epoch: u64,
        work: impl AsyncFnOnce(&Operation) -> Result<T, AgentError>,
    ) -> Result<T, AgentError> {
        let target = self.target.to_string();
        let described = self.agents.describe(self.host).await?;
        let known = described
            .targets
            .iter()
            .find(|known| known.target == target);
        let mut random = [0; 32];
        OsRng.fill_bytes(&mut random);
        let operation = Operation {
            id: random_operation_id(random),
            deployment: self.deployment,
            generation: known.map_or(0, |known| known.generation) + 1,
            lease_epoch,
            deadline_seconds: self.deadline_seconds,
        };
        work(&operation).await
    }

    /// Renews until the lease is lost.
    async fn keep(&self, request: &LeaseRequest, epoch: u64) -> AgentError {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let renewed = self.agents.renew_lease(self.host, request, epoch).await;
            if let Err(lost @ AgentError::LeaseLost { .. }) = renewed {
                return lost;
            }
        }
    }
}

/// What an outcome means for who asked: its warnings are said, its failure ends the command.
pub(super) fn conclude(
    context: &Context,
    host: &HostName,
    outcome: &v1::Outcome,
) -> anyhow::Result<()> {
    for warning in &outcome.warnings {
        context.output.warn(&format!("{host}: {warning}"));
    }
    let Some(failure) = &outcome.failure else {
        return Ok(());
    };
    let message = format!("host `{host}`: {}", failure.message);
    // Something may be half done: that is no plain failure.
    let exit = if failure.message.starts_with(UNKNOWN) {
        Exit::Unreachable
    } else {
        Exit::Failed
    };
    let mut stop = Stop::new(exit, message).evidence(failure.evidence.iter().cloned());
    if !failure.hint.is_empty() {
        stop = stop.hint(failure.hint.as_str());
    }
    Err(stop.into())
}
