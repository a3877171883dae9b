//! Views as rows of a table. Pure.
//!
//! Only what has proven itself is good: a unit whose verification passed, a service whose own
//! health is known. What merely runs is to be looked at, and what is not known is unknown.

use omni_scale_proto::v1;

use super::row::{Row, State, lost, row, waiting};
use super::view::{HostView, Seen, ServiceView, StackView, UNIT_HEALTH};
use crate::agents::grpc::Health;

/// How long a product's own answer stands for how it is when nobody can tell now. While somebody
/// watches, agents ask twice in that time.
const FRESH_MILLISECONDS: i64 = 30_000;

/// All hosts as rows.
pub(super) fn rows(views: &[HostView]) -> Vec<Row> {
    views.iter().flat_map(host_rows).collect()
}

fn host_rows(view: &HostView) -> Vec<Row> {
    let mut rows = vec![agent_row(view)];
    if let Seen::Known(described) = &view.describe {
        rows.push(tailnet_row(view, described.tailnet.as_ref()));
    }
    if let Some(unit) = &view.unit {
        rows.push(unit_row(view, unit));
    }
    if let Some(stack) = &view.stack {
        rows.extend(stack_rows(view, stack));
    }
    if let Some(machines) = &view.machines {
        rows.extend(super::machines::rows(view, machines));
    }
    rows
}

fn agent_row(view: &HostView) -> Row {
    let described = match &view.describe {
        Seen::Waiting => return waiting(view, "agent"),
        Seen::Lost(reason) => return lost(view, "agent", reason),
        Seen::Known(described) => described,
    };
    let mut detail = vec![format!("version {}", described.agent_version)];
    if let Some(lease) = &described.lease {
        detail.push(format!("lease held by {}", lease.holder));
    }
    for target in &described.targets {
        if !target.running_operation_id.is_empty() {
            detail.push(format!("an operation runs on {}", target.target));
        }
    }
    let (state, word) = if described.damage.is_empty() {
        (State::Good, "serving")
    } else {
        detail.insert(0, described.damage.clone());
        (State::Bad, "damaged")
    };
    let end = crate::output::date(described.certificate_not_after_milliseconds);
    if let Some((day, _)) = end.split_once('T') {
        detail.push(format!("certificate until {day}"));
    }
    Row {
        since: described
            .lease
            .as_ref()
            .map_or(0, |lease| lease.since_milliseconds),
        detail: detail.join(", "),
        ..row(view, "agent", state, word)
    }
}

fn tailnet_row(view: &HostView, tailnet: Option<&v1::TailnetStatus>) -> Row {
    match tailnet {
        Some(tailnet) => super::node::row(view, "tailnet", tailnet),
        None => lost(view, "tailnet", "the agent does not say"),
    }
}

fn unit_row(view: &HostView, unit: &Seen<v1::UnitObservation>) -> Row {
    let unit = match unit {
        Seen::Waiting => return waiting(view, "tsidp"),
        Seen::Lost(reason) => return lost(view, "tsidp", reason),
        Seen::Known(unit) if !unit.known => return lost(view, "tsidp", &unit.reason),
        Seen::Known(unit) => unit,
    };
    let mut detail = Vec::new();
    let (state, word) = match unit.active_state.as_str() {
        "active" => {
            let summary = unit.verification.as_ref().map(|seen| seen.summary.clone());
            detail.extend(summary);
            with_node(verified(view, unit), &unit.node_conditions)
        }
        "activating" | "reloading" => (State::Attention, "starting"),
        "deactivating" => (State::Attention, "stopping"),
        "failed" => {
            detail.push(format!("{}, status {}", unit.result, unit.exec_main_status));
            (State::Bad, "failed")
        }
        "inactive" => (State::Bad, "stopped"),
        _ => (State::Unknown, "unknown"),
    };
    if unit.restarts > 0 {
        detail.push(format!("{} restarts", unit.restarts));
    }
    if unit.drifted {
        detail.push("differs on disk from what was applied".to_owned());
    }
    detail.extend(super::node::said(&unit.node_conditions));
    detail.retain(|text| !text.is_empty());
    Row {
        since: unit.active_since_milliseconds,
        detail: detail.join(", "),
        ..row(view, "tsidp", state, word)
    }
}

