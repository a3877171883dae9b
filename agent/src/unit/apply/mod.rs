//! Makes the unit so: observe, act on the difference, verify, write down. Running it twice is
//! harmless, and nothing that runs is restarted when nothing has changed.

mod bring_up;
mod goal;
mod login;
mod prepare;
mod settle;
mod verify;

use std::sync::Arc;

use omni_scale_proto::unit::{CheckedUnit, unit_difference};
use omni_scale_proto::v1::FailureClass;
use tokio::time::Instant;

pub(super) use self::goal::Goal;
use self::prepare::check_file;
pub(super) use self::prepare::{check_installed, disk};
use super::configuration;
use super::policy;
use super::tsidp::TsidpUnit;
use super::units::TSIDP_UNIT;
use crate::operation::{Done, Failure, Reporter};

impl TsidpUnit {
    /// Makes the unit what `unit` says, until the deadline at most.
    pub async fn apply(
        self: &Arc<Self>,
        unit: &CheckedUnit,
        deadline: Instant,
        reporter: &Reporter,
    ) -> Result<Done, Failure> {
        let rendered = configuration::render(unit)
            .map_err(|error| Failure::from_error(FailureClass::Permanent, &error))?;
        let held = self.holds(unit).await?;
        policy::check(&self.policy, unit, held)?;
        let observation = self.observe().await;
        let reasons = unit_difference(unit, &observation)
            .map_or_else(|_| Vec::new(), |change| change.reasons);
        if !reasons.is_empty() {
            reporter.stage(TSIDP_UNIT, reasons.join("; "));
        }
        let before = self.units.observe(TSIDP_UNIT).await?;
        check_installed(&before)?;
        check_file(&before)?;
        self.guard_identity(&before, unit.auth_key())?;
        if !held {
            self.fetch(unit, reporter).await?;
        }
        let goal = Goal::of(unit);
        let must_restart = self.prepare(unit, rendered, reporter).await?;
        let did = self
            .bring_up(&goal, must_restart, deadline, reporter)
            .await?;
        let warnings = self.settle(unit).await?;
        Ok(Done {
            summary: format!("{did}; {} answers", goal.issuer),
            warnings,
        })
    }

    async fn holds(self: &Arc<Self>, unit: &CheckedUnit) -> Result<bool, Failure> {
        let sum = unit.artifact().clone();
        self.blocking(move |this| Ok(this.programs.holds(&sum)?))
            .await
    }

    async fn fetch(&self, unit: &CheckedUnit, reporter: &Reporter) -> Result<(), Failure> {
        let sum = unit.artifact();
        if unit.artifact_url().is_empty() {
            let sum = sum.clone();
            return Err(crate::artifact::ArtifactError::Missing { sum }.into());
        }
        reporter.stage(TSIDP_UNIT, "fetching the program");
        self.downloader
            .fetch(unit.artifact_url(), sum, reporter)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
