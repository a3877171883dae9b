//! What a plan was built on. When it is different later, the plan is not run.
//!
//! Never measurements: a clock, free memory or a container's health may change without the plan
//! becoming wrong.

use std::collections::BTreeMap;

use omni_scale_proto::id::{HostName, SecretName};
use omni_scale_proto::operation::Target;
use omni_scale_proto::v1::{self, MachinePresence};
use serde::{Deserialize, Serialize};

use super::observed::{HostFacts, HostObservation, HostScope, Observed, Scope};

/// The facts that a plan stands on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// By host.
    pub hosts: BTreeMap<HostName, HostBasis>,
}

/// The facts about one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostBasis {
    /// Contents of /etc/machine-id.
    pub machine_id: String,
    /// Of the targets that the plan looks at; 0: never touched.
    pub generations: BTreeMap<Target, u64>,
    /// Sums of the unit's program and of each service as created; `-` when there is none.
    pub specifications: BTreeMap<String, String>,
    /// What the host's Engine says that each image reference is.
    pub images: BTreeMap<String, String>,
    /// Whether each machine is there, and its UUID.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub machines: BTreeMap<String, String>,
    /// Keyed digests of the secrets that the plan builds on; `-` when one is not set, `used` when
    /// a one-time key is gone.
    pub secrets: BTreeMap<SecretName, String>,
}

/// One fact that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deviation {
    /// The host.
    pub host: HostName,
    /// Which fact.
    pub fact: String,
    /// What the plan was built on.
    pub planned: String,
    /// What is found now.
    pub found: String,
}

impl Basis {
    /// The basis that an observation gives.
    pub fn of(scope: &Scope, observed: &Observed) -> Self {
        let hosts = scope
            .hosts
            .iter()
            .filter_map(|(host, asked)| match observed.hosts.get(host)? {
                HostObservation::Reached(facts) => {
                    Some((host.clone(), HostBasis::of(asked, facts)))
                }
                HostObservation::Unreachable { .. }
                | HostObservation::Silent { .. }
                | HostObservation::NotEnrolled => None,
            })
            .collect();
        Self { hosts }
    }

    /// Every fact that differs, in a stable order.
    pub fn deviations(&self, now: &Self) -> Vec<Deviation> {
        let nowhere = HostBasis::default();
        self.hosts
            .iter()
            .flat_map(|(host, planned)| {
                planned.deviations(host, now.hosts.get(host).unwrap_or(&nowhere))
            })
            .collect()
    }
}

impl HostBasis {
    fn of(asked: &HostScope, facts: &HostFacts) -> Self {
        let mut basis = Self {
            machine_id: facts.describe.machine_id.clone(),
            ..Self::default()
        };
        if asked.unit {
            basis
                .generations
                .insert(Target::Unit, facts.generation(&Target::Unit));
        }
        if let Some(unit) = &facts.unit {
            basis
                .specifications
                .insert("tsidp program".to_owned(), or_dash(&unit.artifact_sha256));
        }
        if let Some(stack) = &asked.stack {
            let target = Target::Stack(stack.name.clone());
            let generation = facts.generation(&target);
            basis.generations.insert(target, generation);
        }
        if let Some(stack) = &facts.stack {
            for service in &stack.services {
                basis.specifications.insert(
                    format!("service {}", service.service),
                    or_dash(&service.digest),
                );
            }
            for image in &stack.images {
                basis
                    .images
                    .insert(image.reference.clone(), or_dash(&image.resolved));
            }
        }
        if asked.client.is_some() {
            let generation = facts.generation(&Target::Client);
            basis.generations.insert(Target::Client, generation);
            let client = facts.client.as_ref();
            let found = client.map_or(String::new(), |client| client.client_id.clone());
            basis
                .specifications
                .insert("omni client".to_owned(), or_dash(&found));
        }
        for name in asked.machines.iter().flat_map(|asked| &asked.names) {
            let target = Target::Machine(name.clone());
            let generation = facts.generation(&target);
            basis.generations.insert(target, generation);
            let machine = facts.machine(name.as_str());
            basis.machines.insert(name.to_string(), presence(machine));
        }
        for name in &asked.secrets {
            let value = match facts.secret(name.as_str()) {
                Some(secret) if secret.consumed => "used",
                Some(secret) if !secret.candidate => &secret.keyed_digest,
                Some(_) | None => "-",
            };
            basis.secrets.insert(name.clone(), value.to_owned());
        }
        basis
    }

    fn deviations(&self, host: &HostName, now: &Self) -> Vec<Deviation> {
        let mut facts = vec![(
            "machine id".to_owned(),
            self.machine_id.clone(),
            or_dash(&now.machine_id),
        )];
        for (target, generation) in &self.generations {
            let found = now.generations.get(target).copied().unwrap_or_default();
            facts.push((
                format!("generation of {target}"),
                generation.to_string(),
                found.to_string(),
            ));
        }
        facts.extend(pairs("", &self.specifications, &now.specifications));
        facts.extend(pairs("image ", &self.images, &now.images));
        facts.extend(pairs("machine ", &self.machines, &now.machines));
        facts.extend(self.secrets.iter().map(|(name, planned)| {
            let found = now.secrets.get(name).map_or("-", String::as_str);
            (format!("secret {name}"), planned.clone(), found.to_owned())
        }));
        facts
            .into_iter()
            .filter(|(_, planned, found)| planned != found)
            .map(|(fact, planned, found)| Deviation {
                host: host.clone(),
                fact,
                planned,
                found,
            })
            .collect()
    }
}

fn pairs(
    kind: &str,
    planned: &BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
) -> Vec<(String, String, String)> {
    let names: std::collections::BTreeSet<&String> = planned.keys().chain(found.keys()).collect();
    let value =
        |map: &BTreeMap<String, String>, name| map.get(name).map_or("-", String::as_str).to_owned();
    names
        .into_iter()
        .map(|name| {
            (
                format!("{kind}{name}"),
                value(planned, name),
                value(found, name),
            )
        })
        .collect()
}

/// Where a machine is, and what it has, may change: which one it is may not.
fn presence(machine: Option<&v1::MachineObservation>) -> String {
    let Some(machine) = machine else {
        return "-".to_owned();
    };
    let word = match machine.presence() {
        MachinePresence::Absent => "absent",
        MachinePresence::Creating => "begun",
        MachinePresence::Present => "there",
        MachinePresence::Unknown | MachinePresence::Unspecified => return "-".to_owned(),
    };
    format!("{word}, {}", machine.uuid)
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}