/// A unit that is active: its product's own answer decides.
fn verified(view: &HostView, unit: &v1::UnitObservation) -> (State, &'static str) {
    use v1::VerificationStatus as Status;
    let verification = unit.verification.clone().unwrap_or_default();
    match (health(view, UNIT_HEALTH), verification.status()) {
        (Health::NotServing, _) | (Health::Unknown, Status::Failed) => (State::Bad, "failing"),
        (Health::Serving, _) => (State::Good, "healthy"),
        (Health::Unknown, Status::Passed) if is_fresh(view, &verification) => {
            (State::Good, "healthy")
        }
        (Health::Unknown, _) => (State::Attention, "not verified"),
    }
}

/// Whether an answer still says something, by the clock of the host that it was given on.
fn is_fresh(view: &HostView, verification: &v1::Verification) -> bool {
    let Seen::Known(described) = &view.describe else {
        return false;
    };
    let checked = verification.checked_at_milliseconds;
    checked > 0 && described.clock_milliseconds.saturating_sub(checked) <= FRESH_MILLISECONDS
}

fn health(view: &HostView, name: &str) -> Health {
    view.health.get(name).copied().unwrap_or(Health::Unknown)
}

fn stack_rows(view: &HostView, stack: &StackView) -> Vec<Row> {
    let every = |row: &dyn Fn(&str) -> Row| -> Vec<Row> {
        stack
            .services
            .iter()
            .map(|service| row(&service.name))
            .collect()
    };
    let observation = match &stack.observation {
        Seen::Waiting => return every(&|name| waiting(view, name)),
        Seen::Lost(reason) => return every(&|name| lost(view, name, reason)),
        Seen::Known(observation) if !observation.known => {
            return every(&|name| lost(view, name, &observation.reason));
        }
        Seen::Known(observation) => observation,
    };
    let mut rows: Vec<Row> = stack
        .services
        .iter()
        .map(|service| {
            let mut services = observation.services.iter();
            match services.find(|seen| seen.service == service.name) {
                Some(seen) => service_row(view, service, seen),
                None => row(view, &service.name, State::Bad, "absent"),
            }
        })
        .collect();
    let left = |summary: &v1::ContainerSummary, word: &str| Row {
        detail: summary.state.clone(),
        ..row(view, &summary.container_name, State::Attention, word)
    };
    rows.extend(
        observation
            .orphans
            .iter()
            .map(|summary| left(summary, "orphan")),
    );
    rows.extend(
        observation
            .foreign
            .iter()
            .map(|summary| left(summary, "foreign")),
    );
    rows
}

fn service_row(view: &HostView, service: &ServiceView, seen: &v1::ServiceObservation) -> Row {
    use v1::ContainerState as Container;
    let mut detail = Vec::new();
    let (state, word) = match seen.state() {
        Container::Running => with_node(
            running(health(view, &service.health_name), seen),
            &seen.node_conditions,
        ),
        Container::Created => (State::Attention, "created"),
        Container::Restarting => (State::Bad, "restarting"),
        Container::Paused => (State::Bad, "paused"),
        Container::Removing => (State::Attention, "removing"),
        Container::Exited | Container::Dead => {
            detail.push(format!("exit code {}", seen.exit_code));
            (State::Bad, "stopped")
        }
        Container::Unspecified => (State::Unknown, "unknown"),
    };
    if let Some(image) = seen.applied.as_ref().map(|applied| applied.image.as_str()) {
        detail.push(image.split('@').next().unwrap_or(image).to_owned());
    }
    if seen.restarts > 0 {
        detail.push(format!("{} restarts", seen.restarts));
    }
    if !seen.changed_secrets.is_empty() {
        detail.push(format!(
            "changed since: {}",
            seen.changed_secrets.join(", ")
        ));
    }
    detail.extend(super::node::said(&seen.node_conditions));
    Row {
        since: seen.started_at_milliseconds,
        detail: detail.join(", "),
        ..row(view, &service.name, state, word)
    }
}

