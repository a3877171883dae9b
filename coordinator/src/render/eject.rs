//! The built-in stack as a Compose file of one's own.
//!
//! The file is for `docker compose` and for `omni.stack.file` alike: each secret is a variable in
//! it, and the file of variables beside it says what the variable is. As written it holds
//! placeholders, which omni-scale takes for the secrets of the host; whoever runs the stack with
//! Docker Compose alone puts the values there.

use std::collections::BTreeMap;

use omni_scale_proto::v1::{
    self, DependencyCondition, File, PortProtocol, RestartPolicy, SecretEncoding, SecretReference,
    Text, mount::Source, network_mode::Mode, segment::Part,
};
use serde_json::Value;

use super::stack;
use super::yaml::Writer;
use crate::compose::ONE_TIME;
use crate::deployment::{Deployment, OmniStack};

const COMPOSE_HEAD: &str = "\
# The built-in stack of omni-scale, written by `omni-scale eject`.
#
# With omni-scale:     name this file in `omni.stack` of deployment.yaml; .env stays as it is.
# With Docker Compose: put the values of the secrets into .env, then `docker compose up -d`.
";

const VARIABLES_HEAD: &str = "\
# The secrets of compose.yaml, beside which this file stays.
#
# With omni-scale these lines stay as they are: they name secrets that the Omni host holds.
# With Docker Compose alone each is replaced by its value, in single quotes, and nobody else may
# read this file any more. A value may have several lines. Those named …_QUOTED are JSON strings:
# their value has double quotes within the single ones.
";

/// The files of a stack of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ejected {
    /// `compose.yaml`.
    pub compose: String,
    /// `.env`, to stand beside it.
    pub variables: String,
}

/// The built-in stack as files. None when the deployment names a Compose file already.
pub fn eject(deployment: &Deployment) -> Option<Ejected> {
    let OmniStack::BuiltIn(built_in) = &deployment.omni.stack else {
        return None;
    };
    let stack = stack::built_in(deployment, built_in).stack;
    let mut ejection = Ejection::default();
    let mut writer = Writer::new(COMPOSE_HEAD);
    writer.text("name", &stack.name);
    writer.open("services");
    for service in &stack.services {
        ejection.service(&mut writer, service);
    }
    writer.close();
    if !ejection.configs.is_empty() {
        writer.open("configs");
        for (key, content) in &ejection.configs {
            writer.open(key);
            writer.block("content", content);
            writer.close();
        }
        writer.close();
    }
    writer.open("volumes");
    for volume in &stack.volumes {
        writer.empty(&volume.name);
    }
    writer.close();
    let mut variables = VARIABLES_HEAD.to_owned();
    for (name, placeholder) in &ejection.variables {
        variables.extend([name, "='", placeholder, "'\n"]);
    }
    Some(Ejected {
        compose: writer.finish(),
        variables,
    })
}

/// What services need at the top of the file, and beside it.
#[derive(Default)]
struct Ejection {
    configs: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
}

impl Ejection {
    fn service(&mut self, writer: &mut Writer, service: &v1::Service) {
        writer.open(&service.name);
        writer.text("image", &service.image);
        if let Some(Mode::Service(owner)) = service
            .network_mode
            .as_ref()
            .and_then(|mode| mode.mode.as_ref())
        {
            writer.text("network_mode", &format!("service:{owner}"));
        }
        if let Some(arguments) = &service.command {
            writer.list("command", &escaped(&arguments.values));
        }
        write_dependencies(writer, &service.depends_on);
        // Docker Compose refuses a key with nothing behind it.
        if !service.environment.is_empty() {
            writer.open("environment");
            for variable in &service.environment {
                let value = self.text(variable.value.as_ref(), false);
                writer.text(&variable.name, &value);
            }
            writer.close();
        }
        self.files(writer, service);
        let mounts = service
            .mounts
            .iter()
            .filter_map(|mount| match &mount.source {
                Some(Source::Volume(volume)) => Some(format!("{volume}:{}", mount.target)),
                _ => None,
            });
        writer.list("volumes", &mounts.collect::<Vec<_>>());
        let devices: Vec<String> = service
            .devices
            .iter()
            .map(|device| device.source.clone())
            .collect();
        writer.list("devices", &devices);
        writer.list("cap_add", &service.capabilities_add);
        let ports: Vec<String> = service.ports.iter().map(port).collect();
        writer.list("ports", &ports);
        if let Some(check) = &service.health_check {
            write_health(writer, check);
        }
        writer.text("restart", restart(service));
        if let Some(milliseconds) = service.stop_grace_milliseconds {
            writer.text("stop_grace_period", &duration(milliseconds));
        }
        if let Some(logging) = &service.logging {
            writer.open("logging");
            writer.text("driver", &logging.driver);
            writer.open("options");
            for (name, value) in logging.options.iter().collect::<BTreeMap<_, _>>() {
                writer.text(name, value);
            }
            writer.close();
            writer.close();
        }
        writer.close();
    }

