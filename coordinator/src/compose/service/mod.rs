//! One service of a Compose file.

mod containers;
mod environment;
mod files;
mod health;
mod mounts;
mod networks;
mod ports;

use omni_scale_proto::id::ServiceName;
use omni_scale_proto::v1;

use super::Context;
use super::entries::{boolean, duration, key_values, text_or_list, texts};
use super::resources::Resources;
use crate::document::{Entry, Fields};
use crate::image::ImageReference;

/// Stands for all profiles among those that are wanted.
const EVERY_PROFILE: &str = "*";

/// The service, when one of its profiles is wanted. Problems are in the report.
pub(super) fn read(
    context: &Context<'_>,
    resources: &Resources,
    entry: &Entry,
) -> Option<v1::Service> {
    let report = context.report;
    if let Err(error) = entry.key.parse::<ServiceName>() {
        report.add(&entry.location, error.to_string());
        return None;
    }
    let fields = Fields::of(&entry.value, format!("services.{}", entry.key), report)?;
    let wanted = texts(&fields, "profiles").is_none_or(|profiles| {
        profiles.is_empty()
            || context.profiles.contains(EVERY_PROFILE)
            || profiles
                .iter()
                .any(|profile| context.profiles.contains(profile))
    });
    resources.count(wanted);
    let service = read_fields(context, resources, &entry.key, &fields);
    fields.finish_but_extensions();
    service.filter(|_| wanted)
}

fn read_fields(
    context: &Context<'_>,
    resources: &Resources,
    name: &str,
    fields: &Fields<'_>,
) -> Option<v1::Service> {
    let image: Option<ImageReference> = fields.required_parsed("image");
    let entrypoint = containers::command(fields, "entrypoint");
    let command = containers::command(fields, "command");
    let environment = environment::read(context, fields);
    let files = files::read(resources, fields);
    let mounts = mounts::read(resources, fields);
    let devices = containers::devices(fields);
    let ports = ports::read(fields);
    let network_mode = networks::read(resources, fields);
    let depends_on = networks::dependencies(fields, network_mode.as_ref());
    let health_check = health::read(fields);
    let restart = containers::restart(fields);
    let labels = key_values(fields, "labels");
    let logging = containers::logging(fields);
    let stop_grace = duration(fields, "stop_grace_period");
    let sysctls = key_values(fields, "sysctls");
    let init = boolean(fields, "init");
    let flags = [boolean(fields, "read_only"), boolean(fields, "privileged")];
    let lists = [
        texts(fields, "cap_add"),
        texts(fields, "cap_drop"),
        texts(fields, "security_opt"),
        containers::extra_hosts(fields),
        text_or_list(fields, "dns"),
        text_or_list(fields, "dns_search"),
    ];
    let [
        hostname,
        container_name,
        stop_signal,
        user,
        working_directory,
    ] = [
        "hostname",
        "container_name",
        "stop_signal",
        "user",
        "working_dir",
    ]
    .map(|key| fields.optional_text(key).unwrap_or_default());
    let pid_mode = containers::namespace(fields, "pid", &["host"]);
    let ipc_mode = containers::namespace(fields, "ipc", &["host", "private", "shareable"]);
    let (restart, restart_attempts) = restart?;
    let [read_only, privileged] = flags;
    let [
        capabilities_add,
        capabilities_drop,
        security_options,
        extra_hosts,
        dns,
        dns_search,
    ] = lists;
    let pairs = |pairs: Vec<super::entries::KeyValue<'_>>| {
        pairs
            .into_iter()
            .map(|pair| (pair.key, pair.value.unwrap_or_default()))
            .collect()
    };
    Some(v1::Service {
        name: name.to_owned(),
        image: image?.to_string(),
        entrypoint,
        command,
        environment: environment?,
        files: files?,
        mounts: mounts?,
        devices: devices?,
        capabilities_add: capabilities_add?,
        capabilities_drop: capabilities_drop?,
        ports: ports?,
        network_mode: Some(network_mode?),
        depends_on: depends_on?,
        health_check,
        restart: restart.into(),
        restart_attempts,
        hostname,
        container_name,
        labels: pairs(labels?),
        logging,
        stop_grace_milliseconds: stop_grace,
        stop_signal,
        user,
        working_directory,
        sysctls: pairs(sysctls?),
        security_options: security_options?,
        init,
        read_only: read_only.unwrap_or(false),
        privileged: privileged.unwrap_or(false),
        pid_mode: pid_mode?,
        ipc_mode: ipc_mode?,
        extra_hosts: extra_hosts?,
        dns: dns?,
        dns_search: dns_search?,
    })
}
