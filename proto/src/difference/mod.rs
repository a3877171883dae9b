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
mod tests {
    use super::*;
    use crate::stack::examples;

    fn running(service: &v1::Service) -> v1::ServiceObservation {
        v1::ServiceObservation {
            service: service.name.clone(),
            state: ContainerState::Running.into(),
            digest: service_digest(service).into(),
            applied: Some(service.clone()),
            namespace_of: namespace_of(service).unwrap_or_default().to_owned(),
            namespace_live: true,
            ..v1::ServiceObservation::default()
        }
    }

    fn observed(stack: &v1::Stack) -> v1::StackObservation {
        v1::StackObservation {
            known: true,
            name: stack.name.clone(),
            services: stack.services.iter().map(running).collect(),
            ..v1::StackObservation::default()
        }
    }

    fn difference(
        stack: &v1::Stack,
        scope: &[&str],
        observed: &v1::StackObservation,
    ) -> Vec<(String, ServiceAction, Effect)> {
        let scope: Vec<ServiceName> = scope.iter().map(|name| name.parse().unwrap()).collect();
        stack_difference(
            &CheckedStack::try_from(stack.clone()).unwrap(),
            &scope,
            observed,
        )
        .unwrap()
        .into_iter()
        .map(|change| (change.service.to_string(), change.action, change.effect))
        .collect()
    }

