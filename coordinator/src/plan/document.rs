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

/// A plan as a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    format: u32,
    digest: Sha256,
    plan: PlanContent,
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
        let digest = digest(&content);
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
        if file.plan.deployment != deployment {
            return Err(PlanFileError::Foreign {
                found: file.plan.deployment,
                expected: deployment,
            });
        }
        Ok(Self {
            content: file.plan,
            digest: file.digest,
        })
    }

    /// The plan as a file.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(PlanFile {
            format: PLAN_FORMAT,
            digest: self.digest.clone(),
            plan: self.content.clone(),
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

    /// Every host that it looks at, in the order in which leases are taken.
    pub fn hosts(&self) -> BTreeSet<&HostName> {
        self.content.scope.hosts.keys().collect()
    }
}

fn digest(content: &PlanContent) -> Sha256 {
    Sha256::of(&serde_json::to_vec(content).expect("messages have only text keys"))
}
