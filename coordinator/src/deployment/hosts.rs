//! `hosts`: the machines that a deployment declares, and what they are for.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::id::HostName;
use omni_scale_proto::role::HostRole;

use super::model::Host;
use super::values::{DnsName, NodeName};
use crate::document::{Fields, Location, nearest};

/// The hosts that a deployment declares.
pub(super) struct Hosts<'a> {
    pub(super) declared: BTreeMap<HostName, Declared<'a>>,
}

/// One of them, as it is written.
pub(super) struct Declared<'a> {
    pub(super) location: &'a Location,
    pub(super) roles: BTreeSet<HostRole>,
    /// None when its problem is in the report.
    pub(super) dns_name: Option<DnsName>,
}

impl Hosts<'_> {
    pub(super) fn into_model(self) -> Option<BTreeMap<HostName, Host>> {
        self.declared
            .into_iter()
            .map(
                |(
                    name,
                    Declared {
                        roles, dns_name, ..
                    },
                )| {
                    let dns_name = dns_name?;
                    Some((name, Host { roles, dns_name }))
                },
            )
            .collect()
    }

    /// Whether there is a host of this name.
    pub(super) fn declares(&self, name: &HostName) -> bool {
        self.declared.contains_key(name)
    }

    /// The host that `host:` names, which must be declared with `role`.
    pub(super) fn reference(&self, fields: &Fields<'_>, role: HostRole) -> Option<HostName> {
        let node = fields.required("host")?;
        let name: HostName = fields.report().parsed(node)?;
        match self.declared.get(&name) {
            Some(declared) if declared.roles.contains(&role) => Some(name),
            Some(_) => {
                fields.report().add_with_hint(
                    &node.location,
                    format!("host `{name}` has not the role `{role}`"),
                    format!("add it to `hosts.{name}.roles`"),
                );
                None
            }
            None => {
                let known: Vec<&str> = self.declared.keys().map(HostName::as_str).collect();
                let hint = match nearest(name.as_str(), &known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "declare it in `hosts`".to_owned(),
                };
                fields.report().add_with_hint(
                    &node.location,
                    format!("no host is named `{name}`"),
                    hint,
                );
                None
            }
        }
    }
}

pub(super) fn read<'a>(fields: &Fields<'a>, domain: Option<&DnsName>) -> Hosts<'a> {
    let report = fields.report();
    let mut declared = BTreeMap::new();
    let entries = fields
        .required("hosts")
        .and_then(|node| report.entries(node))
        .unwrap_or_default();
    for entry in entries {
        let name: HostName = match entry.key.parse() {
            Ok(name) => name,
            Err(error) => {
                report.add(&entry.location, error.to_string());
                continue;
            }
        };
        let Some(fields) = Fields::of(&entry.value, "hosts.NAME", report) else {
            continue;
        };
        let roles = read_roles(&fields);
        let dns_name = match fields.optional("dns_name") {
            Some(node) => report.parsed(node),
            None => domain
                .zip(name.as_str().parse::<NodeName>().ok())
                .map(|(domain, name)| name.within(domain)),
        };
        if roles.contains(&HostRole::Tsidp) && roles.contains(&HostRole::Omni) {
            report.add_with_hint(
                &entry.location,
                format!("host `{name}` has both the roles `tsidp` and `omni`"),
                "Omni needs its issuer to start, and whatever takes one down must not take the other: use two hosts",
            );
        }
        fields.finish();
        declared.insert(
            name,
            Declared {
                location: &entry.location,
                roles,
                dns_name,
            },
        );
    }
    Hosts { declared }
}

fn read_roles(fields: &Fields<'_>) -> BTreeSet<HostRole> {
    let report = fields.report();
    let Some(items) = fields.required("roles").and_then(|node| report.items(node)) else {
        return BTreeSet::new();
    };
    items
        .iter()
        .filter_map(|item| report.parsed(item))
        .collect()
}
