//! What this unit can answer to checks and to `Describe`.

use std::sync::Arc;

use async_trait::async_trait;
use omni_scale_proto::v1;

use super::policy;
use super::tsidp::TsidpUnit;
use crate::service::checks::{Finding, UnitChecks};

#[async_trait]
impl UnitChecks for Arc<TsidpUnit> {
    async fn unit_policy(&self, check: &v1::UnitPolicyCheck) -> Finding {
        let check = check.clone();
        let finding = self.blocking(move |this| {
            let held = |sum: &_| this.programs.holds(sum).unwrap_or(false);
            Ok(policy::finding(&this.policy, &check, |unit| {
                held(unit.artifact())
            }))
        });
        let finding = finding.await;
        finding.unwrap_or_else(|failure| Finding::unknown(failure.message))
    }

    async fn systemd_version(&self) -> Option<String> {
        self.units.version().await.ok()
    }
}
