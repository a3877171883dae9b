//! Before the first act: nobody else at work, the hosts as the plan says, every check passed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use omni_scale_proto::id::HostName;
use omni_scale_proto::operation::Target;
use tokio::time::Instant;

use super::event::{Event, Happening, Refusal};
use super::observe::{bounded, observe};
use super::run::{Halt, Run};
use super::state::{RolloutState, StepState};
use crate::plan::{Basis, HostObservation, Observed, Plan, Wave};

/// How often a running operation is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// Waits for operations of earlier holders, checks the basis and asks the preflight's questions. `Some`: why the rollout does not begin.
    pub(super) async fn prepare(&self) -> Result<Option<Refusal>, Halt> {
        if let Some(refusal) = self.wait_for_others().await? {
            return Ok(Some(refusal));
        }
        let observing = observe(self.agents, self.clock, self.plan.scope());
        let observed = self.unless_stopped(observing).await?;
        if let Some(refusal) = basis_refusal(self.plan, &observed) {
            return Ok(Some(refusal));
        }
        let Some(preflight) = self.plan.wave(Wave::Preflight) else {
            return Ok(None);
        };
        let answers = self.ask(preflight).await?;
        if !answers.failed.is_empty() {
            return Ok(Some(Refusal::ChecksFailed {
                failed: answers.failed,
            }));
        }
        self.recorder.record(Event::PreflightPassed {
            warnings: answers.warnings,
        })?;
        Ok(None)
    }

    /// What must hold so that a rollout that has begun may go on: the hosts are the same
    /// machines. Their targets are compared step by step. `Some`: what does not.
    pub(super) async fn check_machines(&self) -> Result<Option<String>, Halt> {
        for (host, basis) in &self.plan.basis().hosts {
            let question = bounded(host, "describe", self.agents.describe(host));
            // One that does not answer now is asked again by its own step.
            let Ok(described) = self.unless_stopped(question).await? else {
                continue;
            };
            if described.machine_id != basis.machine_id {
                return Ok(Some(format!(
                    "host `{host}` is another machine than the one the plan was made for ({}, not {})",
                    described.machine_id, basis.machine_id
                )));
            }
        }
        Ok(None)
    }

    /// Waits until operations of earlier holders have ended. Our own are gone on with instead.
    pub(super) async fn wait_for_others(&self) -> Result<Option<Refusal>, Halt> {
        let own = own_operations(
            &self.recorder.state(),
            self.plan.steps().map(|step| step.operation.to_string()),
        );
        let end = Instant::now() + self.running_wait;
        for (host, status) in self.leases.running() {
            let foreign = !own.contains(&status.running_operation_id);
            if !foreign || !self.is_ours(host, &status.target) {
                continue;
            }
            self.events.tell(Happening::Waiting {
                what: format!(
                    "the operation of an earlier rollout on {} of host `{host}`",
                    status.target
                ),
                at_most_seconds: self.running_wait.as_secs(),
            });
            while self
                .still_runs(host, &status.target, &status.running_operation_id)
                .await?
            {
                if Instant::now() >= end {
                    return Ok(Some(Refusal::Locked {
                        host: host.clone(),
                        holder: None,
                        reason: format!(
                            "operation {} of an earlier rollout still runs on {}",
                            status.running_operation_id, status.target
                        ),
                    }));
                }
                self.pause(LOOK_EVERY).await?;
            }
        }
        Ok(None)
    }

    /// Whether the plan looks at this target.
    fn is_ours(&self, host: &HostName, target: &str) -> bool {
        let targets = self.plan.basis().hosts.get(host);
        targets.is_some_and(|basis| {
            basis
                .generations
                .keys()
                .map(Target::to_string)
                .any(|name| name == target)
        })
    }

    /// An agent that does not answer counts as still at work.
    async fn still_runs(
        &self,
        host: &HostName,
        target: &str,
        operation: &str,
    ) -> Result<bool, Halt> {
        let question = bounded(host, "describe", self.agents.describe(host));
        Ok(match self.unless_stopped(question).await? {
            Ok(described) => described
                .targets
                .iter()
                .any(|status| status.target == target && status.running_operation_id == operation),
            Err(_) => true,
        })
    }
}

fn own_operations(state: &RolloutState, planned: impl Iterator<Item = String>) -> BTreeSet<String> {
    let in_flight = state.steps().values().filter_map(|step| match &step.state {
        StepState::Running(flight) | StepState::Undoing(flight) => {
            Some(flight.operation.to_string())
        }
        _ => None,
    });
    planned.chain(in_flight).collect()
}

/// Why a plan says nothing about the hosts as they are found: one does not answer, or is not any
/// more what the plan was made from.
pub fn basis_refusal(plan: &Plan, observed: &Observed) -> Option<Refusal> {
    if let Some(refusal) = unreachable(observed) {
        return Some(refusal);
    }
    let now = Basis::of(plan.scope(), observed);
    let deviations = plan.basis().deviations(&now);
    (!deviations.is_empty()).then_some(Refusal::BasisChanged { deviations })
}

fn unreachable(observed: &Observed) -> Option<Refusal> {
    let hosts: BTreeMap<HostName, String> = observed
        .hosts
        .iter()
        .filter_map(|(host, observation)| {
            let reason = match observation {
                HostObservation::Reached(_) => return None,
                HostObservation::Unreachable { reason } | HostObservation::Silent { reason } => {
                    reason.clone()
                }
                HostObservation::NotEnrolled => "it is not enrolled any more".to_owned(),
            };
            Some((host.clone(), reason))
        })
        .collect();
    (!hosts.is_empty()).then_some(Refusal::Unreachable { hosts })
}