/// What has a tailnet node in it is as good as that node, and never better.
fn with_node(runs: (State, &'static str), node: &[v1::NodeCondition]) -> (State, &'static str) {
    match super::node::judge(node) {
        Some(node) if runs.0 != State::Bad => node,
        _ => runs,
    }
}

/// A container that runs: its namespace, then its product's own answer, then its health check.
fn running(health: Health, seen: &v1::ServiceObservation) -> (State, &'static str) {
    use v1::ContainerHealth as Check;
    if !seen.namespace_of.is_empty() && !seen.namespace_live {
        return (State::Bad, "dead namespace");
    }
    match (health, seen.health()) {
        (_, Check::Starting) => (State::Attention, "starting"),
        (Health::NotServing, _) | (_, Check::Unhealthy) => (State::Bad, "unhealthy"),
        (Health::Serving, _) | (Health::Unknown, Check::Healthy) => (State::Good, "healthy"),
        (Health::Unknown, _) => (State::Attention, "not verified"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn view() -> HostView {
        HostView {
            host: "omni-host".parse().unwrap(),
            describe: Seen::Known(v1::DescribeResponse {
                agent_version: "0.1.0".to_owned(),
                tailnet: Some(v1::TailnetStatus {
                    state: v1::TailnetState::Running.into(),
                    ipv4: "100.64.0.2".to_owned(),
                    ..v1::TailnetStatus::default()
                }),
                ..v1::DescribeResponse::default()
            }),
            unit: None,
            stack: None,
            machines: None,
            health: BTreeMap::new(),
        }
    }

    fn service(state: v1::ContainerState, health: v1::ContainerHealth) -> v1::ServiceObservation {
        v1::ServiceObservation {
            service: "omni".to_owned(),
            state: state.into(),
            health: health.into(),
            namespace_live: true,
            ..v1::ServiceObservation::default()
        }
    }

    fn with_stack(observation: v1::StackObservation, health: Option<Health>) -> Vec<Row> {
        let mut view = view();
        view.stack = Some(StackView {
            name: "omni".parse().unwrap(),
            services: vec![ServiceView {
                name: "omni".to_owned(),
                health_name: "omni".to_owned(),
            }],
            observation: Seen::Known(observation),
        });
        view.health
            .extend(health.map(|health| ("omni".to_owned(), health)));
        rows(&[view]).split_off(2)
    }

    fn known(services: Vec<v1::ServiceObservation>) -> v1::StackObservation {
        v1::StackObservation {
            known: true,
            services,
            ..v1::StackObservation::default()
        }
    }

    #[test]
    fn a_host_that_does_not_answer_is_unknown_in_all_its_parts() {
        let mut view = view();
        view.describe = Seen::Lost("no answer".to_owned());
        view.unit = Some(Seen::Lost("no answer".to_owned()));
        let rows = rows(&[view]);
        assert_eq!(rows.len(), 2);
        assert!(
            rows.iter()
                .all(|row| row.state == State::Unknown && row.detail == "no answer")
        );
    }

    #[test]
    fn an_agent_that_takes_no_change_is_bad_and_says_why() {
        let mut view = view();
        let Seen::Known(described) = &mut view.describe else {
            unreachable!("it answers")
        };
        described.damage = "the ledger is damaged".to_owned();
        let rows = rows(&[view]);
        assert_eq!(
            (rows[0].state, rows[0].word.as_str()),
            (State::Bad, "damaged")
        );
        assert!(rows[0].detail.starts_with("the ledger is damaged"));
    }

    #[test]
    fn what_runs_is_good_only_when_it_has_proven_itself() {
        use v1::ContainerHealth as Check;
        use v1::ContainerState::Running;
        for (health, check, state) in [
            (Some(Health::Serving), Check::None, State::Good),
            (Some(Health::NotServing), Check::Healthy, State::Bad),
            (Some(Health::Unknown), Check::None, State::Attention),
            (None, Check::None, State::Attention),
            (None, Check::Healthy, State::Good),
            (Some(Health::Serving), Check::Unhealthy, State::Bad),
            (Some(Health::NotServing), Check::Starting, State::Attention),
        ] {
            let rows = with_stack(known(vec![service(Running, check)]), health);
            assert_eq!(rows[0].state, state, "{health:?} {check:?}");
        }
    }

    #[test]
    fn a_sidecar_is_as_good_as_its_node() {
        let mut sidecar = service(v1::ContainerState::Running, v1::ContainerHealth::Healthy);
        sidecar.node_conditions = vec![v1::NodeCondition {
            kind: v1::NodeConditionKind::KeyExpired.into(),
            severity: v1::NodeConditionSeverity::Failed.into(),
            summary: "has an expired key".to_owned(),
            fix: "a new one".to_owned(),
            code: String::new(),
        }];
        let rows = with_stack(known(vec![sidecar]), None);
        assert_eq!(
            (rows[0].state, rows[0].word.as_str()),
            (State::Bad, "key expired")
        );
        assert!(rows[0].detail.contains("has an expired key: a new one"));
    }

    #[test]
    fn a_sharer_of_a_dead_namespace_is_bad_whatever_it_says() {
        let mut sharer = service(v1::ContainerState::Running, v1::ContainerHealth::Healthy);
        sharer.namespace_of = "omni-tailscale".to_owned();
        sharer.namespace_live = false;
        let rows = with_stack(known(vec![sharer]), Some(Health::Serving));
        assert_eq!(
            (rows[0].state, rows[0].word.as_str()),
            (State::Bad, "dead namespace")
        );
    }

    #[test]
    fn a_missing_container_is_absent_and_an_engine_without_answer_unknown() {
        let rows = with_stack(known(Vec::new()), None);
        assert_eq!(
            (rows[0].state, rows[0].word.as_str()),
            (State::Bad, "absent")
        );
        let silent = v1::StackObservation {
            reason: "the Engine does not answer".to_owned(),
            ..v1::StackObservation::default()
        };
        let rows = with_stack(silent, Some(Health::Serving));
        assert_eq!(rows[0].state, State::Unknown);
    }

    #[test]
    fn a_unit_is_healthy_when_its_own_answer_was_seen() {
        use v1::VerificationStatus as Status;
        const NOW: i64 = 1_700_000_000_000;
        let seen = |active_state: &str, status: v1::VerificationStatus, age: i64, health| {
            let mut view = view();
            if let Seen::Known(described) = &mut view.describe {
                described.clock_milliseconds = NOW;
            }
            view.health.insert(UNIT_HEALTH.to_owned(), health);
            view.unit = Some(Seen::Known(v1::UnitObservation {
                known: true,
                active_state: active_state.to_owned(),
                verification: Some(v1::Verification {
                    status: status.into(),
                    checked_at_milliseconds: NOW - age,
                    ..v1::Verification::default()
                }),
                ..v1::UnitObservation::default()
            }));
            rows(&[view])[2].state
        };
        let unit = |active_state, status| seen(active_state, status, 5_000, Health::Unknown);
        assert_eq!(unit("active", Status::Passed), State::Good);
        assert_eq!(unit("active", Status::Unknown), State::Attention);
        assert_eq!(unit("active", Status::Failed), State::Bad);
        assert_eq!(unit("failed", Status::Passed), State::Bad);
        assert_eq!(unit("odd", Status::Passed), State::Unknown);
        let passed = |age, health| seen("active", Status::Passed, age, health);
        assert_eq!(passed(60_000, Health::Unknown), State::Attention);
        assert_eq!(passed(NOW, Health::Unknown), State::Attention, "no time");
        assert_eq!(passed(-1_000, Health::Unknown), State::Good);
        assert_eq!(passed(60_000, Health::Serving), State::Good);
    }
}
