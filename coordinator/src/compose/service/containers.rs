//! Smaller parts of a service.

use omni_scale_proto::v1::{Arguments, Device, Logging, RestartPolicy};

use super::super::entries::key_values;
use super::super::{placeholder, words};
use crate::document::{Content, Fields};

/// `command` or `entrypoint`: words, or a text that is split. None: the image's.
pub(super) fn command(fields: &Fields<'_>, key: &'static str) -> Option<Arguments> {
    let node = fields.optional(key)?;
    let report = fields.report();
    let values: Vec<String> = match &node.content {
        Content::Sequence(items) => items
            .iter()
            .map(|item| report.text(item).map(str::to_owned))
            .collect::<Option<_>>()?,
        Content::Scalar(_) | Content::Mapping(_) => match words::split(report.text(node)?) {
            Ok(words) => words,
            Err(error) => {
                report.add_with_hint(
                    &node.location,
                    format!("`{key}` cannot be split into words: {error}"),
                    "put the word in quotes, or write a list of words",
                );
                return None;
            }
        },
    };
    if values.iter().any(|value| placeholder::is_in(value)) {
        report.add_with_hint(
            &node.location,
            format!("a secret cannot stand in `{key}`, where everybody on the host could read it"),
            "put it into a variable or a config",
        );
    }
    Some(Arguments { values })
}

/// `SOURCE[:TARGET[:PERMISSIONS]]`, or the same by names.
pub(super) fn devices(fields: &Fields<'_>) -> Option<Vec<Device>> {
    let Some(node) = fields.optional("devices") else {
        return Some(Vec::new());
    };
    let report = fields.report();
    report
        .items(node)?
        .iter()
        .map(|item| {
            let (source, target, permissions) = if matches!(item.content, Content::Mapping(_)) {
                let fields = Fields::of(item, fields.path_of("devices"), report)?;
                let source = fields.required_text("source");
                let target = fields.optional_text("target");
                let permissions = fields.optional_text("permissions");
                fields.finish_but_extensions();
                (source?, target, permissions)
            } else {
                let mut parts = report.text(item)?.splitn(3, ':').map(str::to_owned);
                (parts.next()?, parts.next(), parts.next())
            };
            let permissions = permissions.unwrap_or("rwm".to_owned());
            if permissions.is_empty() || !permissions.chars().all(|c| "rwm".contains(c)) {
                report.add(
                    &item.location,
                    "the permissions of a device are of `r`, `w` and `m`",
                );
            }
            Some(Device {
                target: target.unwrap_or_else(|| source.clone()),
                source,
                permissions,
            })
        })
        .collect()
}

/// The policy, and how often to try for `on-failure:N`.
pub(super) fn restart(fields: &Fields<'_>) -> Option<(RestartPolicy, u32)> {
    let Some(node) = fields.optional("restart") else {
        return Some((RestartPolicy::No, 0));
    };
    let text = fields.report().text(node)?;
    let policy = match text.split_once(':') {
        Some(("on-failure", attempts)) => attempts
            .parse()
            .ok()
            .map(|attempts| (RestartPolicy::OnFailure, attempts)),
        Some(_) => None,
        None => match text {
            "no" => Some((RestartPolicy::No, 0)),
            "always" => Some((RestartPolicy::Always, 0)),
            "on-failure" => Some((RestartPolicy::OnFailure, 0)),
            "unless-stopped" => Some((RestartPolicy::UnlessStopped, 0)),
            _ => None,
        },
    };
    if policy.is_none() {
        fields.report().add(
            &node.location,
            "`restart` is `no`, `always`, `on-failure`, `on-failure:TIMES` or `unless-stopped`",
        );
    }
    policy
}

/// None: the Engine's default.
pub(super) fn logging(fields: &Fields<'_>) -> Option<Logging> {
    let fields = fields.optional_fields("logging")?;
    let driver = fields.optional_text("driver").unwrap_or_default();
    let options = key_values(&fields, "options");
    fields.finish_but_extensions();
    Some(Logging {
        driver,
        options: options?
            .into_iter()
            .map(|option| (option.key, option.value.unwrap_or_default()))
            .collect(),
    })
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`, or a mapping; as `NAME:ADDRESS`, which is the Engine's form.
pub(super) fn extra_hosts(fields: &Fields<'_>) -> Option<Vec<String>> {
    let Some(node) = fields.optional("extra_hosts") else {
        return Some(Vec::new());
    };
    let report = fields.report();
    let mut hosts = Vec::new();
    let mut add = |name: &str, address: &str, location| {
        let address = address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(address);
        if name.is_empty() || address.is_empty() || name.contains([':', '=']) {
            report.add(location, "an extra host is `NAME:ADDRESS`");
        }
        hosts.push(format!("{name}:{address}"));
    };
    if matches!(node.content, Content::Mapping(_)) {
        for entry in report.entries(node)? {
            add(&entry.key, report.text(&entry.value)?, &entry.location);
        }
    } else {
        for item in report.items(node)? {
            let text = report.text(item)?;
            let (name, address) = text
                .split_once('=')
                .or(text.split_once(':'))
                .unwrap_or((text, ""));
            add(name, address, &item.location);
        }
    }
    hosts.sort();
    Some(hosts)
}

/// Another namespace than the container's own: one of `allowed`.
pub(super) fn namespace(
    fields: &Fields<'_>,
    key: &'static str,
    allowed: &[&str],
) -> Option<String> {
    let Some(node) = fields.optional(key) else {
        return Some(String::new());
    };
    let text = fields.report().text(node)?;
    if !allowed.contains(&text) {
        fields
            .report()
            .add(&node.location, format!("`{key}: {text}` is not supported"));
    }
    Some(text.to_owned())
}
