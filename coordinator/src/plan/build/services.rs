//! Which service belongs to which wave.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::id::ServiceName;
use omni_scale_proto::stack::{CheckedStack, namespace_of};
use omni_scale_proto::v1;

use crate::plan::desired::{Desired, Wave};
use crate::plan::refusal::DesiredError;

/// Each service's wave.
///
/// The sidecar and what it needs are the sidecar's wave; the provider and what needs it are the
/// provider's; everything else comes with Omni, so that it is there even when the plan ends
/// before the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    waves: BTreeMap<ServiceName, Wave>,
}

impl Parts {
    pub(super) fn of(desired: &Desired, stack: &CheckedStack) -> Result<Self, DesiredError> {
        let wanted = &desired.stack;
        let played = [
            (Some(&wanted.sidecar), "sidecar"),
            (Some(&wanted.omni), "omni"),
        ];
        for (service, part) in played
            .into_iter()
            .chain([(wanted.provider.as_ref(), "provider")])
        {
            if let Some(service) = service
                && stack.service(service.as_str()).is_none()
            {
                return Err(DesiredError::NoSuchService {
                    service: service.to_string(),
                    part,
                });
            }
        }
        let before = needed_by(stack, wanted.sidecar.as_str());
        let needed = needed_by(stack, wanted.omni.as_str());
        let after = wanted
            .provider
            .as_ref()
            .map(|provider| needing(stack, provider.as_str()))
            .unwrap_or_default();
        let waves = names(stack)
            .map(|name| {
                let wave = if before.contains(name.as_str()) {
                    Wave::Sidecar
                } else if after.contains(name.as_str()) && !needed.contains(name.as_str()) {
                    Wave::Provider
                } else {
                    Wave::Omni
                };
                (name, wave)
            })
            .collect();
        Ok(Self { waves })
    }

    pub(super) fn wave(&self, service: &ServiceName) -> Wave {
        self.waves.get(service).copied().unwrap_or(Wave::Omni)
    }
}

/// The names of all services, in start order.
pub(super) fn names(stack: &CheckedStack) -> impl Iterator<Item = ServiceName> {
    stack.start_order().into_iter().map(name_of)
}

/// A service's name.
pub(super) fn name_of(service: &v1::Service) -> ServiceName {
    service
        .name
        .parse()
        .expect("a checked stack has valid service names")
}

/// A service and everything it needs, directly or not.
fn needed_by(stack: &CheckedStack, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from([name.to_owned()]);
    // Start order puts needs first, so one way back finds all of them.
    for service in stack.start_order().into_iter().rev() {
        if found.contains(&service.name) {
            found.extend(needs(service).map(str::to_owned));
        }
    }
    found
}

/// A service and everything that needs it, directly or not.
fn needing(stack: &CheckedStack, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from([name.to_owned()]);
    for service in stack.start_order() {
        if needs(service).any(|needed| found.contains(needed)) {
            found.insert(service.name.clone());
        }
    }
    found
}

fn needs(service: &v1::Service) -> impl Iterator<Item = &str> {
    service
        .depends_on
        .iter()
        .map(|dependency| dependency.service.as_str())
        .chain(namespace_of(service))
}
