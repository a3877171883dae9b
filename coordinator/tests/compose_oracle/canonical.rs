//! One form for both readings: JSON in which defaults are left out and order says nothing.

use std::path::Path;

use omni_scale::compose::{Source, quantity, resolve};
use omni_scale::deployment::Disk;
use omni_scale_proto::v1::{self, mount, network_mode::Mode, segment::Part};
use serde_json::{Map, Value, json};

/// Our reading of `compose.yaml` in `directory`.
pub(crate) fn ours(directory: &Path, profiles: &[&str]) -> Result<Value, String> {
    let source = Source {
        file: directory.join("compose.yaml"),
        env_file: None,
        profiles: profiles
            .iter()
            .map(|profile| (*profile).to_owned())
            .collect(),
    };
    let stack = resolve(&Disk, &source).map_err(|problems| problems.to_string())?;
    let services: Map<String, Value> = stack
        .services
        .iter()
        .map(|service| (service.name.clone(), pruned(our_service(service))))
        .collect();
    let volumes: Map<String, Value> = stack
        .volumes
        .iter()
        .map(|volume| {
            let value = json!({
                "name": volume.engine_name, "external": volume.external, "labels": volume.labels,
            });
            (volume.name.clone(), pruned(value))
        })
        .collect();
    let networks: Map<String, Value> = stack
        .networks
        .iter()
        .map(|network| {
            let value = json!({
                "name": network.engine_name, "external": network.external,
                "internal": network.internal,
            });
            (network.name.clone(), pruned(value))
        })
        .collect();
    Ok(
        json!({ "name": stack.name, "services": services, "volumes": volumes, "networks": networks }),
    )
}

fn literal(text: Option<&v1::Text>) -> String {
    text.into_iter()
        .flat_map(|text| &text.segments)
        .map(|segment| match &segment.part {
            Some(Part::Literal(text)) => text.as_str(),
            other => panic!("only literals can be compared, not {other:?}"),
        })
        .collect()
}

fn our_service(service: &v1::Service) -> Value {
    let environment: Map<String, Value> = service
        .environment
        .iter()
        .map(|variable| {
            (
                variable.name.clone(),
                literal(variable.value.as_ref()).into(),
            )
        })
        .collect();
    let files: Map<String, Value> = service
        .files
        .iter()
        .map(|file| {
            let value = json!({
                "content": literal(file.content.as_ref()), "mode": file.mode,
                "uid": file.user_id, "gid": file.group_id,
            });
            (file.path.clone(), value)
        })
        .collect();
    let (networks, network_mode) = our_networks(service);
    let depends_on: Map<String, Value> = service
        .depends_on
        .iter()
        .map(|dependency| {
            let condition = match dependency.condition() {
                v1::DependencyCondition::Healthy => "service_healthy",
                v1::DependencyCondition::CompletedSuccessfully => "service_completed_successfully",
                _ => "service_started",
            };
            (dependency.service.clone(), condition.into())
        })
        .collect();
    let ports = service.ports.iter().map(|port| {
        let protocol = if port.protocol() == v1::PortProtocol::Udp {
            "udp"
        } else {
            "tcp"
        };
        let host = if port.host_port == 0 {
            String::new()
        } else {
            port.host_port.to_string()
        };
        format!(
            "{}|{host}|{}|{protocol}",
            port.host_address, port.container_port
        )
    });
    json!({
        "image": service.image,
        "entrypoint": service.entrypoint.as_ref().map(|arguments| &arguments.values),
        "command": service.command.as_ref().map(|arguments| &arguments.values),
        "environment": environment,
        "files": files,
        "mounts": sorted(service.mounts.iter().map(our_mount)),
        "devices": service.devices.iter()
            .map(|device| format!("{}:{}:{}", device.source, device.target, device.permissions))
            .collect::<Vec<_>>(),
        "cap_add": service.capabilities_add,
        "cap_drop": service.capabilities_drop,
        "ports": sorted(ports),
        "networks": networks,
        "network_mode": network_mode,
        "depends_on": depends_on,
        "healthcheck": service.health_check.as_ref().map(our_health),
        "restart": our_restart(service),
        "hostname": service.hostname,
        "container_name": service.container_name,
        "labels": service.labels,
        "logging": service.logging.as_ref()
            .map(|logging| json!({ "driver": logging.driver, "options": logging.options })),
        "stop_grace_period": service.stop_grace_milliseconds,
        "stop_signal": service.stop_signal,
        "user": service.user,
        "working_dir": service.working_directory,
        "sysctls": service.sysctls,
        "security_opt": service.security_options,
        "init": service.init.map(|init| init.to_string()),
        "read_only": service.read_only,
        "privileged": service.privileged,
        "pid": service.pid_mode,
        "ipc": service.ipc_mode,
        "extra_hosts": sorted(service.extra_hosts.iter().cloned()),
        "dns": service.dns,
        "dns_search": service.dns_search,
    })
}

