//! One operation outside of a plan: under a lease of its own, at the next generation.

use std::pin::pin;
use std::time::Duration;

use omni_scale_proto::id::{DeploymentId, HostName};
use omni_scale_proto::operation::{Operation, Target, random_operation_id};
use omni_scale_proto::v1;
use rand::RngCore as _;
use rand::rngs::OsRng;
use tokio::time::{Instant, interval_at, timeout};
use uuid::Uuid;

use super::Context;
use crate::agents::grpc::GrpcAgents;
use crate::agents::{AgentError, Agents as _, LeaseRequest};
use crate::exit::Exit;
use crate::output::Stop;
use crate::rollout::chain;

/// How often the lease is renewed; agents give it for three times as long.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// The longest that one renewal may take, so that the next is not late.
const RENEW_WITHIN: Duration = Duration::from_secs(8);
/// The longest that giving it back may take: it ends by itself.
const RELEASE_WITHIN: Duration = Duration::from_secs(5);

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
    ///
    /// Agents look at the lease when an operation begins: one that is under way goes on when the
    /// lease is lost, and so does the wait for its end.
    pub(super) async fn run<T>(
        &self,
        context: &Context,
        work: impl AsyncFnOnce(&Operation) -> Result<T, AgentError>,
    ) -> Result<T, AgentError> {
        let request = LeaseRequest {
            deployment: self.deployment,
            holder: self.holder.clone(),
            rollout: Uuid::new_v4().to_string(),
        };
        let grant = self.agents.acquire_lease(self.host, &request).await?;
        let mut working = pin!(self.at_next_generation(grant.epoch, work));
        let lost = tokio::select! {
            biased;
            result = &mut working => {
                // A lease that cannot be given back runs out by itself.
                let question = self.agents.release_lease(self.host, &request, grant.epoch);
                let _ = timeout(RELEASE_WITHIN, question).await;
                return result;
            }
            lost = self.keep(&request, grant.epoch) => lost,
        };
        context.output.warn(&format!(
            "{}; waiting for the end of what was begun",
            chain(&lost)
        ));
        working.await
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
        let mut times = interval_at(Instant::now() + RENEW_EVERY, RENEW_EVERY);
        loop {
            times.tick().await;
            let question = self.agents.renew_lease(self.host, request, epoch);
            // Without an answer in time, the next renewal asks again before the lease ends.
            if let Ok(Err(lost @ AgentError::LeaseLost { .. })) =
                timeout(RENEW_WITHIN, question).await
            {
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
    let exit = if failure.outcome_unknown {
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
