//! What is done to the stack, wave by wave.

use std::collections::BTreeMap;
use std::fmt;

use omni_scale_proto::difference::{
    ServiceAction, ServiceChange, missing_networks, stack_difference, unlike_networks,
};
use omni_scale_proto::effect::Effect;
use omni_scale_proto::id::{SecretName, ServiceName};
use omni_scale_proto::operation::Target;
use omni_scale_proto::stack::{CheckedStack, image_digest, secrets_of};
use omni_scale_proto::v1;

use super::{Context, Draft};
use crate::agents::Action;
use crate::plan::desired::{Desired, Wave};
use crate::plan::observed::HostFacts;
use crate::plan::refusal::{PlanError, PlanRefusal};
use crate::plan::step::{Change, Recovery, SecretState, UsedSecret};

/// Images may be gigabytes behind a slow line.
const DEADLINE_SECONDS: u32 = 1800;

/// Why a target is looked at again although nothing about it differs.
pub(super) const OUTCOME_UNKNOWN: &str =
    "an earlier operation on it began and its outcome is not known";

/// The stack with every image by digest, and what could not be resolved.
pub(super) fn resolve(desired: &Desired, facts: &HostFacts) -> (v1::Stack, Vec<PlanRefusal>) {
    let mut stack = desired.stack.stack.clone();
    let mut refusals = Vec::new();
    let resolutions: BTreeMap<&str, &v1::ImageResolution> = facts
        .stack
        .iter()
        .flat_map(|observed| &observed.images)
        .map(|image| (image.reference.as_str(), image))
        .collect();
    for service in &mut stack.services {
        if image_digest(&service.image).is_some() {
            continue;
        }
        let resolution = resolutions.get(service.image.as_str());
        match resolution {
            Some(found) if image_digest(&found.resolved).is_some() => {
                service.image.clone_from(&found.resolved);
            }
            found => refusals.push(PlanRefusal::ImageUnresolved {
                host: desired.stack.host.clone(),
                image: service.image.clone(),
                reason: match found {
                    Some(found) if !found.failure.is_empty() => found.failure.clone(),
                    _ => "the agent did not say what it is".to_owned(),
                },
            }),
        }
    }
    (stack, refusals)
}

/// What is there, and what must be done to it.
pub(super) struct Difference {
    /// As it is found once the secrets that the plan renews have other values.
    observed: v1::StackObservation,
    /// Over all services at once: a recreated sidecar recreates its sharers in later waves.
    changes: Vec<ServiceChange>,
}

/// What must be done to the stack, whatever the plan leaves out of it. What uses a secret of
/// `renewed` is made anew: an earlier step of the plan gives it another value.
pub(super) fn differ(context: &Context<'_>, renewed: &[String]) -> Result<Difference, PlanError> {
    let host = &context.desired.stack.host;
    let unknown = |reason: String| PlanError::Refused {
        refusals: vec![PlanRefusal::StateUnknown {
            host: host.clone(),
            what: format!("the state of stack `{}` is not known", context.stack.name()),
            reason,
        }],
    };
    let Some(observed) = &context.stack_facts.stack else {
        return Err(unknown("it was not asked".to_owned()));
    };
    let observed = with_renewed_secrets(observed, renewed);
    let changes =
        stack_difference(context.stack, &[], &observed).map_err(|error| unknown(error.reason))?;
    let unlike = unlike_networks(context.stack, &observed);
    if !unlike.is_empty() {
        let refusals = unlike
            .into_iter()
            .map(|network| PlanRefusal::UnlikeNetwork {
                host: host.clone(),
                network,
            });
        return Err(PlanError::Refused {
            refusals: refusals.collect(),
        });
    }
    Ok(Difference { observed, changes })
}

/// A service that is left as it is although something is to be done to it: what shares its network
/// namespace would end with it, and belongs to a wave that the plan leaves out.
pub(super) struct Waiting {
    service: ServiceName,
    sharer: ServiceName,
    /// Of the service.
    pub(super) wave: Wave,
}

