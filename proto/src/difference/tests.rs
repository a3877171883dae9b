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
        changes
            .iter()
            .all(|(_, action, effect)| *action == ServiceAction::Keep && *effect == Effect::None)
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
