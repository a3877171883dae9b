//! The plan while hosts do not exist: it makes them, and ends there.
//!
//! What comes after cannot be decided yet: images are resolved by the new host's own Engine, and
//! its agent alone knows what it is set up for.

use std::collections::BTreeSet;

use omni_scale_proto::id::HostName;

use super::{gates, machines, number, preflight, secrets, warnings};
use crate::plan::basis::Basis;
use crate::plan::desired::{Desired, DesiredSecret, Wave};
use crate::plan::document::{Plan, PlanContent};
use crate::plan::observed::{Observed, Scope};
use crate::plan::refusal::{PlanError, PlanRefusal};
use crate::plan::step::PlannedWave;

/// The first wave that is left out.
const CUT: Wave = Wave::Identity;

pub(super) fn plan(
    desired: &Desired,
    observed: &Observed,
    to_be_made: &BTreeSet<HostName>,
) -> Result<Plan, PlanError> {
    let missing: Vec<&DesiredSecret> = secrets::missing(desired, observed)
        .into_iter()
        .filter(|secret| !to_be_made.contains(&secret.host))
        .collect();
    let (at_once, later): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|secret| secret.wave < CUT);
    if !at_once.is_empty() {
        let refusals = at_once.into_iter().map(secrets::refusal);
        return Err(PlanError::Refused {
            refusals: refusals.collect::<Vec<PlanRefusal>>(),
        });
    }
    let decided = machines::decide(desired, observed, to_be_made, Some(CUT))?;
    let gate = preflight::gate_of_new_hosts(desired, observed, &decided, to_be_made);
    let drafts = decided.steps.into_iter().map(|(_, draft)| draft).collect();
    let mut told = warnings::about_hosts(desired, observed);
    told.extend(decided.warnings);
    let scope = Scope::of(desired).without(to_be_made);
    Ok(Plan::new(PlanContent {
        deployment: desired.deployment,
        basis: Basis::of(&scope, observed),
        scope,
        waves: vec![
            PlannedWave {
                wave: Wave::Preflight,
                steps: Vec::new(),
                gate,
            },
            PlannedWave {
                wave: Wave::HostMachines,
                steps: number(desired, Wave::HostMachines, drafts),
                gate: gates::new_hosts(desired, to_be_made),
            },
        ],
        ends_before: Some(CUT),
        notes: notes(desired, observed, to_be_made, &later),
        warnings: told,
    }))
}

/// Says that the plan ends with the hosts that it makes, and which secrets come next.
fn notes(
    desired: &Desired,
    observed: &Observed,
    to_be_made: &BTreeSet<HostName>,
    missing: &[&DesiredSecret],
) -> Vec<String> {
    let names: Vec<String> = to_be_made.iter().map(|host| format!("`{host}`")).collect();
    let mut notes = vec![format!(
        "the plan ends once {} can be asked; `omni-scale apply` then plans the rest and goes on by \
         itself",
        names.join(" and ")
    )];
    notes.extend(missing.iter().map(|secret| note(secret, "is not set")));
    // A host that ran before has its secrets.
    let new = desired.secrets.iter().filter(|secret| {
        to_be_made.contains(&secret.host) && machines::boots_first(desired, observed, &secret.host)
    });
    notes.extend(new.map(|secret| note(secret, "will be needed")));
    notes
}

fn note(secret: &DesiredSecret, state: &str) -> String {
    let DesiredSecret {
        host, name, wave, ..
    } = secret;
    format!(
        "secret `{name}` {state} on host `{host}`; {wave} needs it: `{}`, or the file \
         `{host}/{name}` in the directory of `apply --secrets`",
        secrets::command(secret)
    )
}