impl fmt::Display for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service, sharer, ..
        } = self;
        write!(
            formatter,
            "`{service}` differs and waits too: `{sharer}` shares its network namespace, would end with it, and cannot be made anew yet"
        )
    }
}

/// The services of the plan that must wait for a wave that it leaves out.
pub(super) fn waits(context: &Context<'_>, difference: &Difference) -> Vec<Waiting> {
    let mut waits: Vec<Waiting> = Vec::new();
    let Some(mut cut) = context.cut else {
        return waits;
    };
    // Whoever waits may itself share the namespace of another.
    loop {
        let acting = difference
            .changes
            .iter()
            .filter(|change| change.action != ServiceAction::Keep)
            .map(|change| (&change.service, context.parts.wave(change.service.as_str())))
            .filter(|(_, wave)| *wave < cut);
        let found = acting.filter_map(|(service, wave)| {
            let sharer = sharers_that_run(context, &difference.observed, service)
                .find(|sharer| context.parts.wave(sharer.as_str()) >= cut)?;
            Some(Waiting {
                service: service.clone(),
                sharer,
                wave,
            })
        });
        let found: Vec<Waiting> = found.collect();
        let Some(first) = found.iter().map(|waiting| waiting.wave).min() else {
            return waits;
        };
        waits.extend(found);
        cut = first;
    }
}

/// The services whose containers run on the live namespace of this one.
fn sharers_that_run(
    context: &Context<'_>,
    observed: &v1::StackObservation,
    owner: &ServiceName,
) -> impl Iterator<Item = ServiceName> {
    observed
        .services
        .iter()
        .filter(move |container| {
            container.namespace_of == owner.as_str()
                && container.namespace_live
                && container.state() == v1::ContainerState::Running
        })
        .filter_map(|container| context.stack.service(&container.service))
        .map(super::services::name_of)
}

/// The steps, each with its wave, in order.
pub(super) fn steps(context: &Context<'_>, difference: &Difference) -> Vec<(Wave, Draft)> {
    let Difference { observed, changes } = difference;
    let host = &context.desired.stack.host;
    let target = Target::Stack(context.stack.name().clone());
    let mut generation = context.stack_facts.generation(&target);
    let mut steps = Vec::new();
    let mut orphans = orphans_to_remove(context, observed);
    let mut look_again = context
        .stack_facts
        .target(&target)
        .is_some_and(|status| status.outcome_unknown);
    for wave in context.waves() {
        if wave < Wave::Sidecar {
            continue;
        }
        let of_wave: Vec<&ServiceChange> = changes
            .iter()
            .filter(|change| context.parts.wave(change.service.as_str()) == wave)
            .collect();
        let mut acting: Vec<&ServiceChange> = of_wave
            .iter()
            .copied()
            .filter(|change| change.action != ServiceAction::Keep)
            .collect();
        let removes = wave == Wave::Omni && !orphans.is_empty();
        if acting.is_empty() && (look_again || removes) {
            acting = of_wave;
        }
        if acting.is_empty() {
            continue;
        }
        let mut shown: Vec<Change> = acting
            .iter()
            .map(|change| show(context, observed, change, look_again))
            .collect();
        look_again = false;
        let mut remove_orphans = Vec::new();
        if removes {
            shown.extend(orphans.iter().map(removal));
            remove_orphans = std::mem::take(&mut orphans)
                .into_iter()
                .map(|orphan| orphan.container_id)
                .collect();
        }
        generation += 1;
        steps.push((
            wave,
            Draft {
                host: host.clone(),
                generation,
                deadline_seconds: DEADLINE_SECONDS,
                recovery: recovery(context, observed, wave, &acting),
                action: Action::ApplyStack {
                    stack: context.stack.as_wire().clone(),
                    name: context.stack.name().clone(),
                    services: acting.iter().map(|change| change.service.clone()).collect(),
                    remove_orphans,
                },
                changes: shown,
            },
        ));
    }
    steps
}

