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
}

/// The plan for doing `action` with the services of `scope`, which all have a container.
pub(super) fn plan(
    order: &[&str],
    serving: &BTreeMap<String, ContainerDetails>,
    action: ControlAction,
    scope: &BTreeSet<String>,
) -> Plan {
    let runs = |service: &str| serving.get(service).is_some_and(has_process);
    let asked: BTreeSet<&str> = scope
        .iter()
        .map(String::as_str)
        .filter(|service| match action {
            ControlAction::Stop => runs(service),
            ControlAction::Restart => true,
            ControlAction::Start => {
                let running = serving
                    .get(*service)
                    .is_some_and(ContainerDetails::is_running);
                !running || has_dead_namespace(service, serving)
            }
        })
        .collect();
    let mut along = BTreeMap::new();
    for (service, container) in serving {
        if asked.contains(service.as_str()) || !has_process(container) {
            continue;
        }
        let owner = container.namespace_container().and_then(|id| {
            asked
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
    let stop = in_order
        .iter()
        .rev()
        .filter(|service| runs(service))
        .cloned()
        .collect();
    let start = match action {
        ControlAction::Stop => Vec::new(),
        ControlAction::Start | ControlAction::Restart => in_order,
    };
    Plan { stop, start, along }
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
