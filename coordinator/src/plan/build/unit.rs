//! What is done to the tsidp unit.

use omni_scale_proto::effect::Effect;
use omni_scale_proto::operation::Target;
use omni_scale_proto::unit::{CheckedUnit, UnitAction, unit_difference};
use omni_scale_proto::v1;

use super::{Context, Draft, facts};
use crate::agents::Action;
use crate::plan::desired::DesiredIdentity;
use crate::plan::observed::HostFacts;
use crate::plan::refusal::{PlanError, PlanRefusal};
use crate::plan::step::{Change, Recovery, SecretState, UsedSecret};

/// A download, a first login and a first certificate may each take minutes.
const DEADLINE_SECONDS: u32 = 900;

/// The step, when there is something to do.
pub(super) fn step(context: &Context<'_>) -> Result<Option<Draft>, PlanError> {
    let (DesiredIdentity::Tsidp { host, .. }, Some(unit)) =
        (&context.desired.identity, context.unit)
    else {
        return Ok(None);
    };
    let facts = facts(context.observed, host)?;
    let unknown = |reason: String| PlanError::Refused {
        refusals: vec![PlanRefusal::StateUnknown {
            host: host.clone(),
            what: "the state of tsidp.service is not known".to_owned(),
            reason,
        }],
    };
    let Some(observed) = &facts.unit else {
        return Err(unknown("it was not asked".to_owned()));
    };
    let difference = unit_difference(unit, observed).map_err(|error| unknown(error.reason))?;
    let mut reasons = difference.reasons;
    if facts
        .target(&Target::Unit)
        .is_some_and(|target| target.outcome_unknown)
    {
        reasons.push(super::stack::OUTCOME_UNKNOWN.to_owned());
    }
    if difference.action == UnitAction::Keep && reasons.is_empty() {
        return Ok(None);
    }
    let configuration = configuration(context, unit, facts);
    let change = Change {
        subject: "tsidp".to_owned(),
        verb: verb(difference.action).to_owned(),
        effect: difference.effect,
        reasons,
        secrets: used_secrets(&configuration),
    };
    Ok(Some(Draft {
        host: host.clone(),
        generation: facts.generation(&Target::Unit) + 1,
        deadline_seconds: DEADLINE_SECONDS,
        recovery: recovery(observed, difference.effect),
        changes: vec![change],
        action: Action::ApplyUnit { configuration },
    }))
}

/// The configuration without a one-time key that has nothing to do any more.
fn configuration(
    context: &Context<'_>,
    unit: &CheckedUnit,
    facts: &HostFacts,
) -> v1::UnitConfiguration {
    let mut configuration = unit.as_wire().clone();
    let key = facts.secret(&configuration.auth_key_secret);
    let wanted = context.desired.secrets.iter().any(|secret| {
        secret.name.as_str() == configuration.auth_key_secret
            && super::secrets::is_needed(context.desired, secret, context.observed)
    });
    if key.is_none_or(|key| key.consumed) || !wanted {
        configuration.auth_key_secret.clear();
    }
    configuration
}

fn used_secrets(configuration: &v1::UnitConfiguration) -> Vec<UsedSecret> {
    let name = configuration.auth_key_secret.parse().ok();
    name.into_iter()
        .map(|name| UsedSecret {
            name,
            state: SecretState::Once,
        })
        .collect()
}

const fn verb(action: UnitAction) -> &'static str {
    match action {
        UnitAction::Keep | UnitAction::Verify => "verify",
        UnitAction::Start => "start",
        UnitAction::Install => "install",
        UnitAction::Reconfigure => "reconfigure",
    }
}

/// What ran and answered well before can be gone back to, unless the node itself becomes another.
fn recovery(observed: &v1::UnitObservation, effect: Effect) -> Recovery {
    let verified = observed
        .verification
        .as_ref()
        .is_some_and(|seen| seen.status() == v1::VerificationStatus::Passed);
    match &observed.applied {
        Some(applied)
            if verified && observed.active_state == "active" && effect < Effect::Identity =>
        {
            let sum = applied
                .artifact
                .as_ref()
                .map(|artifact| artifact.sha256.as_str());
            Recovery::Undo {
                action: Box::new(Action::ApplyUnit {
                    configuration: v1::UnitConfiguration {
                        // The node is known: a key could only log it in as another one.
                        auth_key_secret: String::new(),
                        ..applied.clone()
                    },
                }),
                summary: format!(
                    "back to the program {} and its configuration",
                    sum.and_then(|sum| sum.get(..12)).unwrap_or("before")
                ),
            }
        }
        _ => Recovery::Hold {
            advice:
                "look at `omni-scale logs tsidp`, put right what it says, then `omni-scale resume`"
                    .to_owned(),
        },
    }
}
