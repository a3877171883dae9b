//! A plan: made by the planner or read back, never put together otherwise.

use std::collections::BTreeSet;

use omni_scale_proto::id::{DeploymentId, HostName, Sha256};
use serde::{Deserialize, Serialize};

use super::Wave;
use super::basis::Basis;
use super::observed::Scope;
use super::step::{PlannedWave, Step, StepId};

/// The version of plan files that this code writes, and the only one it runs.
pub const PLAN_FORMAT: u32 = 1;

/// Everything a rollout does, decided. Its digest names it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    content: PlanContent,
    digest: Sha256,
}

/// What the digest is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanContent {
    pub(super) deployment: DeploymentId,
    pub(super) scope: Scope,
    pub(super) basis: Basis,
    pub(super) waves: Vec<PlannedWave>,
    /// The first wave that is left out, since something it needs is missing.
    pub(super) ends_before: Option<Wave>,
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// A plan as a file. Its digest is over the text of `plan`, with sorted keys, so that fields
/// which a later version adds do not make an older file look changed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    format: u32,
    digest: Sha256,
    plan: serde_json::Value,
}

/// Why a plan file is not run.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// Not JSON, or not a plan.
    #[error("the plan file cannot be read")]
    Malformed {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// Written by another version of omni-scale.
    #[error("the plan file has format {found}; this omni-scale runs format {PLAN_FORMAT}")]
    Format {
        /// What the file says.
        found: u32,
    },
    /// It is not as the planner wrote it.
    #[error("the plan file was changed after it was written; make a new one with `plan -o`")]
    Changed,
    /// It belongs to another deployment.
    #[error("the plan file is of deployment {found}, not of this one ({expected})")]
    Foreign {
        /// The file's deployment.
        found: DeploymentId,
        /// Ours.
        expected: DeploymentId,
    },
}

impl Plan {
    pub(super) fn new(content: PlanContent) -> Self {
        let digest = digest(&value(&content));
        Self { content, digest }
    }

    /// Reads a plan file of a deployment.
    pub fn from_json(bytes: &[u8], deployment: DeploymentId) -> Result<Self, PlanFileError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let malformed = |source| PlanFileError::Malformed { source };
        let Format { format } = serde_json::from_slice(bytes).map_err(malformed)?;
        if format != PLAN_FORMAT {
            return Err(PlanFileError::Format { found: format });
        }
        let file: PlanFile = serde_json::from_slice(bytes).map_err(malformed)?;
        if digest(&file.plan) != file.digest {
            return Err(PlanFileError::Changed);
        }
        let content: PlanContent = serde_json::from_value(file.plan).map_err(malformed)?;
        if content.deployment != deployment {
            return Err(PlanFileError::Foreign {
                found: content.deployment,
                expected: deployment,
            });
        }
        Ok(Self {
            content,
            digest: file.digest,
        })
    }

    /// The plan as a file.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(PlanFile {
            format: PLAN_FORMAT,
            digest: self.digest.clone(),
            plan: value(&self.content),
        })
        .expect("messages have only text keys")
    }

    /// The sum of everything in it.
    pub const fn digest(&self) -> &Sha256 {
        &self.digest
    }

    /// Whose it is.
    pub const fn deployment(&self) -> DeploymentId {
        self.content.deployment
    }

    /// What was asked to make it.
    pub const fn scope(&self) -> &Scope {
        &self.content.scope
    }

    /// What it stands on.
    pub const fn basis(&self) -> &Basis {
        &self.content.basis
    }

    /// What happens, in order. The first is the preflight wave.
    pub fn waves(&self) -> &[PlannedWave] {
        &self.content.waves
    }

    /// The first wave that is left out, since something it needs is missing.
    pub const fn ends_before(&self) -> Option<Wave> {
        self.content.ends_before
    }

    /// What to know about it; also that it ends early, and why.
    pub fn notes(&self) -> &[String] {
        &self.content.notes
    }

    /// What should be looked at, although it stops nothing.
    pub fn warnings(&self) -> &[String] {
        &self.content.warnings
    }

    /// Every step, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.content.waves.iter().flat_map(|wave| &wave.steps)
    }

    /// One step.
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps().find(|step| step.id == id)
    }

    /// One wave.
    pub fn wave(&self, wave: Wave) -> Option<&PlannedWave> {
        self.content
            .waves
            .iter()
            .find(|planned| planned.wave == wave)
    }

    /// Whether everything that it covers is as it should be.
    pub fn is_noop(&self) -> bool {
        self.steps().next().is_none()
    }

    /// Whether it makes hosts and ends there: what comes after is decided once they are there.
    pub fn makes_hosts(&self) -> bool {
        self.content.ends_before == Some(Wave::Identity)
    }

    /// Every host that it looks at, in the order in which leases are taken.
    pub fn hosts(&self) -> BTreeSet<&HostName> {
        self.content.scope.hosts.keys().collect()
    }
}

