//! The planner: every choice of a rollout, from what is wanted and what is there.
//!
//! Pure. What stands in the way is collected, so that one look shows all of it; only then are
//! steps made.

mod client;
mod gates;
mod hosts;
mod machines;
mod new_hosts;
mod preflight;
mod secrets;
mod services;
mod stack;
mod unit;
mod warnings;

use omni_scale_proto::id::HostName;
use omni_scale_proto::operation::planned_operation_id;
use omni_scale_proto::stack::CheckedStack;
use omni_scale_proto::unit::CheckedUnit;

use super::basis::Basis;
use super::desired::{Desired, DesiredIdentity, Wave};
use super::document::{Plan, PlanContent};
use super::machines::DesiredMachines;
use super::observed::{HostFacts, Observed, Scope};
use super::parts::Parts;
use super::refusal::{DesiredError, PlanError, PlanRefusal};
use super::step::{Change, PlannedWave, Recovery, Step, StepId};
use crate::agents::Action;
use machines::Machines;

/// What an operator chooses beside the deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Choices {
    /// Remove the stack's containers that no service names any more. Their volumes stay.
    pub remove_orphans: bool,
    /// Go on although nobody could show that the issuer's identities let somebody into Omni.
    pub accept_unproven_identity: bool,
}

/// What is to be done so that the hosts are what the deployment wants.
pub fn plan(desired: &Desired, observed: &Observed, choices: Choices) -> Result<Plan, PlanError> {
    check_hosts_are_declared(desired)?;
    let unit = match &desired.identity {
        DesiredIdentity::Tsidp { configuration, .. } => {
            Some(CheckedUnit::try_from(configuration.clone()).map_err(DesiredError::from)?)
        }
        DesiredIdentity::External { .. } => None,
    };
    let to_be_made = machines::hosts_to_be_made(desired, observed);
    let mut refusals = hosts::refusals(desired, observed, &to_be_made);
    refuse(&mut refusals)?;
    if !to_be_made.is_empty() {
        return new_hosts::plan(desired, observed, &to_be_made);
    }
    let stack_facts = facts(observed, &desired.stack.host)?;

    let (stack, unresolved) = stack::resolve(desired, stack_facts);
    refusals.extend(unresolved);
    refuse(&mut refusals)?;
    let stack = CheckedStack::try_from(stack).map_err(DesiredError::from)?;
    services::check_parts(&desired.stack, &stack)?;
    let parts = Parts::of(&desired.stack);

    let missing = secrets::missing(desired, observed);
    let cut = secrets::cut(&missing);
    refusals.extend(secrets::needed_now(desired, cut, &missing));
    refuse(&mut refusals)?;

    let machines = machines::decide(desired, observed, &to_be_made, cut)?;

    let mut context = Context {
        desired,
        observed,
        machines: &machines,
        stack: &stack,
        stack_facts,
        parts: &parts,
        unit: unit.as_ref(),
        cut,
        choices,
    };
    let unit_step = unit::step(&context)?;
    let client_step = match cut {
        Some(cut) if cut <= Wave::Client => None,
        _ => client::step(&context)?,
    };
    let difference = stack::differ(&context, &client::renewed(client_step.as_ref()))?;
    let waits = stack::waits(&context, &difference);
    // What waits is of the sidecar's wave or later: the client and the machines are as they were.
    if let Some(first) = waits.iter().map(|waiting| waiting.wave).min() {
        context.cut = Some(first);
        refusals.extend(secrets::needed_now(desired, context.cut, &missing));
        refuse(&mut refusals)?;
    }
    let stack_steps = stack::steps(&context, &difference);
    refusals.extend(warnings::foreign_in_the_way(&context, &stack_steps));
    refuse(&mut refusals)?;

    let mut waves = vec![PlannedWave {
        wave: Wave::Preflight,
        steps: Vec::new(),
        gate: preflight::gate(&context),
    }];
    for wave in context.waves() {
        let drafts: Vec<Draft> = match wave {
            Wave::Identity => unit_step.iter().cloned().collect(),
            Wave::Client => client_step.iter().cloned().collect(),
            _ => stack_steps
                .iter()
                .chain(&machines.steps)
                .filter(|(of, _)| *of == wave)
                .map(|(_, draft)| draft.clone())
                .collect(),
        };
        waves.push(PlannedWave {
            wave,
            steps: number(desired, wave, drafts),
            gate: gates::gate(&context, wave),
        });
    }
    let scope = Scope::of(desired);
    let mut notes = secrets::notes(context.cut, &missing);
    notes.extend(waits.iter().map(ToString::to_string));
    Ok(Plan::new(PlanContent {
        deployment: desired.deployment,
        basis: Basis::of(&scope, observed),
        scope,
        waves,
        ends_before: context.cut,
        notes,
        warnings: warnings::warnings(&context),
    }))
}