    fn files(&mut self, writer: &mut Writer, service: &v1::Service) {
        let mut entries = Vec::new();
        for file in &service.files {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            let key = format!("{}-{name}", service.name).replace('.', "-");
            let content = self.text(file.content.as_ref(), file.one_time);
            entries.push(reference(&key, file));
            self.configs.insert(key, content);
        }
        writer.mappings("configs", &entries);
    }

    /// Text for a Compose file, with variables for its secrets.
    fn text(&mut self, text: Option<&Text>, one_time: bool) -> String {
        let segments = text.into_iter().flat_map(|text| &text.segments);
        segments
            .map(|segment| match &segment.part {
                Some(Part::Literal(literal)) => literal.replace('$', "$$"),
                Some(Part::Secret(secret)) => self.variable(secret, one_time),
                None => String::new(),
            })
            .collect()
    }

    fn variable(&mut self, secret: &SecretReference, one_time: bool) -> String {
        let (suffix, filter) = match secret.encoding() {
            SecretEncoding::JsonString => ("_QUOTED", "json"),
            SecretEncoding::Trimmed => ("", "trim"),
            SecretEncoding::Raw | SecretEncoding::Unspecified => ("", "raw"),
        };
        let name = format!("{}{suffix}", secret.name.to_uppercase().replace('-', "_"));
        let placeholder = format!("{{{{ secret \"{}\" | {filter} }}}}", secret.name);
        self.variables.insert(name.clone(), placeholder);
        if one_time {
            // Once it is used up, an empty line will do.
            format!("${{{name}:-used}}")
        } else {
            format!("${{{name}:?see .env}}")
        }
    }
}

fn reference(key: &str, file: &File) -> Vec<(&'static str, String)> {
    let mut entry = vec![
        ("source", Value::from(key).to_string()),
        ("target", Value::from(file.path.as_str()).to_string()),
        ("mode", format!("{:#05o}", file.mode).replace("0o", "0")),
    ];
    if file.one_time {
        entry.push((ONE_TIME, true.to_string()));
    }
    entry
}

fn write_dependencies(writer: &mut Writer, dependencies: &[v1::Dependency]) {
    if dependencies.is_empty() {
        return;
    }
    writer.open("depends_on");
    for dependency in dependencies {
        writer.open(&dependency.service);
        let condition = match dependency.condition() {
            DependencyCondition::Healthy => "service_healthy",
            DependencyCondition::CompletedSuccessfully => "service_completed_successfully",
            DependencyCondition::Started | DependencyCondition::Unspecified => "service_started",
        };
        writer.text("condition", condition);
        writer.close();
    }
    writer.close();
}

fn write_health(writer: &mut Writer, check: &v1::HealthCheck) {
    writer.open("healthcheck");
    writer.list("test", &escaped(&check.test));
    for (key, milliseconds) in [
        ("interval", check.interval_milliseconds),
        ("timeout", check.timeout_milliseconds),
        ("start_period", check.start_period_milliseconds),
        ("start_interval", check.start_interval_milliseconds),
    ] {
        if milliseconds > 0 {
            writer.text(key, &duration(milliseconds));
        }
    }
    if check.retries > 0 {
        writer.raw("retries", &check.retries.to_string());
    }
    writer.close();
}

fn port(port: &v1::PublishedPort) -> String {
    let address = if port.host_address.contains(':') {
        format!("[{}]", port.host_address)
    } else {
        port.host_address.clone()
    };
    let protocol = match port.protocol() {
        PortProtocol::Udp => "/udp",
        PortProtocol::Tcp | PortProtocol::Unspecified => "",
    };
    format!(
        "{address}:{}:{}{protocol}",
        port.host_port, port.container_port
    )
}

fn restart(service: &v1::Service) -> &'static str {
    match service.restart() {
        RestartPolicy::Always => "always",
        RestartPolicy::OnFailure => "on-failure",
        RestartPolicy::UnlessStopped => "unless-stopped",
        RestartPolicy::No | RestartPolicy::Unspecified => "no",
    }
}

fn duration(milliseconds: u32) -> String {
    if milliseconds.is_multiple_of(1000) {
        format!("{}s", milliseconds / 1000)
    } else {
        format!("{milliseconds}ms")
    }
}

/// Words without variables.
fn escaped(words: &[String]) -> Vec<String> {
    words.iter().map(|word| word.replace('$', "$$")).collect()
}
