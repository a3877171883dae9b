//! Which service belongs to which wave.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::stack::namespace_of;
use omni_scale_proto::v1;

use super::desired::{DesiredStack, Wave};

/// Each service's wave.
///
/// The sidecar and what it needs are the sidecar's wave; the provider and what needs it are the
/// provider's; everything else comes with Omni, so that it is there even when the plan ends
/// before the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    waves: BTreeMap<String, Wave>,
}

impl Parts {
    /// Of the services of a stack.
    pub(crate) fn of(wanted: &DesiredStack) -> Self {
        let services = &wanted.stack.services;
        let before = needed_by(services, wanted.sidecar.as_str());
        let needed = needed_by(services, wanted.omni.as_str());
        let after = wanted
            .provider
            .as_ref()
            .map(|provider| needing(services, provider.as_str()))
            .unwrap_or_default();
        let waves = services
            .iter()
            .map(|service| {
                let name = service.name.as_str();
                let wave = if before.contains(name) {
                    Wave::Sidecar
                } else if after.contains(name) && !needed.contains(name) {
                    Wave::Provider
                } else {
                    Wave::Omni
                };
                (name.to_owned(), wave)
            })
            .collect();
        Self { waves }
    }

    /// The wave of a service.
    pub(crate) fn wave(&self, service: &str) -> Wave {
        self.waves.get(service).copied().unwrap_or(Wave::Omni)
    }
}

/// A service and everything it needs, directly or not.
fn needed_by<'a>(services: &'a [v1::Service], name: &'a str) -> BTreeSet<&'a str> {
    closed(name, |found| {
        services
            .iter()
            .filter(|service| found.contains(service.name.as_str()))
            .flat_map(needs)
            .collect()
    })
}

/// A service and everything that needs it, directly or not.
fn needing<'a>(services: &'a [v1::Service], name: &'a str) -> BTreeSet<&'a str> {
    closed(name, |found| {
        services
            .iter()
            .filter(|service| needs(service).any(|needed| found.contains(needed)))
            .map(|service| service.name.as_str())
            .collect()
    })
}

/// What is found from one on, until nothing new is.
fn closed<'a>(
    first: &'a str,
    further: impl Fn(&BTreeSet<&'a str>) -> BTreeSet<&'a str>,
) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::from([first]);
    loop {
        let before = found.len();
        let more = further(&found);
        found.extend(more);
        if found.len() == before {
            return found;
        }
    }
}

fn needs(service: &v1::Service) -> impl Iterator<Item = &str> {
    service
        .depends_on
        .iter()
        .map(|dependency| dependency.service.as_str())
        .chain(namespace_of(service))
}