/// The stack as it is found once these secrets have other values.
fn with_renewed_secrets(
    observed: &v1::StackObservation,
    renewed: &[String],
) -> v1::StackObservation {
    let mut observed = observed.clone();
    for container in &mut observed.services {
        let used = container.applied.as_ref().map(secrets_of);
        let changed = used
            .unwrap_or_default()
            .into_iter()
            .filter(|secret| renewed.iter().any(|name| name == secret))
            .map(str::to_owned);
        let changed: Vec<String> = changed
            .filter(|secret| !container.changed_secrets.contains(secret))
            .collect();
        container.changed_secrets.extend(changed);
    }
    observed
}

fn orphans_to_remove(
    context: &Context<'_>,
    observed: &v1::StackObservation,
) -> Vec<v1::ContainerSummary> {
    if context.choices.remove_orphans {
        orphans(context.stack, observed)
    } else {
        Vec::new()
    }
}

/// Containers of ours that no service names: since an earlier stack, or since this one.
pub(super) fn orphans(
    stack: &CheckedStack,
    observed: &v1::StackObservation,
) -> Vec<v1::ContainerSummary> {
    let dropped = observed
        .services
        .iter()
        .filter(|container| stack.service(&container.service).is_none())
        .map(|container| v1::ContainerSummary {
            container_id: container.container_id.clone(),
            container_name: container.container_name.clone(),
            service: container.service.clone(),
            state: String::new(),
        });
    let mut orphans: Vec<v1::ContainerSummary> = dropped.chain(observed.orphans.clone()).collect();
    orphans.sort_by(|one, other| one.container_id.cmp(&other.container_id));
    orphans.dedup_by(|one, other| one.container_id == other.container_id);
    orphans
}

fn removal(orphan: &v1::ContainerSummary) -> Change {
    Change {
        subject: orphan.container_name.clone(),
        verb: "remove".to_owned(),
        effect: Effect::Recreate,
        reasons: vec!["no service of the stack names it any more; its volumes stay".to_owned()],
        secrets: Vec::new(),
    }
}

fn show(
    context: &Context<'_>,
    observed: &v1::StackObservation,
    change: &ServiceChange,
    look_again: bool,
) -> Change {
    let name = change.service.as_str();
    let container = container(observed, name);
    let before = container.and_then(|container| container.applied.as_ref());
    let used_before = before.map(secrets_of).unwrap_or_default();
    let secrets = context
        .stack
        .service(name)
        .map(secrets_of)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|secret| {
            let state = if !used_before.contains(&secret) {
                SecretState::New
            } else if container.is_some_and(|container| {
                container.changed_secrets.iter().any(|name| name == secret)
            }) {
                SecretState::Changed
            } else {
                SecretState::Unchanged
            };
            Some(UsedSecret {
                name: secret.parse().ok()?,
                state,
            })
        });
    let once = context
        .stack
        .service(name)
        .map(one_time_secrets)
        .unwrap_or_default()
        .into_iter()
        .filter(|secret| {
            let status = context.stack_facts.secret(secret.as_str());
            status.is_some_and(|status| !status.consumed)
        })
        .map(|name| UsedSecret {
            name,
            state: SecretState::Once,
        });
    let secrets = secrets.chain(once).collect();
    let mut reasons = change.reasons.clone();
    if look_again {
        reasons.push(OUTCOME_UNKNOWN.to_owned());
    }
    Change {
        subject: name.to_owned(),
        verb: match change.action {
            ServiceAction::Keep => "verify",
            ServiceAction::Create => "create",
            ServiceAction::Start => "start",
            ServiceAction::Recreate => "recreate",
        }
        .to_owned(),
        effect: change.effect,
        reasons,
        secrets,
    }
}

fn one_time_secrets(service: &v1::Service) -> Vec<SecretName> {
    let files = service.files.iter().filter(|file| file.one_time);
    let segments = files
        .filter_map(|file| file.content.as_ref())
        .flat_map(|text| &text.segments);
    segments
        .filter_map(|segment| match segment.part.as_ref()? {
            v1::segment::Part::Secret(secret) => secret.name.parse().ok(),
            v1::segment::Part::Literal(_) => None,
        })
        .collect()
}