fn our_networks(service: &v1::Service) -> (Value, String) {
    match service
        .network_mode
        .as_ref()
        .and_then(|mode| mode.mode.as_ref())
    {
        Some(Mode::Named(name)) => (Value::Null, name.clone()),
        Some(Mode::Service(name)) => (Value::Null, format!("service:{name}")),
        Some(Mode::Networks(networks)) => {
            let memberships: Map<String, Value> = networks
                .memberships
                .iter()
                .map(|membership| {
                    (
                        membership.network.clone(),
                        json!({ "is": membership.aliases }),
                    )
                })
                .collect();
            (memberships.into(), String::new())
        }
        None => panic!("a service has a network mode"),
    }
}

fn our_mount(mount: &v1::Mount) -> String {
    let access = if mount.read_only { "ro" } else { "rw" };
    match &mount.source {
        Some(mount::Source::Bind(source)) => format!("bind|{source}|{}|{access}", mount.target),
        Some(mount::Source::Volume(source)) => format!("volume|{source}|{}|{access}", mount.target),
        Some(mount::Source::Temporary(system)) => {
            format!(
                "tmpfs|{}|{access}|{}|{:o}",
                mount.target, system.size, system.mode
            )
        }
        None => panic!("a mount has a source"),
    }
}

fn our_health(check: &v1::HealthCheck) -> Value {
    json!({
        "test": check.test,
        "interval": check.interval_milliseconds,
        "timeout": check.timeout_milliseconds,
        "start_period": check.start_period_milliseconds,
        "start_interval": check.start_interval_milliseconds,
        "retries": check.retries,
    })
}

fn our_restart(service: &v1::Service) -> String {
    match service.restart() {
        v1::RestartPolicy::Always => "always".to_owned(),
        v1::RestartPolicy::UnlessStopped => "unless-stopped".to_owned(),
        v1::RestartPolicy::OnFailure if service.restart_attempts > 0 => {
            format!("on-failure:{}", service.restart_attempts)
        }
        v1::RestartPolicy::OnFailure => "on-failure".to_owned(),
        v1::RestartPolicy::No | v1::RestartPolicy::Unspecified => String::new(),
    }
}

/// The oracle's reading in the same form. Files of configs are read from where it says they are.
pub(crate) fn theirs(project: &Value, environment: &dyn Fn(&str) -> String) -> Value {
    let named = |section: &str| -> Map<String, Value> {
        entries(&project[section])
            .map(|(key, value)| {
                let value = json!({
                    "name": value["name"], "external": value["external"],
                    "internal": value["internal"], "labels": value["labels"],
                });
                (key.clone(), pruned(value))
            })
            .collect()
    };
    let services: Map<String, Value> = entries(&project["services"])
        .map(|(name, service)| {
            (
                name.clone(),
                pruned(their_service(service, project, environment)),
            )
        })
        .collect();
    json!({
        "name": project["name"], "services": services,
        "volumes": named("volumes"), "networks": named("networks"),
    })
}

fn their_service(service: &Value, project: &Value, environment: &dyn Fn(&str) -> String) -> Value {
    let files: Map<String, Value> = items(&service["configs"])
        .map(|reference| their_file(reference, &project["configs"], environment))
        .collect();
    let mounts = items(&service["volumes"])
        .map(their_mount)
        .chain(items(&service["tmpfs"]).map(|text| their_temporary(text.as_str().unwrap())));
    let networks: Map<String, Value> = entries(&service["networks"])
        .map(|(name, value)| {
            let aliases: Vec<&Value> = items(&value["aliases"]).collect();
            (name.clone(), json!({ "is": aliases }))
        })
        .collect();
    let depends_on: Map<String, Value> = entries(&service["depends_on"])
        .map(|(name, value)| (name.clone(), value["condition"].clone()))
        .collect();
    let ports = items(&service["ports"]).map(|port| {
        format!(
            "{}|{}|{}|{}",
            text(&port["host_ip"]),
            text(&port["published"]),
            port["target"],
            port.get("protocol").map_or("tcp".to_owned(), text)
        )
    });
    let devices: Vec<String> = items(&service["devices"])
        .map(|device| {
            format!(
                "{}:{}:{}",
                text(&device["source"]),
                text(&device["target"]),
                text(&device["permissions"])
            )
        })
        .collect();
    let extra_hosts = items(&service["extra_hosts"]).map(|host| text(host).replacen('=', ":", 1));
    let mut value = service.clone();
    let fields = value.as_object_mut().unwrap();
    for key in ["configs", "volumes", "tmpfs", "profiles"] {
        fields.remove(key);
    }
    fields.insert("files".to_owned(), files.into());
    fields.insert("mounts".to_owned(), sorted(mounts).into());
    fields.insert("networks".to_owned(), networks.into());
    fields.insert("depends_on".to_owned(), depends_on.into());
    fields.insert("ports".to_owned(), sorted(ports).into());
    fields.insert("devices".to_owned(), devices.into());
    fields.insert("extra_hosts".to_owned(), sorted(extra_hosts).into());
    fields.insert(
        "healthcheck".to_owned(),
        their_health(&service["healthcheck"]),
    );
    fields.insert(
        "stop_grace_period".to_owned(),
        duration(&service["stop_grace_period"]),
    );
    if let Some(init) = service["init"].as_bool() {
        fields.insert("init".to_owned(), init.to_string().into());
    }
    if service["restart"] == "no" {
        fields.remove("restart");
    }
    value
}