    fn container<'a>(
        observed: &'a mut v1::StackObservation,
        name: &str,
    ) -> &'a mut v1::ServiceObservation {
        observed
            .services
            .iter_mut()
            .find(|service| service.service == name)
            .unwrap()
    }

    #[test]
    fn a_stack_that_is_right_is_kept() {
        let stack = examples::omni();
        let changes = difference(&stack, &[], &observed(&stack));
        assert!(
            changes.iter().all(
                |(_, action, effect)| *action == ServiceAction::Keep && *effect == Effect::None
            )
        );
        assert_eq!(changes.len(), 3);
    }

    #[test]
    fn a_stack_that_is_absent_is_created_in_order() {
        let stack = examples::omni();
        let nothing = v1::StackObservation {
            known: true,
            ..v1::StackObservation::default()
        };
        let names: Vec<String> = difference(&stack, &[], &nothing)
            .into_iter()
            .map(|(name, ..)| name)
            .collect();
        assert_eq!(names, ["omni-tailscale", "omni", "proxmox-provider"]);
    }

    #[test]
    fn another_image_recreates_that_service_only() {
        let stack = examples::omni();
        let observed = observed(&stack);
        let mut newer = stack;
        newer.services[1].image = examples::image("omni", '2');
        let actions: Vec<ServiceAction> = difference(&newer, &[], &observed)
            .into_iter()
            .map(|(_, action, _)| action)
            .collect();
        assert_eq!(
            actions,
            [
                ServiceAction::Keep,
                ServiceAction::Recreate,
                ServiceAction::Keep
            ]
        );
    }

    #[test]
    fn a_recreated_sidecar_recreates_its_sharers() {
        let stack = examples::omni();
        let observed = observed(&stack);
        let mut newer = stack;
        newer.services[2].image = examples::image("tailscale", '2');
        let changes = difference(&newer, &[], &observed);
        assert!(
            changes
                .iter()
                .all(|(_, action, _)| *action == ServiceAction::Recreate),
            "{changes:?}"
        );
    }

    #[test]
    fn a_dead_namespace_is_seen_even_when_the_sidecar_is_out_of_scope() {
        let stack = examples::omni();
        let mut observed = observed(&stack);
        container(&mut observed, "omni").namespace_live = false;
        let changes = difference(&stack, &["omni"], &observed);
        assert_eq!(
            changes,
            [("omni".to_owned(), ServiceAction::Recreate, Effect::Recreate)]
        );
    }

    #[test]
    fn a_stopped_container_is_started_and_a_dead_one_recreated() {
        let stack = examples::omni();
        let mut observed = observed(&stack);
        container(&mut observed, "omni").set_state(ContainerState::Exited);
        container(&mut observed, "proxmox-provider").set_state(ContainerState::Dead);
        let actions: Vec<ServiceAction> = difference(&stack, &[], &observed)
            .into_iter()
            .map(|(_, action, _)| action)
            .collect();
        assert_eq!(
            actions,
            [
                ServiceAction::Keep,
                ServiceAction::Start,
                ServiceAction::Recreate
            ]
        );
    }

    #[test]
    fn a_one_shot_service_that_completed_is_kept() {
        let mut stack = examples::omni();
        stack.services.push(examples::service("migrate"));
        stack.services[1].depends_on.push(examples::after(
            "migrate",
            v1::DependencyCondition::CompletedSuccessfully,
        ));
        let mut observed = observed(&stack);
        container(&mut observed, "migrate").set_state(ContainerState::Exited);
        assert!(
            difference(&stack, &[], &observed)
                .iter()
                .all(|(_, action, _)| *action == ServiceAction::Keep)
        );
        container(&mut observed, "migrate").exit_code = 1;
        assert!(
            difference(&stack, &[], &observed)
                .iter()
                .any(|(_, action, _)| *action == ServiceAction::Start)
        );
    }

    #[test]
    fn a_service_that_ended_well_and_is_not_to_run_again_is_kept() {
        use v1::DependencyCondition as Condition;
        use v1::RestartPolicy as Restart;
        let action = |restart: Restart, exit_code: i32, needed: Option<Condition>| {
            let mut stack = examples::omni();
            let mut service = examples::service("init");
            service.set_restart(restart);
            stack.services.push(service);
            let after = needed.map(|condition| examples::after("init", condition));
            stack.services[1].depends_on.extend(after);
            let mut observed = observed(&stack);
            let container = container(&mut observed, "init");
            container.set_state(ContainerState::Exited);
            container.exit_code = exit_code;
            let changes = difference(&stack, &[], &observed);
            let mut changes = changes.into_iter();
            changes.find(|(name, ..)| name == "init").unwrap().1
        };
        for restart in [Restart::No, Restart::OnFailure] {
            for needed in [None, Some(Condition::Started)] {
                let told = format!("{restart:?} {needed:?}");
                assert_eq!(action(restart, 0, needed), ServiceAction::Keep, "{told}");
                assert_eq!(action(restart, 1, needed), ServiceAction::Start, "{told}");
            }
            let needed = Some(Condition::Healthy);
            assert_eq!(action(restart, 0, needed), ServiceAction::Start);
        }
        for restart in [Restart::Always, Restart::UnlessStopped] {
            assert_eq!(action(restart, 0, None), ServiceAction::Start);
        }
    }

    #[test]
    fn a_program_that_is_to_stay_is_started_though_it_ended_well() {
        let stops = |change: &dyn Fn(&mut v1::Service)| {
            let mut stack = examples::omni();
            let mut service = examples::service("database");
            service.set_restart(v1::RestartPolicy::No);
            change(&mut service);
            stack.services.push(service);
            let mut observed = observed(&stack);
            container(&mut observed, "database").set_state(ContainerState::Exited);
            let changes = difference(&stack, &[], &observed);
            let mut changes = changes.into_iter();
            changes.find(|(name, ..)| name == "database").unwrap().1
        };
        let checked = |test: &[&str]| v1::HealthCheck {
            test: test.iter().map(|word| (*word).to_owned()).collect(),
            ..v1::HealthCheck::default()
        };
        let shared = |service: &mut v1::Service| {
            service.network_mode = examples::sharer("database", "omni-tailscale").network_mode;
        };
        let health = |service: &mut v1::Service| {
            service.health_check = Some(checked(&["CMD", "/ready"]));
        };
        let no_health = |service: &mut v1::Service| {
            service.health_check = Some(checked(&["NONE"]));
        };
        assert_eq!(stops(&shared), ServiceAction::Start);
        assert_eq!(stops(&health), ServiceAction::Start);
        assert_eq!(stops(&no_health), ServiceAction::Keep);
        let mut stack = examples::omni();
        for service in &mut stack.services {
            service.set_restart(v1::RestartPolicy::No);
            service.depends_on.clear();
        }
        let mut observed = observed(&stack);
        container(&mut observed, "omni-tailscale").set_state(ContainerState::Exited);
        let changes = difference(&stack, &[], &observed);
        assert_eq!(
            changes[0].1,
            ServiceAction::Start,
            "its namespace is shared"
        );
    }

    #[test]
    fn a_changed_secret_recreates_and_is_named() {
        let stack = examples::omni();
        let mut observed = observed(&stack);
        container(&mut observed, "omni").changed_secrets = vec!["omni-client-secret".to_owned()];
        let checked = CheckedStack::try_from(stack).unwrap();
        let changes = stack_difference(&checked, &[], &observed).unwrap();
        assert_eq!(changes[1].reasons, ["secret `omni-client-secret` changed"]);
    }

    #[test]
    fn an_unknown_state_is_no_difference() {
        let checked = CheckedStack::try_from(examples::omni()).unwrap();
        let lost = v1::StackObservation {
            reason: "the Engine does not answer".to_owned(),
            ..v1::StackObservation::default()
        };
        let error = stack_difference(&checked, &[], &lost).unwrap_err();
        assert!(
            error.to_string().contains("the Engine does not answer"),
            "{error}"
        );
    }
}