/// Everything that the parts of the planner look at.
struct Context<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    /// The stack with every image by digest.
    stack: &'a CheckedStack,
    stack_facts: &'a HostFacts,
    parts: &'a Parts,
    /// What is to be done to machines.
    machines: &'a Machines,
    unit: Option<&'a CheckedUnit>,
    /// The first wave that is left out.
    cut: Option<Wave>,
    choices: Choices,
}

impl Context<'_> {
    /// The acting waves of this plan, in order.
    fn waves(&self) -> Vec<Wave> {
        Wave::ALL
            .into_iter()
            .filter(|wave| self.cut.is_none_or(|cut| *wave < cut))
            .filter(|wave| match wave {
                Wave::Preflight => false,
                Wave::Identity | Wave::Sidecar | Wave::Omni => true,
                Wave::Client => self
                    .desired
                    .secrets
                    .iter()
                    .any(|secret| secret.wave == Wave::Client),
                Wave::Provider => self.desired.stack.provider.is_some(),
                Wave::HostMachines => self
                    .desired
                    .machines
                    .as_ref()
                    .is_some_and(DesiredMachines::makes_hosts),
                Wave::Machines => self
                    .desired
                    .machines
                    .as_ref()
                    .is_some_and(DesiredMachines::makes_talos),
            })
            .collect()
    }
}

/// A step without its place and its identity.
#[derive(Debug, Clone)]
struct Draft {
    host: HostName,
    action: Action,
    /// Of its target, once it is done.
    generation: u64,
    deadline_seconds: u32,
    recovery: Recovery,
    changes: Vec<Change>,
}

fn number(desired: &Desired, wave: Wave, drafts: Vec<Draft>) -> Vec<Step> {
    (1..)
        .zip(drafts)
        .map(|(number, draft)| Step {
            id: StepId {
                wave: wave.number(),
                number,
            },
            operation: planned_operation_id(
                desired.deployment,
                draft.host.as_str(),
                &draft.action.target(),
                draft.generation,
                draft.action.word(),
                draft.action.digest().as_str(),
            ),
            host: draft.host,
            action: draft.action,
            generation: draft.generation,
            deadline_seconds: draft.deadline_seconds,
            recovery: draft.recovery,
            changes: draft.changes,
        })
        .collect()
}

fn check_hosts_are_declared(desired: &Desired) -> Result<(), DesiredError> {
    let identity = match &desired.identity {
        DesiredIdentity::Tsidp { host, .. } => Some(host),
        DesiredIdentity::External { .. } => None,
    };
    let used = desired.secrets.iter().map(|secret| &secret.host);
    let machines = desired.machines.iter().map(|machines| &machines.host);
    let undeclared = used
        .chain(identity)
        .chain(machines)
        .chain([&desired.stack.host])
        .find(|host| !desired.hosts.contains_key(*host));
    match undeclared {
        Some(host) => Err(DesiredError::NoSuchHost { host: host.clone() }),
        None => Ok(()),
    }
}

fn facts<'a>(observed: &'a Observed, host: &HostName) -> Result<&'a HostFacts, PlanError> {
    observed.facts(host).ok_or_else(|| PlanError::Refused {
        refusals: vec![PlanRefusal::Unreachable {
            host: host.clone(),
            reason: "it was not asked".to_owned(),
        }],
    })
}

fn refuse(refusals: &mut Vec<PlanRefusal>) -> Result<(), PlanError> {
    if refusals.is_empty() {
        return Ok(());
    }
    Err(PlanError::Refused {
        refusals: std::mem::take(refusals),
    })
}