fn their_file(
    reference: &Value,
    configs: &Value,
    environment: &dyn Fn(&str) -> String,
) -> (String, Value) {
    let source = text(&reference["source"]);
    let config = &configs[&source];
    let content = if let Some(content) = config["content"].as_str() {
        content.to_owned()
    } else if let Some(file) = config["file"].as_str() {
        std::fs::read_to_string(file).unwrap()
    } else {
        environment(config["environment"].as_str().unwrap())
    };
    let path = reference
        .get("target")
        .map_or_else(|| format!("/{source}"), text);
    let id = |key: &str| reference[key].as_str().map(|id| id.parse::<u32>().unwrap());
    let value = json!({
        "content": content,
        "mode": reference["mode"].as_u64().unwrap_or(0o444),
        "uid": id("uid"), "gid": id("gid"),
    });
    (path, value)
}

fn their_mount(mount: &Value) -> String {
    let access = if mount["read_only"] == true {
        "ro"
    } else {
        "rw"
    };
    let (kind, target) = (text(&mount["type"]), text(&mount["target"]));
    if kind == "tmpfs" {
        let size = mount["tmpfs"]["size"].as_str().unwrap_or("0");
        format!("tmpfs|{target}|{access}|{size}|0")
    } else {
        format!("{kind}|{}|{target}|{access}", text(&mount["source"]))
    }
}

/// Docker Compose hands the options on, so that they are read here.
fn their_temporary(text: &str) -> String {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let (mut access, mut size, mut mode) = ("rw", 0, "0");
    for option in options.split(',') {
        match option.split_once('=') {
            Some(("size", value)) => size = quantity::bytes(value).unwrap(),
            Some(("mode", value)) => mode = value,
            _ if option == "ro" => access = "ro",
            _ => {}
        }
    }
    format!("tmpfs|{target}|{access}|{size}|{mode}")
}

fn their_health(check: &Value) -> Value {
    if check.is_null() {
        return Value::Null;
    }
    if check["disable"] == true || check["test"][0] == "NONE" {
        return json!({ "test": ["NONE"] });
    }
    json!({
        "test": check["test"],
        "interval": duration(&check["interval"]),
        "timeout": duration(&check["timeout"]),
        "start_period": duration(&check["start_period"]),
        "start_interval": duration(&check["start_interval"]),
        "retries": check["retries"],
    })
}

/// Milliseconds of a duration as Go prints it.
fn duration(value: &Value) -> Value {
    value.as_str().map_or(Value::Null, |text| {
        // Go prints 0 as `0s`.
        quantity::milliseconds(text)
            .unwrap_or_else(|| panic!("{text} is a duration"))
            .into()
    })
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn sorted(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = texts.collect();
    texts.sort();
    texts
}

/// Without what says nothing. An empty command says that there is none; an empty list of others
/// says as much as its absence.
fn pruned(value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let kept = fields.into_iter().filter(|(key, value)| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty() || key == "command" || key == "entrypoint",
        Value::Object(fields) => !fields.is_empty(),
        Value::Number(number) => number.as_u64() != Some(0),
        Value::Bool(true) => true,
    });
    kept.map(|(key, value)| match key.as_str() {
        "healthcheck" | "logging" => (key, pruned(value)),
        _ => (key, value),
    })
    .collect()
}

/// Where both readings differ. Refusing to read is a difference even when both do.
pub(crate) fn differences(
    ours: &Result<Value, String>,
    theirs: &Result<Value, String>,
) -> Vec<String> {
    let mut found = Vec::new();
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => collect("", ours, theirs, &mut found),
        _ => {
            for (whose, reading) in [("we", ours), ("the oracle", theirs)] {
                let said = reading.as_ref().err().map_or("reads it", String::as_str);
                found.push(format!("{whose}: {said}"));
            }
        }
    }
    found
}

fn collect(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    if let (Value::Object(left), Value::Object(right)) = (ours, theirs) {
        let keys: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        for key in keys {
            collect(&format!("{path}/{key}"), &ours[key], &theirs[key], found);
        }
    } else if ours != theirs {
        found.push(format!("{path}: ours {ours}, the oracle's {theirs}"));
    }
}
