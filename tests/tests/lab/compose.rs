//! What `docker compose` makes of our stack: the ejected files, and the containers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::hosts::Lab;
use super::site::must_be_rolled_out;

/// Fields of `docker inspect` in which our containers may differ from those of Compose, and why.
/// A field stands for all below it.
const DIFFERENCES: [(&str, &str); 20] = [
    (
        "Config.Image",
        "ours names the digest that the plan has resolved",
    ),
    (
        "Config.Hostname",
        "a sharer that runs has that of the namespace's owner",
    ),
    (
        "Config.Labels.com.docker.compose.config-hash",
        "of another specification",
    ),
    (
        "Config.Labels.com.docker.compose.project.config_files",
        "ours is no file",
    ),
    (
        "Config.Labels.com.docker.compose.project.working_dir",
        "ours is no file",
    ),
    ("Config.Labels.com.docker.compose.version", "of who made it"),
    ("Config.Labels.omni-scale.digest", "how we know our own"),
    (
        "Config.Labels.omni-scale.secrets",
        "how we know that a secret changed",
    ),
    (
        "HostConfig.Binds",
        "another way to ask for the same volumes; see `Mounts`",
    ),
    (
        "HostConfig.Mounts",
        "another way to ask for the same volumes; see `Mounts`",
    ),
    // What only a container that runs has.
    ("NetworkSettings.Ports", "see `HostConfig.PortBindings`"),
    ("NetworkSettings.SandboxID", "only while it runs"),
    ("NetworkSettings.SandboxKey", "only while it runs"),
    (
        "NetworkSettings.Networks.omni_default.DNSNames",
        "only while it runs",
    ),
    (
        "NetworkSettings.Networks.omni_default.EndpointID",
        "only while it runs",
    ),
    (
        "NetworkSettings.Networks.omni_default.Gateway",
        "only while it runs",
    ),
    (
        "NetworkSettings.Networks.omni_default.IPAddress",
        "only while it runs",
    ),
    (
        "NetworkSettings.Networks.omni_default.IPPrefixLen",
        "only while it runs",
    ),
    (
        "NetworkSettings.Networks.omni_default.MacAddress",
        "only while it runs",
    ),
    (
        "NetworkSettings.Networks.omni_default.NetworkID",
        "only while it runs",
    ),
];

/// What is compared: how a container was made. The rest is how it is doing.
const COMPARED: [&str; 5] = ["Config", "HostConfig", "Mounts", "NetworkSettings", "Name"];

/// Variables that hold a secret, with which no test compares.
const SECRET_VARIABLES: [&str; 1] = ["OMNI_SERVICE_ACCOUNT_KEY="];

/// The ejected stack in a directory of the Omni host, with something for each secret.
fn eject(lab: &Lab, directory: &str) {
    let script = "rm -rf ejected && mkdir ejected && omni-scale eject -o ejected/compose.yaml";
    lab.script("op", script).must("eject the stack");
    lab.script("omni", &format!("rm -rf {directory} && mkdir {directory}"))
        .must("make a directory");
    for file in ["compose.yaml", ".env"] {
        let path = format!("ejected/{file}");
        let mut content = lab.on("op", &["cat", &path]).must("read an ejected file");
        if file == ".env" {
            content = with_values(&content);
        }
        lab.write("omni", &format!("{directory}/{file}"), &content);
    }
}

/// As a person would fill it in.
fn with_values(variables: &str) -> String {
    let value = |line: &str| match line.split_once('=') {
        Some((name, _)) if name.ends_with("_QUOTED") => format!("{name}='\"a value\"'\n"),
        Some((name, _)) if !name.starts_with('#') => format!("{name}='a value'\n"),
        _ => format!("{line}\n"),
    };
    variables.lines().map(value).collect()
}

