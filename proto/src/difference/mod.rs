//! What must be done to a stack so that it is what it should be.
//!
//! Pure, and used on both sides: the plan shows it, the agent does it.

mod fields;
mod resources;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use resources::{
    ReplacedVolume, Successor, UnlikeNetwork, missing_networks, replaced_volumes, unlike_networks,
};

use crate::effect::{Effect, UnknownState};
use crate::id::ServiceName;
use crate::stack::{CheckedStack, namespace_of, service_digest};
use crate::v1::{self, ContainerState};

/// What is done to the container of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceAction {
    /// It is as it should be.
    Keep,
    /// There is none.
    Create,
    /// It is the right one, and does not run.
    Start,
    /// It is another one than it should be.
    Recreate,
}

/// One service's part of the difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// The service.
    pub service: ServiceName,
    /// What is done.
    pub action: ServiceAction,
    /// Why, for people; empty when nothing is done.
    pub reasons: Vec<String>,
    /// How much it disturbs.
    pub effect: Effect,
}

/// What must be done to `services` of the stack, in start order; an empty list means all.
///
/// A service whose namespace's owner is created, started or recreated here is recreated, and so
/// is one whose namespace is not the live one.
pub fn stack_difference(
    stack: &CheckedStack,
    services: &[ServiceName],
    observed: &v1::StackObservation,
) -> Result<Vec<ServiceChange>, UnknownState> {
    if !observed.known {
        return Err(UnknownState {
            subject: format!("stack `{}`", stack.name()),
            reason: observed.reason.clone(),
        });
    }
    let found: BTreeMap<&str, &v1::ServiceObservation> = observed
        .services
        .iter()
        .map(|service| (service.service.as_str(), service))
        .collect();
    let mut changes: Vec<ServiceChange> = Vec::new();
    for service in stack.start_order() {
        let name: ServiceName = service
            .name
            .parse()
            .expect("a checked stack has valid service names");
        if !services.is_empty() && !services.contains(&name) {
            continue;
        }
        let owner = namespace_of(service)
            .and_then(|owner| {
                changes
                    .iter()
                    .find(|change| change.service.as_str() == owner)
            })
            .filter(|change| change.action != ServiceAction::Keep);
        let change = match found.get(service.name.as_str()) {
            None => change(
                name,
                ServiceAction::Create,
                vec!["there is no container".to_owned()],
                Effect::Start,
            ),
            Some(container) => {
                let elsewhere = elsewhere(stack, service, observed);
                let one_shot = is_one_shot(stack, service);
                compare(name, service, container, owner, elsewhere, one_shot)
            }
        };
        changes.push(change);
    }
    Ok(changes)
}

const fn change(
    service: ServiceName,
    action: ServiceAction,
    reasons: Vec<String>,
    effect: Effect,
) -> ServiceChange {
    ServiceChange {
        service,
        action,
        reasons,
        effect,
    }
}

fn compare(
    name: ServiceName,
    desired: &v1::Service,
    container: &v1::ServiceObservation,
    owner: Option<&ServiceChange>,
    elsewhere: (Vec<String>, Effect),
    one_shot: bool,
) -> ServiceChange {
    let (mut reasons, mut effect) = elsewhere;
    if container.digest != service_digest(desired).as_str() {
        match &container.applied {
            Some(applied) => {
                reasons.extend(fields::differences(applied, desired));
                if fields::changes_identity(applied, desired) {
                    effect = Effect::Identity;
                }
            }
            None => reasons.push("what it was made from is not recorded, and differs".to_owned()),
        }
        if reasons.is_empty() {
            reasons.push("its digest differs".to_owned());
        }
    }
    reasons.extend(
        container
            .changed_secrets
            .iter()
            .map(|secret| format!("secret `{secret}` changed")),
    );
    if let Some(owner) = owner {
        reasons.push(format!(
            "shares the namespace of `{}`, which is new",
            owner.service
        ));
    } else if namespace_of(desired).is_some() && !container.namespace_live {
        reasons.push(format!(
            "its namespace is not that of the live `{}`",
            container.namespace_of
        ));
    }
    if !reasons.is_empty() {
        return change(name, ServiceAction::Recreate, reasons, effect);
    }
    let stopped = |state: &str| {
        change(
            name.clone(),
            ServiceAction::Start,
            vec![format!("it is {state}")],
            Effect::Start,
        )
    };
    match container.state() {
        ContainerState::Running => change(name, ServiceAction::Keep, Vec::new(), Effect::None),
        ContainerState::Exited if one_shot && container.exit_code == 0 => {
            change(name, ServiceAction::Keep, Vec::new(), Effect::None)
        }
        ContainerState::Created => stopped("created and was never started"),
        ContainerState::Exited => {
            stopped(&format!("stopped, with exit code {}", container.exit_code))
        }
        ContainerState::Paused => stopped("paused"),
        // An Engine that was killed may have lost track of the container's process: then it ends each
        // new one as well, and only another container helps.
        ContainerState::Restarting => change(
            name,
            ServiceAction::Recreate,
            vec!["it is in a restart loop".to_owned()],
            Effect::Recreate,
        ),
        ContainerState::Removing | ContainerState::Dead | ContainerState::Unspecified => change(
            name,
            ServiceAction::Recreate,
            vec!["it is dead".to_owned()],
            Effect::Recreate,
        ),
    }
}

/// Why a container does not stand on what it should, and what changing that does.
fn elsewhere(
    stack: &CheckedStack,
    service: &v1::Service,
    observed: &v1::StackObservation,
) -> (Vec<String>, Effect) {
    let volumes = replaced_volumes(stack, service, observed);
    let effect = if volumes.is_empty() {
        Effect::Recreate
    } else {
        Effect::Identity
    };
    let mut reasons: Vec<String> = volumes.iter().map(ToString::to_string).collect();
    let networks = missing_networks(stack, service, observed);
    let joined = networks
        .iter()
        .map(|name| format!("network `{name}` is to be joined"));
    reasons.extend(joined);
    (reasons, effect)
}

/// Whether a service of the stack has done its work once it has exited with 0: it is no program
/// that is to stay.
///
/// That is what others wait for to complete. It is also what nobody starts again and nobody could
/// be served by: no restart policy that starts it after success, no health that is looked at, no
/// published port, and no network namespace that is shared with others.
pub fn is_one_shot(stack: &CheckedStack, service: &v1::Service) -> bool {
    use v1::{DependencyCondition as Condition, RestartPolicy as Restart};
    let services = &stack.as_wire().services;
    let is_needed = |condition: Condition| {
        let needs = services.iter().flat_map(|other| &other.depends_on);
        needs
            .filter(|need| need.service == service.name)
            .any(|need| need.condition() == condition)
    };
    if is_needed(Condition::CompletedSuccessfully) {
        return true;
    }
    // A program that is to stay ends with 0 too when somebody stops it, and is to be started then.
    let stays = match service.restart() {
        Restart::Always | Restart::UnlessStopped => true,
        Restart::Unspecified | Restart::No | Restart::OnFailure => false,
    };
    let shares = namespace_of(service).is_some() || !stack.sharers_of(&service.name).is_empty();
    let health = service.health_check.as_ref();
    let is_looked_at =
        health.is_some_and(|check| check.test.first().is_none_or(|word| word != "NONE"));
    !stays && !shares && !is_looked_at && !is_needed(Condition::Healthy) && service.ports.is_empty()
}

#[cfg(test)]
mod tests;
