//! Which containers are stopped and started, and in which order. Pure.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::v1::ContainerState;

use super::ControlAction;
use crate::stack::engine::ContainerDetails;

/// What is done, in order: first all that stops, then all that starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Dependents first.
    pub(super) stop: Vec<String>,
    /// Dependencies first.
    pub(super) start: Vec<String>,
    /// Services that were not asked for, and why they are part of it.
    pub(super) along: BTreeMap<String, String>,
    /// Services that must run for all of it to have ended well, because they ran before it or
    /// before one that was broken off.
    pub(super) owed: BTreeSet<String>,
}

/// What is known of the starts, stops and restarts before this one.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    /// Services that ran before a start or restart that was broken off.
    pub(super) owed: BTreeSet<String>,
    /// When containers had started before this very operation was begun for the first time.
    pub(super) started: BTreeMap<String, i64>,
}

/// The plan for doing `action` with the services of `scope`, which all have a container, and for
/// making good what was broken off before.
pub(super) fn plan(
    order: &[&str],
    serving: &BTreeMap<String, ContainerDetails>,
    action: ControlAction,
    scope: &BTreeSet<String>,
    before: &Before,
) -> Plan {
    let owed = &before.owed;
    let runs = |service: &str| serving.get(service).is_some_and(has_process);
    let needs_start = |service: &str| {
        let running = serving
            .get(service)
            .is_some_and(ContainerDetails::is_running);
        !running || has_dead_namespace(service, serving)
    };
    let was_restarted = |service: &str| {
        let started = serving
            .get(service)
            .map(|container| container.started_at_milliseconds);
        let before = before.started.get(service);
        before.is_some_and(|before| started.is_some_and(|started| started != *before))
    };
    let asked: BTreeSet<&str> = scope
        .iter()
        .map(String::as_str)
        .filter(|service| match action {
            ControlAction::Stop => runs(service),
            ControlAction::Restart => !was_restarted(service) || needs_start(service),
            ControlAction::Start => needs_start(service),
        })
        .collect();
    let mut along = BTreeMap::new();
    let mut owners = asked.clone();
    if action != ControlAction::Stop {
        for service in owed {
            if serving.contains_key(service)
                && !asked.contains(service.as_str())
                && needs_start(service)
            {
                let reason = "starts too: it ran before a start or restart that was broken off";
                along.insert(service.clone(), reason.to_owned());
                owners.insert(service);
            }
        }
    }
    for (service, container) in serving {
        if owners.contains(service.as_str()) || !has_process(container) {
            continue;
        }
        let owner = container.namespace_container().and_then(|id| {
            owners
                .iter()
                .find(|owner| serving.get(**owner).is_some_and(|owner| owner.id == id))
        });
        if let Some(owner) = owner {
            let reason = format!(
                "{}s too: it shares the network namespace of `{owner}`, which ends now",
                if action == ControlAction::Stop {
                    "stop"
                } else {
                    "restart"
                }
            );
            along.insert(service.clone(), reason);
        }
    }
    let touched = |service: &&str| asked.contains(*service) || along.contains_key(*service);
    let in_order: Vec<String> = order
        .iter()
        .filter(|name| touched(name))
        .map(ToString::to_string)
        .collect();
    let stop: Vec<String> = in_order
        .iter()
        .rev()
        .filter(|service| runs(service))
        .cloned()
        .collect();
    let start = match action {
        ControlAction::Stop => Vec::new(),
        ControlAction::Start | ControlAction::Restart => in_order,
    };
    let owed = match action {
        // Whoever is stopped, or would lose its namespace now, is meant to be so.
        ControlAction::Stop => owed
            .iter()
            .filter(|service| !scope.contains(*service) && !shares_with(service, scope, serving))
            .cloned()
            .collect(),
        ControlAction::Start | ControlAction::Restart => {
            let again = owed.iter().filter(|service| start.contains(*service));
            stop.iter().chain(again).cloned().collect()
        }
    };
    Plan {
        stop,
        start,
        along,
        owed,
    }
}

/// Whether it was made for the network namespace of one of these.
fn shares_with(
    service: &str,
    owners: &BTreeSet<String>,
    serving: &BTreeMap<String, ContainerDetails>,
) -> bool {
    let owner = serving
        .get(service)
        .and_then(ContainerDetails::namespace_container);
    owner.is_some_and(|id| {
        owners
            .iter()
            .any(|owner| serving.get(owner).is_some_and(|owner| owner.id == id))
    })
}

/// It runs, in a namespace whose owner has been started again since.
fn has_dead_namespace(service: &str, serving: &BTreeMap<String, ContainerDetails>) -> bool {
    let Some(container) = serving.get(service) else {
        return false;
    };
    let owner = container
        .namespace_container()
        .and_then(|id| serving.values().find(|owner| owner.id == id));
    owner.is_some_and(|owner| {
        !owner.is_running() || owner.started_at_milliseconds > container.started_at_milliseconds
    })
}

fn has_process(container: &ContainerDetails) -> bool {
    matches!(
        container.state,
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting
    )
}

impl Plan {
    /// One line for people.
    pub(super) fn summary(&self, action: ControlAction) -> String {
        let (word, touched) = match action {
            ControlAction::Start => ("started", &self.start),
            ControlAction::Stop => ("stopped", &self.stop),
            ControlAction::Restart => ("restarted", &self.start),
        };
        if touched.is_empty() {
            return "nothing to do".to_owned();
        }
        format!("{word} {}", touched.join(", "))
    }
}