fn value(content: &PlanContent) -> serde_json::Value {
    serde_json::to_value(content).expect("messages have only text keys")
}

fn digest(plan: &serde_json::Value) -> Sha256 {
    Sha256::of(&serde_json::to_vec(plan).expect("it is JSON already"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::fake::FakeAgents;
    use crate::plan::{Choices, examples, plan};
    use crate::rollout::{SystemClock, observe};

    async fn file() -> (Plan, serde_json::Value) {
        let desired = examples::desired();
        let agents = FakeAgents::new(&desired);
        agents.world().skew_to(&SystemClock);
        let observed = observe(&agents.seat(), &SystemClock, &Scope::of(&desired)).await;
        let plan = plan(&desired, &observed, Choices::default()).unwrap();
        let file = plan.to_json();
        (plan, file)
    }

    fn read(plan: &Plan, file: &serde_json::Value) -> Result<Plan, PlanFileError> {
        Plan::from_json(&serde_json::to_vec_pretty(file).unwrap(), plan.deployment())
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_survives_its_file_in_any_layout() {
        let (plan, file) = file().await;
        assert_eq!(read(&plan, &file).unwrap(), plan);
    }

    #[tokio::test(start_paused = true)]
    async fn an_edited_plan_is_refused_wherever_it_was_edited() {
        let (plan, file) = file().await;
        let paths = [
            "/plan/deployment",
            "/plan/basis/hosts/omni/machine_id",
            "/plan/waves/1/steps/0/generation",
            "/plan/waves/3/steps/0/action/apply-stack/stack/services/0/image",
            "/plan/waves/0/gate",
            "/plan/notes",
        ];
        for path in paths {
            let mut edited = file.clone();
            *edited.pointer_mut(path).unwrap() = serde_json::json!("edited");
            let error = read(&plan, &edited).unwrap_err();
            assert!(matches!(error, PlanFileError::Changed), "{path}: {error}");
        }
        let mut edited = file.clone();
        edited["plan"]["more"] = serde_json::json!(1);
        assert!(matches!(read(&plan, &edited), Err(PlanFileError::Changed)));
    }

    #[tokio::test(start_paused = true)]
    async fn plans_of_others_and_of_other_formats_are_refused() {
        let (plan, file) = file().await;
        let other = "0b0b0b0b-0b0b-4b0b-8b0b-0b0b0b0b0b0b".parse().unwrap();
        let bytes = serde_json::to_vec(&file).unwrap();
        let error = Plan::from_json(&bytes, other).unwrap_err();
        assert!(matches!(error, PlanFileError::Foreign { .. }), "{error}");
        let mut newer = file.clone();
        newer["format"] = serde_json::json!(2);
        assert!(matches!(
            read(&plan, &newer),
            Err(PlanFileError::Format { found: 2 })
        ));
        let error = Plan::from_json(b"{}", plan.deployment()).unwrap_err();
        assert!(matches!(error, PlanFileError::Malformed { .. }), "{error}");
    }
}