#[test]
fn containers_are_what_docker_compose_makes_of_the_ejected_stack() {
    let lab = Lab::take();
    eject(&lab, "/root/ejected");
    let compose = "docker compose --project-directory /root/ejected -p reference";
    lab.script("omni", &format!("{compose} config --quiet"))
        .must("have Compose read the ejected stack");
    let made = lab.script("omni", &format!("{compose} create --quiet-pull"));
    let reference = inspect(&lab, "reference");
    let removed = lab.script("omni", &format!("{compose} down --volumes"));
    removed.must("remove Compose's containers");
    made.ends(0, &[]);

    let ours = inspect(&lab, "omni");
    assert_eq!(ours.len(), 3, "{:?}", ours.keys());
    let mut found = Vec::new();
    for (service, container) in &ours {
        let other = &reference[service];
        for field in COMPARED {
            differences(
                field,
                &container[field],
                &other[field],
                &mut |path, one, two| {
                    found.push(format!("{service}: {path}: ours {one}, Compose's {two}"));
                },
            );
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    must_be_rolled_out(&lab);
}

/// Containers of a project by service, without what is another one's by nature: ids, the name of
/// the project, values of secrets, how a mount was written, and what order means nothing.
fn inspect(lab: &Lab, project: &str) -> BTreeMap<String, Value> {
    let script = format!(
        "docker ps -aq --filter label=com.docker.compose.project={project} | xargs -r docker inspect"
    );
    let listed = lab.script("omni", &script).must("inspect the containers");
    let containers: Vec<Value> = serde_json::from_str(&listed).expect("containers are JSON");
    let mut text = listed
        .replace(&format!("{project}_"), "omni_")
        .replace(&format!("{project}-"), "omni-")
        .replace(&format!("\"{project}\""), "\"omni\"");
    for container in &containers {
        let id = container["Id"].as_str().unwrap_or_default();
        text = text.replace(id, &service(container));
        text = text.replace(&id[..12], &service(container));
    }
    let containers: Vec<Value> = serde_json::from_str(&text).expect("it was JSON");
    containers
        .into_iter()
        .map(|mut container| {
            for variable in items(&mut container["Config"]["Env"]) {
                if let Some(name) = SECRET_VARIABLES
                    .into_iter()
                    .find(|name| variable.as_str().is_some_and(|text| text.starts_with(name)))
                {
                    *variable = name.into();
                }
            }
            let needs = &mut container["Config"]["Labels"]["com.docker.compose.depends_on"];
            if let Some(text) = needs.as_str() {
                let mut sorted: Vec<&str> = text.split(',').collect();
                sorted.sort_unstable();
                *needs = sorted.join(",").into();
            }
            for mount in items(&mut container["Mounts"]) {
                mount["Mode"] = Value::Null;
            }
            (service(&container), container)
        })
        .collect()
}

fn service(container: &Value) -> String {
    let label = &container["Config"]["Labels"]["com.docker.compose.service"];
    label.as_str().unwrap_or_default().to_owned()
}

fn items(list: &mut Value) -> impl Iterator<Item = &mut Value> {
    list.as_array_mut().into_iter().flatten()
}

/// Tells every field that differs and is not in the list of those that may.
fn differences(path: &str, one: &Value, two: &Value, tell: &mut impl FnMut(&str, &Value, &Value)) {
    if DIFFERENCES.iter().any(|(allowed, _)| *allowed == path) {
        return;
    }
    match (one, two) {
        (Value::Object(first), Value::Object(second)) => {
            let mut keys: Vec<&String> = first.keys().chain(second.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                differences(&format!("{path}.{key}"), &one[key], &two[key], tell);
            }
        }
        _ if sorted(one) != sorted(two) => tell(path, one, two),
        _ => {}
    }
}

/// The Engine writes what is not there in several ways, and the order of a list means nothing
/// where we have one.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) if items.is_empty() => Value::Null,
        Value::Object(items) if items.is_empty() => Value::Null,
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            items.sort_by_key(ToString::to_string);
            items.into()
        }
        other => other.clone(),
    }
}

#[test]
fn docker_compose_lists_our_containers() {
    let lab = Lab::take();
    let listed = lab
        .script(
            "omni",
            "docker compose -p omni ps --format '{{.Service}} {{.State}}' | sort",
        )
        .must("list with Compose");
    assert_eq!(
        listed,
        "omni running\nomni-tailscale running\nproxmox-provider running\n"
    );
}
