//! The model of the tsidp unit.

use omni_scale_proto::unit::{CheckedUnit, UnitAction, unit_difference};
use omni_scale_proto::v1;

/// The unit.
#[derive(Debug, Clone, Default)]
pub struct UnitModel {
    /// What was applied last.
    pub applied: Option<v1::UnitConfiguration>,
    /// Whether it runs.
    pub active: bool,
    /// Whether its node has logged in before.
    pub node_known: bool,
    /// Somebody changed its files.
    pub drifted: bool,
    /// How often it was started.
    pub starts: u32,
}

impl UnitModel {
    pub(super) fn observe(&self, generation: u64) -> v1::UnitObservation {
        let sum = |configuration: &v1::UnitConfiguration| {
            let artifact = configuration.artifact.as_ref();
            artifact.map(|artifact| artifact.sha256.clone())
        };
        v1::UnitObservation {
            known: true,
            load_state: "loaded".to_owned(),
            active_state: if self.active { "active" } else { "inactive" }.to_owned(),
            artifact_sha256: self.applied.as_ref().and_then(sum).unwrap_or_default(),
            applied: self.applied.clone(),
            verification: Some(v1::Verification {
                status: if self.active {
                    v1::VerificationStatus::Passed
                } else {
                    v1::VerificationStatus::Unknown
                }
                .into(),
                ..v1::Verification::default()
            }),
            generation,
            node_known: self.node_known,
            drifted: self.drifted,
            ..v1::UnitObservation::default()
        }
    }

    /// Starts, stops or restarts it. `Err` says why that cannot be.
    pub(super) fn control(&mut self, action: v1::ControlAction) -> Result<(), String> {
        if self.applied.is_none() {
            return Err("tsidp.service was never set up".to_owned());
        }
        self.active = action != v1::ControlAction::Stop;
        self.starts += u32::from(self.active);
        Ok(())
    }

    /// Makes it so. `Err` says why it is not.
    pub(super) fn apply(
        &mut self,
        wanted: &v1::UnitConfiguration,
        bad: bool,
    ) -> Result<(), String> {
        let unit = CheckedUnit::try_from(wanted.clone()).map_err(|error| error.to_string())?;
        let change = unit_difference(&unit, &self.observe(0)).map_err(|error| error.to_string())?;
        self.applied = Some(wanted.clone());
        if matches!(change.action, UnitAction::Keep | UnitAction::Verify) {
            return Ok(());
        }
        self.drifted = false;
        self.starts += 1;
        self.active = !bad;
        if bad {
            return Err("tsidp.service does not stay up: exit status 1".to_owned());
        }
        self.node_known = true;
        Ok(())
    }
}
