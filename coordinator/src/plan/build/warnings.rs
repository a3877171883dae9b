//! What should be looked at, although it stops nothing; and what of it does stop something.

use omni_scale_proto::difference::{self, Successor};
use omni_scale_proto::effect::Effect;
use omni_scale_proto::id::HostName;
use omni_scale_proto::v1::{self, segment::Part};

use super::{Context, Draft};
use crate::plan::desired::{Desired, Wave};
use crate::plan::observed::{HostFacts, Observed};
use crate::plan::refusal::PlanRefusal;

const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;
/// Node keys are warned about from this many days before their end.
const EXPIRY_WARNING_DAYS: i64 = 30;

pub(super) fn warnings(context: &Context<'_>) -> Vec<String> {
    let mut warnings = about_hosts(context.desired, context.observed);
    warnings.extend(containers(context));
    warnings.extend(context.machines.warnings.iter().cloned());
    warnings
}

/// What is to be known of hosts that answer.
pub(super) fn about_hosts(desired: &Desired, observed: &Observed) -> Vec<String> {
    let hosts = desired.hosts.keys();
    hosts
        .filter_map(|host| Some((host, observed.facts(host)?)))
        .flat_map(|(host, facts)| about_host(host, facts))
        .collect()
}

fn about_host(host: &HostName, facts: &HostFacts) -> Vec<String> {
    let describe = &facts.describe;
    let mut warnings = Vec::new();
    if let Some(lease) = &describe.lease {
        warnings.push(format!(
            "`{}` holds the lease of host `{host}`: nothing can be applied until it ends",
            lease.holder
        ));
    }
    let days = |end: i64| end.saturating_sub(describe.clock_milliseconds) / DAY_MILLISECONDS;
    let tailnet = describe.tailnet.as_ref();
    let key = tailnet.and_then(|status| status.key_expiry_milliseconds);
    if let Some(end) = key.filter(|end| days(*end) < EXPIRY_WARNING_DAYS) {
        warnings.push(format!(
            "the tailnet key of host `{host}` ends in {} days: log it in again, or turn its key expiry off",
            days(end)
        ));
    }
    if facts.unit.as_ref().is_some_and(|unit| unit.drifted) {
        warnings.push(format!(
            "tsidp on host `{host}` was changed by hand: what is on the disk will be replaced"
        ));
    }
    warnings
}

fn containers(context: &Context<'_>) -> Vec<String> {
    let host = &context.desired.stack.host;
    let Some(observed) = &context.stack_facts.stack else {
        return Vec::new();
    };
    let mut warnings = replaced_volumes(context, observed);
    warnings.extend(spelled_out_secrets(context.desired));
    warnings.extend(super::secrets::used_up(context.desired, context.observed).into_iter().map(|secret| {
        format!(
            "the sidecar on host `{host}` has lost its node's state, and secret `{}` is used up: restore the volume, or make another key and `{}`",
            secret.name,
            super::secrets::command(secret)
        )
    }));
    if !context.choices.remove_orphans {
        warnings.extend(super::stack::orphans(context.stack, observed).into_iter().map(|orphan| {
            format!(
                "container `{}` on host `{host}` belongs to no service of the stack and is left alone (`--remove-orphans` removes it)",
                orphan.container_name
            )
        }));
    }
    warnings.extend(observed.foreign.iter().map(|container| {
        format!(
            "container `{}` on host `{host}` bears the stack's name, was not made by omni-scale, and is left alone",
            container.container_name
        )
    }));
    warnings
}

/// Data that a service would not find any more is the loudest that a plan can say.
fn replaced_volumes(context: &Context<'_>, observed: &v1::StackObservation) -> Vec<String> {
    let host = &context.desired.stack.host;
    let services = context.stack.start_order().into_iter();
    let replaced = services.flat_map(|service| {
        let replaced = difference::replaced_volumes(context.stack, service, observed);
        replaced.into_iter().map(|volume| (&service.name, volume))
    });
    replaced
        .map(|(service, volume)| {
            let advice = match &volume.after {
                Successor::New(_) | Successor::Nothing => {
                    "go back to the name before unless it shall begin anew, or copy the data first"
                }
                Successor::Present(_) | Successor::External(_) => {
                    "make sure that it holds what the service shall find"
                }
            };
            format!(
                "service `{service}` on host `{host}` LOSES SIGHT OF ITS DATA: {volume}; {advice}"
            )
        })
        .collect()
}

/// Variables that look like secrets by their name, and whose value is spelled out. The value is
/// never shown.
fn spelled_out_secrets(desired: &Desired) -> Vec<String> {
    let host = &desired.stack.host;
    let services = desired.stack.stack.services.iter();
    let variables = services.flat_map(|service| {
        let variables = service.environment.iter();
        variables.map(|variable| (&service.name, variable))
    });
    variables
        .filter(|(_, variable)| is_spelled_out_secret(variable))
        .map(|(service, variable)| {
            let name = &variable.name;
            format!(
                "variable `{name}` of service `{service}` spells a value out, which stands in plans and journals then: `omni-scale secret set {host} NAME`, and write `{{{{ secret \"NAME\" }}}}` instead"
            )
        })
        .collect()
}

fn is_spelled_out_secret(variable: &v1::EnvironmentVariable) -> bool {
    let ends = ["KEY", "TOKEN", "SECRET", "PASSWORD"];
    let name = variable.name.to_uppercase();
    let segments = variable.value.iter().flat_map(|text| &text.segments);
    let mut literals = segments.map(|segment| match &segment.part {
        Some(Part::Literal(text)) => Some(text.as_str()),
        Some(Part::Secret(_)) | None => None,
    });
    // A path says where the secret is, and an empty value is none.
    let spelled_out = literals
        .next()
        .flatten()
        .is_some_and(|text| !text.is_empty() && !text.starts_with('/'));
    ends.iter().any(|end| name.ends_with(end)) && spelled_out && literals.all(|one| one.is_some())
}

/// Containers of others that hold a name which a step must give to one of ours.
pub(super) fn foreign_in_the_way(
    context: &Context<'_>,
    steps: &[(Wave, Draft)],
) -> Vec<PlanRefusal> {
    let Some(observed) = &context.stack_facts.stack else {
        return Vec::new();
    };
    let changes = steps.iter().flat_map(|(_, step)| &step.changes);
    changes
        .filter(|change| change.effect > Effect::None)
        .filter_map(|change| {
            let service = context.stack.service(&change.subject)?;
            let name = if service.container_name.is_empty() {
                format!("{}-{}-1", context.stack.name(), service.name)
            } else {
                service.container_name.clone()
            };
            let mut foreign = observed.foreign.iter();
            foreign.find(|container| container.container_name == name)?;
            Some(PlanRefusal::ForeignContainer {
                host: context.desired.stack.host.clone(),
                container: name,
                service: service.name.clone(),
            })
        })
        .collect()
}