fn container<'a>(
    observed: &'a v1::StackObservation,
    service: &str,
) -> Option<&'a v1::ServiceObservation> {
    observed
        .services
        .iter()
        .find(|container| container.service == service)
}

/// Omni migrates its data forward only, so its wave is never undone. The others go back to the
/// containers that ran before, when it is known what they were made from.
fn recovery(
    context: &Context<'_>,
    observed: &v1::StackObservation,
    wave: Wave,
    acting: &[&ServiceChange],
) -> Recovery {
    let part = match wave {
        Wave::Sidecar => &context.desired.stack.sidecar,
        Wave::Provider => context
            .desired
            .stack
            .provider
            .as_ref()
            .unwrap_or(&context.desired.stack.omni),
        Wave::Preflight
        | Wave::HostMachines
        | Wave::Identity
        | Wave::Client
        | Wave::Omni
        | Wave::Machines => &context.desired.stack.omni,
    };
    let hold = Recovery::Hold {
        advice: format!(
            "look at `omni-scale logs {part}`, put right what it says, then `omni-scale resume`"
        ),
    };
    let reversible = match wave {
        Wave::Sidecar | Wave::Provider => true,
        Wave::Preflight
        | Wave::HostMachines
        | Wave::Identity
        | Wave::Client
        | Wave::Omni
        | Wave::Machines => false,
    };
    // What ran before stood on other networks, which the stack does not name any more.
    let moves = |change: &&&ServiceChange| {
        let service = context.stack.service(change.service.as_str());
        service
            .is_some_and(|service| !missing_networks(context.stack, service, observed).is_empty())
    };
    if !reversible
        || acting
            .iter()
            .any(|change| change.effect >= Effect::Identity)
        || acting.iter().find(moves).is_some()
    {
        return hold;
    }
    let Some(services) = undone_services(context.stack, observed, acting) else {
        return hold;
    };
    let Some(before) = stack_before(context.stack, observed, &services) else {
        return hold;
    };
    let names: Vec<&str> = services.iter().map(ServiceName::as_str).collect();
    Recovery::Undo {
        summary: format!("back to the containers before: {}", names.join(", ")),
        action: Box::new(Action::ApplyStack {
            name: before.name().clone(),
            stack: before.into_wire(),
            services,
            remove_orphans: Vec::new(),
        }),
    }
}

/// The services of the step, and those that share a namespace which the step renews. None when
/// one of the step's own did not run before: there is nothing to go back to.
fn undone_services(
    stack: &CheckedStack,
    observed: &v1::StackObservation,
    acting: &[&ServiceChange],
) -> Option<Vec<ServiceName>> {
    let ran = |service: &str| {
        container(observed, service).is_some_and(|container| {
            container.applied.is_some()
                && container.state() == v1::ContainerState::Running
                && container.health() != v1::ContainerHealth::Unhealthy
        })
    };
    if !acting.iter().all(|change| ran(change.service.as_str())) {
        return None;
    }
    let is_undone = |service: &v1::Service| {
        let own = acting
            .iter()
            .any(|change| change.service.as_str() == service.name);
        let shares = acting.iter().any(|change| {
            let mut sharers = stack.sharers_of(change.service.as_str()).into_iter();
            sharers.any(|sharer| sharer.name == service.name)
        });
        own || (shares && ran(&service.name))
    };
    let services = stack
        .start_order()
        .into_iter()
        .filter(|service| is_undone(service))
        .map(super::services::name_of)
        .collect();
    Some(services)
}

/// The stack with these services as their containers were made. None when that is no stack.
fn stack_before(
    stack: &CheckedStack,
    observed: &v1::StackObservation,
    services: &[ServiceName],
) -> Option<CheckedStack> {
    let mut wire = stack.as_wire().clone();
    for service in &mut wire.services {
        if services.iter().any(|name| name.as_str() == service.name) {
            let before = container(observed, &service.name)?.applied.clone()?;
            *service = before;
        }
    }
    CheckedStack::try_from(wire).ok()
}
