//! The parts of a plan.

use std::fmt;

use omni_scale_proto::effect::Effect;
use omni_scale_proto::id::{HostName, InvalidId, OperationId, SecretName};
use omni_scale_proto::operation::Target;
use omni_scale_proto::v1;
use serde::{Deserialize, Serialize};

use super::Wave;
use crate::agents::Action;

/// A step's place in its plan: the number of its wave, and its own number in it, as `4.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepId {
    /// Number of the wave.
    pub wave: u8,
    /// Number in the wave, from 1.
    pub number: u16,
}

impl fmt::Display for StepId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.wave, self.number)
    }
}

impl From<StepId> for String {
    fn from(id: StepId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for StepId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        let parsed = text.split_once('.').and_then(|(wave, number)| {
            Some(Self {
                wave: wave.parse().ok()?,
                number: number.parse().ok()?,
            })
        });
        parsed
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| InvalidId {
                text: text.chars().take(80).collect(),
                kind: "step id",
                rule: "the number of a wave, a dot, and a number in it",
            })
    }
}

/// What happens in one wave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedWave {
    /// Which one.
    pub wave: Wave,
    /// What is done. Empty: there is nothing to do, and the gate is still asked.
    pub steps: Vec<Step>,
    /// What must be true before the next wave. For the preflight wave: before anything.
    pub gate: Vec<GateCheck>,
}

/// A question whose answer a gate waits for. The check's own `wait_seconds` bounds the wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateCheck {
    /// Who is asked.
    pub host: HostName,
    /// One line for people: what must be true.
    pub title: String,
    /// The question; its `check_id` is unique in the plan.
    pub check: v1::Check,
    /// The operator goes on without an answer. A bad answer is never gone on with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown_will_do: bool,
}

/// One thing that is done on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its place.
    pub id: StepId,
    /// Where.
    pub host: HostName,
    /// What.
    pub action: Action,
    /// The target's generation once it is done, when nothing comes in between.
    pub generation: u64,
    /// The operation's id, when nothing comes in between.
    pub operation: OperationId,
    /// Bound on the whole step, retries included, in seconds.
    pub deadline_seconds: u32,
    /// What is done when it fails.
    pub recovery: Recovery,
    /// What it changes, for people.
    pub changes: Vec<Change>,
}

impl Step {
    /// What it changes on its host.
    pub fn target(&self) -> Target {
        self.action.target()
    }

    /// The strongest effect of its changes.
    pub fn effect(&self) -> Effect {
        self.changes
            .iter()
            .map(|change| change.effect)
            .max()
            .unwrap_or(Effect::None)
    }
}

/// What is done when a step has failed, or the gate behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Recovery {
    /// Stop in a known state.
    Hold {
        /// What to do then, for people.
        advice: String,
    },
    /// Go back to what was there before.
    Undo {
        /// What was there before.
        action: Box<Action>,
        /// One line for people: what is gone back to.
        summary: String,
    },
}

/// A unit or a service that a step changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The unit or service.
    pub subject: String,
    /// What is done with it: `install`, `recreate` …
    pub verb: String,
    /// What that does to what runs.
    pub effect: Effect,
    /// Why, for people.
    pub reasons: Vec<String>,
    /// The secrets that it uses.
    pub secrets: Vec<UsedSecret>,
}

/// A secret in a change: its name and whether its value is another one, nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedSecret {
    /// The name.
    pub name: SecretName,
    /// Since the subject was made.
    pub state: SecretState,
}

/// Whether a secret has another value than the one a subject was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretState {
    /// The subject did not use it before.
    New,
    /// Another value.
    Changed,
    /// The same value.
    Unchanged,
    /// A one-time key: it logs a node in, and is gone.
    Once,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_has_room_for_more_steps_than_a_byte_counts() {
        let text = "7.300".to_owned();
        let id = StepId::try_from(text.clone()).unwrap();
        assert_eq!(String::from(id), text);
    }
}
