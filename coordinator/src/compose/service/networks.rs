//! `network_mode`, `networks` and `depends_on`.

use omni_scale_proto::v1::{
    Dependency, DependencyCondition, NetworkMembership, NetworkMemberships, NetworkMode,
    network_mode::Mode,
};

use super::super::entries::{boolean, texts};
use super::super::resources::{DEFAULT_NETWORK, Resources};
use crate::document::{Content, Fields};

pub(super) fn read(resources: &Resources, fields: &Fields<'_>) -> Option<NetworkMode> {
    let mode = fields.entry("network_mode");
    let networks = fields.entry("networks");
    let mode = match (mode, networks) {
        (Some(mode), Some(_)) => {
            fields.report().add(
                &mode.location,
                "a service has one of `network_mode` and `networks`, not both",
            );
            None
        }
        (Some(mode), None) => {
            let text = fields.report().text(&mode.value)?;
            match text.strip_prefix("service:") {
                Some(service) => Some(Mode::Service(service.to_owned())),
                None if matches!(text, "none" | "bridge" | "host") => {
                    Some(Mode::Named(text.to_owned()))
                }
                None => {
                    fields.report().add(
                        &mode.value.location,
                        format!("the mode `{text}` is not supported; `service:NAME`, `bridge`, `host` and `none` are"),
                    );
                    None
                }
            }
        }
        (None, _) => memberships(resources, fields)
            .map(|memberships| Mode::Networks(NetworkMemberships { memberships })),
    };
    Some(NetworkMode { mode: Some(mode?) })
}

fn memberships(resources: &Resources, fields: &Fields<'_>) -> Option<Vec<NetworkMembership>> {
    let report = fields.report();
    let Some(node) = fields.optional("networks") else {
        resources.use_network(DEFAULT_NETWORK);
        return Some(vec![NetworkMembership {
            network: DEFAULT_NETWORK.to_owned(),
            aliases: Vec::new(),
        }]);
    };
    let mut memberships = Vec::new();
    if matches!(node.content, Content::Sequence(_)) {
        for item in report.items(node)? {
            memberships.push((&item.location, report.text(item)?.to_owned(), Vec::new()));
        }
    } else {
        for entry in report.entries(node)? {
            let mut aliases = Some(Vec::new());
            if !entry.value.is_null() {
                let path = fields.path_of(&format!("networks.{}", entry.key));
                let fields = Fields::of(&entry.value, path, report)?;
                aliases = texts(&fields, "aliases");
                fields.finish_but_extensions();
            }
            memberships.push((&entry.location, entry.key.clone(), aliases?));
        }
    }
    memberships.sort_by(|a, b| a.1.cmp(&b.1));
    memberships
        .into_iter()
        .map(|(location, network, aliases)| {
            if resources.use_network(&network) {
                return Some(NetworkMembership { network, aliases });
            }
            report.add(location, format!("no network is named `{network}`"));
            None
        })
        .collect()
}

/// What must be there before this service starts, by name. Sharing a namespace is one such thing.
pub(super) fn dependencies(
    fields: &Fields<'_>,
    network_mode: Option<&NetworkMode>,
) -> Option<Vec<Dependency>> {
    let mut dependencies = declared(fields)?;
    if let Some(NetworkMode {
        mode: Some(Mode::Service(owner)),
    }) = network_mode
        && dependencies
            .iter()
            .all(|dependency| dependency.service != *owner)
    {
        dependencies.push(Dependency {
            service: owner.clone(),
            condition: DependencyCondition::Started.into(),
        });
    }
    dependencies.sort_by(|a, b| a.service.cmp(&b.service));
    Some(dependencies)
}

fn declared(fields: &Fields<'_>) -> Option<Vec<Dependency>> {
    let report = fields.report();
    let Some(node) = fields.optional("depends_on") else {
        return Some(Vec::new());
    };
    if matches!(node.content, Content::Sequence(_)) {
        return report
            .items(node)?
            .iter()
            .map(|item| {
                Some(Dependency {
                    service: report.text(item)?.to_owned(),
                    condition: DependencyCondition::Started.into(),
                })
            })
            .collect();
    }
    report
        .entries(node)?
        .iter()
        .map(|entry| {
            let path = fields.path_of(&format!("depends_on.{}", entry.key));
            let fields = Fields::of(&entry.value, path, report)?;
            let condition = condition(&fields);
            for (key, only) in [("required", true), ("restart", false)] {
                if boolean(&fields, key).is_some_and(|value| value != only) {
                    report.add(
                        fields.location(),
                        format!("`{key}: {}` is not supported", !only),
                    );
                }
            }
            fields.finish_but_extensions();
            Some(Dependency {
                service: entry.key.clone(),
                condition: condition?.into(),
            })
        })
        .collect()
}

fn condition(fields: &Fields<'_>) -> Option<DependencyCondition> {
    let Some(node) = fields.optional("condition") else {
        return Some(DependencyCondition::Started);
    };
    match fields.report().text(node)? {
        "service_started" => Some(DependencyCondition::Started),
        "service_healthy" => Some(DependencyCondition::Healthy),
        "service_completed_successfully" => Some(DependencyCondition::CompletedSuccessfully),
        other => {
            fields.report().add_with_hint(
                &node.location,
                format!("the condition `{other}` is not known"),
                "`service_started`, `service_healthy` and `service_completed_successfully` are",
            );
            None
        }
    }
}
