//! In which fields two services differ, in words.

use std::collections::BTreeSet;

use crate::stack::image_digest;
use crate::v1;

/// One line per field that differs. Values of variables and files are not shown.
pub(super) fn differences(before: &v1::Service, after: &v1::Service) -> Vec<String> {
    let mut lines = Vec::new();
    if before.image != after.image {
        lines.push(format!(
            "image {} → {}",
            short_image(&before.image),
            short_image(&after.image)
        ));
    }
    let variables = |service: &v1::Service| -> Vec<(String, Option<v1::Text>)> {
        service
            .environment
            .iter()
            .map(|variable| (variable.name.clone(), variable.value.clone()))
            .collect()
    };
    lines.extend(named("variable", &variables(before), &variables(after)));
    let files = |service: &v1::Service| -> Vec<(String, v1::File)> {
        let lasting = service.files.iter().filter(|file| !file.one_time);
        lasting
            .map(|file| (file.path.clone(), file.clone()))
            .collect()
    };
    lines.extend(named("file", &files(before), &files(after)));
    let mounts = |service: &v1::Service| -> Vec<(String, v1::Mount)> {
        service
            .mounts
            .iter()
            .map(|mount| (mount.target.clone(), mount.clone()))
            .collect()
    };
    lines.extend(named("mount", &mounts(before), &mounts(after)));
    let mut differs = |field: &str, different: bool| {
        if different {
            lines.push(format!("{field} changed"));
        }
    };
    differs("entry point", before.entrypoint != after.entrypoint);
    differs("command", before.command != after.command);
    differs("devices", before.devices != after.devices);
    differs(
        "capabilities",
        before.capabilities_add != after.capabilities_add
            || before.capabilities_drop != after.capabilities_drop,
    );
    differs("published ports", before.ports != after.ports);
    differs("network mode", before.network_mode != after.network_mode);
    differs("dependencies", before.depends_on != after.depends_on);
    differs("health check", before.health_check != after.health_check);
    differs(
        "restart policy",
        before.restart != after.restart || before.restart_attempts != after.restart_attempts,
    );
    differs("host name", before.hostname != after.hostname);
    differs(
        "container name",
        before.container_name != after.container_name,
    );
    differs("labels", before.labels != after.labels);
    differs("logging", before.logging != after.logging);
    differs("user", before.user != after.user);
    differs(
        "security options",
        before.security_options != after.security_options,
    );
    lines
}

/// A change of the tailnet node's name or of where its state lies makes another node of it.
pub(super) fn changes_identity(before: &v1::Service, after: &v1::Service) -> bool {
    let variable = |service: &v1::Service, name: &str| {
        service
            .environment
            .iter()
            .find(|variable| variable.name == name)
            .map(|variable| variable.value.clone())
    };
    let state = |service: &v1::Service| {
        let directory = variable(service, "TS_STATE_DIR")
            .flatten()
            .and_then(|text| literal(&text))?;
        service
            .mounts
            .iter()
            .find(|mount| mount.target == directory)
            .cloned()
    };
    variable(before, "TS_HOSTNAME") != variable(after, "TS_HOSTNAME")
        || variable(before, "TS_STATE_DIR") != variable(after, "TS_STATE_DIR")
        || state(before) != state(after)
}

fn literal(text: &v1::Text) -> Option<String> {
    text.segments
        .iter()
        .map(|segment| match segment.part.as_ref()? {
            v1::segment::Part::Literal(text) => Some(text.as_str()),
            v1::segment::Part::Secret(_) => None,
        })
        .collect()
}

fn named<T: PartialEq>(kind: &str, before: &[(String, T)], after: &[(String, T)]) -> Vec<String> {
    let find =
        |list: &'_ [(String, T)], name: &str| list.iter().position(|(other, _)| other == name);
    let names: BTreeSet<&String> = before.iter().chain(after).map(|(name, _)| name).collect();
    names
        .into_iter()
        .filter_map(|name| match (find(before, name), find(after, name)) {
            (None, _) => Some(format!("{kind} `{name}` added")),
            (_, None) => Some(format!("{kind} `{name}` removed")),
            (Some(old), Some(new)) if before[old].1 != after[new].1 => {
                Some(format!("{kind} `{name}` changed"))
            }
            _ => None,
        })
        .collect()
}

fn short_image(reference: &str) -> String {
    let repository = reference.split('@').next().unwrap_or(reference);
    match image_digest(reference) {
        Some(digest) => format!("{repository}@{}", &digest[..19]),
        None => reference.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::examples::{image, literal as text, service};

    fn variable(name: &str, value: &str) -> v1::EnvironmentVariable {
        v1::EnvironmentVariable {
            name: name.to_owned(),
            value: Some(text(value)),
        }
    }

    #[test]
    fn values_are_never_shown() {
        let mut before = service("omni");
        before.environment = vec![
            variable("KEPT", "1"),
            variable("TOKEN", "hunter2"),
            variable("OLD", "x"),
        ];
        let mut after = before.clone();
        after.environment = vec![
            variable("KEPT", "1"),
            variable("TOKEN", "hunter3"),
            variable("NEW", "y"),
        ];
        after.image = image("omni", '2');
        assert_eq!(
            differences(&before, &after),
            [
                "image omni@sha256:111111111111 → omni@sha256:222222222222",
                "variable `NEW` added",
                "variable `OLD` removed",
                "variable `TOKEN` changed",
            ]
        );
    }

    #[test]
    fn a_new_name_or_a_new_state_volume_is_another_identity() {
        let mut before = service("sidecar");
        before.environment = vec![
            variable("TS_HOSTNAME", "omni"),
            variable("TS_STATE_DIR", "/state"),
        ];
        before.mounts = vec![v1::Mount {
            target: "/state".to_owned(),
            source: Some(v1::mount::Source::Volume("state".to_owned())),
            ..v1::Mount::default()
        }];
        let mut renamed = before.clone();
        renamed.environment[0] = variable("TS_HOSTNAME", "omni-2");
        let mut moved = before.clone();
        moved.mounts[0].source = Some(v1::mount::Source::Volume("other".to_owned()));
        let mut newer = before.clone();
        newer.image = image("sidecar", '2');
        assert!(changes_identity(&before, &renamed));
        assert!(changes_identity(&before, &moved));
        assert!(!changes_identity(&before, &newer));
    }
}
