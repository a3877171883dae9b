//! The unit as a whole: what systemd says, what is on the disk, what was applied, what the product
//! answered.

use std::sync::Arc;

use omni_scale_proto::unit::CheckedUnit;
use omni_scale_proto::v1::{UnitConfiguration, UnitObservation};

use super::configuration;
use super::state::UnitState;
use super::tsidp::TsidpUnit;
use super::units::{Sighting, TSIDP_UNIT};
use super::verification::unknown;
use crate::error::chain;

impl TsidpUnit {
    /// Looks at everything now. The caller adds the generation.
    pub async fn observe(self: &Arc<Self>) -> UnitObservation {
        let sighting = match self.units.observe(TSIDP_UNIT).await {
            Ok(state) => Sighting::Known(Box::new(state)),
            Err(error) => Sighting::Lost {
                reason: chain(&error),
            },
        };
        self.describe(&sighting).await
    }

    /// The same, with what systemd said already.
    pub(super) async fn describe(self: &Arc<Self>, sighting: &Sighting) -> UnitObservation {
        // Nothing in it fails: what cannot be read is told as drift.
        let on_disk = self.blocking(|this| Ok(this.on_disk())).await;
        let mut observation = on_disk.unwrap_or_else(|failure| UnitObservation {
            drifted: true,
            reason: failure.message,
            ..UnitObservation::default()
        });
        match sighting {
            Sighting::Known(state) => self.add_state(&mut observation, state),
            Sighting::Lost { reason } => {
                observation.reason.clone_from(reason);
                observation.verification = Some(unknown(reason));
            }
        }
        observation
    }

    fn add_state(&self, observation: &mut UnitObservation, state: &UnitState) {
        observation.known = true;
        observation.reason.clear();
        observation.load_state.clone_from(&state.load_state);
        state
            .active_state
            .as_str()
            .clone_into(&mut observation.active_state);
        observation.sub_state.clone_from(&state.sub_state);
        observation.result.clone_from(&state.result);
        observation.restarts = state.restarts;
        observation.exec_main_status = state.exec_main_status;
        observation.main_pid = state.main_pid;
        observation.invocation_id = state
            .invocation
            .map(|id| id.to_string())
            .unwrap_or_default();
        observation.active_since_milliseconds = state.active_since_milliseconds;
        observation.verification = Some(if observation.applied.is_none() {
            unknown("nothing was applied, so there is no issuer to ask")
        } else if !state.is_running() {
            // What it answered while it ran is worth nothing now.
            unknown(&format!("it does not run: it is {}", state.summary()))
        } else {
            self.verifications.of(state.invocation)
        });
    }

    /// What is on the disk and in the record. Blocks.
    fn on_disk(&self) -> UnitObservation {
        let record = self.records.get();
        let current = self.programs.current();
        let text = |sum: Option<&omni_scale_proto::id::Sha256>| {
            sum.map(ToString::to_string).unwrap_or_default()
        };
        let unfinished =
            record.pending.is_some() || (record.node.is_some() && self.files.has_auth_key());
        let drifted = record
            .applied
            .as_ref()
            .is_some_and(|applied| unfinished || !self.disk_is(applied));
        UnitObservation {
            artifact_sha256: text(current.as_ref()),
            previous_artifact_sha256: text(record.previous_artifact.as_ref()),
            node_known: record.node.is_some(),
            applied: record.applied,
            drifted,
            ..UnitObservation::default()
        }
    }

    /// Whether the disk holds what this configuration means. What cannot be read does not.
    fn disk_is(&self, applied: &UnitConfiguration) -> bool {
        let Ok(unit) = CheckedUnit::try_from(applied.clone()) else {
            return false;
        };
        let Ok(rendered) = configuration::render(&unit) else {
            return false;
        };
        self.programs.current().as_ref() == Some(unit.artifact())
            && self.programs.holds(unit.artifact()).unwrap_or(false)
            && self.files.environment_is(&rendered).unwrap_or(false)
    }
}
