//! What makes a stack make sense, field by field.

use std::collections::BTreeSet;

use super::invalid::InvalidStack;
use super::{image_digest, namespace_of, ports};
use crate::id::{SecretName, ServiceName, StackName};
use crate::v1::{self, network_mode::Mode};

type Checked = Result<(), InvalidStack>;

pub(super) fn stack(stack: &v1::Stack) -> Result<StackName, InvalidStack> {
    let name = stack
        .name
        .parse()
        .map_err(|error| InvalidStack::new("name", format!("{error}")))?;
    if stack.services.is_empty() {
        return Err(InvalidStack::new("services", "there is none"));
    }
    unique(
        "services",
        stack.services.iter().map(|service| service.name.as_str()),
    )?;
    unique(
        "volumes",
        stack.volumes.iter().map(|volume| volume.name.as_str()),
    )?;
    unique(
        "networks",
        stack.networks.iter().map(|network| network.name.as_str()),
    )?;
    for volume in &stack.volumes {
        engine_name(&volume.engine_name, || {
            format!("volumes.{}.engine_name", volume.name)
        })?;
    }
    for network in &stack.networks {
        let at = || format!("networks.{}.engine_name", network.name);
        engine_name(&network.engine_name, at)?;
        // A container takes its network by its name, and these are modes of their own.
        require(
            !["bridge", "default", "host", "none"].contains(&network.engine_name.as_str()),
            at,
            "is a network of the Engine's own",
        )?;
    }
    for one in &stack.services {
        service(stack, one)?;
    }
    ports::check(stack)?;
    Ok(name)
}

fn service(stack: &v1::Stack, service: &v1::Service) -> Checked {
    let at = |field: &str| format!("services.{}.{field}", service.name);
    service
        .name
        .parse::<ServiceName>()
        .map_err(|error| InvalidStack::new("services", error.to_string()))?;
    require(
        image_digest(&service.image).is_some(),
        || at("image"),
        "is not pinned: it must end in `@sha256:` and 64 hex digits",
    )?;
    require(
        image_name(&service.image),
        || at("image"),
        "is no reference of an image",
    )?;
    network(stack, service)?;
    for dependency in &service.depends_on {
        let known = stack
            .services
            .iter()
            .any(|other| other.name == dependency.service);
        require(
            known,
            || at("depends_on"),
            "names a service that the stack does not have",
        )?;
        require(
            dependency.service != service.name,
            || at("depends_on"),
            "names the service itself",
        )?;
        require(
            dependency.condition() != v1::DependencyCondition::Unspecified,
            || at("depends_on"),
            "has no condition",
        )?;
    }
    unique(
        &at("environment"),
        service
            .environment
            .iter()
            .map(|variable| variable.name.as_str()),
    )?;
    for variable in &service.environment {
        let valid = !variable.name.is_empty() && !variable.name.contains(['=', '\0']);
        require(
            valid,
            || at("environment"),
            "has a name that is empty or holds `=`",
        )?;
        text(&at("environment"), variable.value.as_ref())?;
    }
    files_and_mounts(stack, service)?;
    for port in &service.ports {
        let range = 1..=65535;
        let valid = range.contains(&port.container_port) && port.host_port <= 65535;
        require(valid, || at("ports"), "has a port outside 1 to 65535")?;
        require(
            port.protocol() != v1::PortProtocol::Unspecified,
            || at("ports"),
            "has no protocol",
        )?;
        let address =
            port.host_address.is_empty() || port.host_address.parse::<std::net::IpAddr>().is_ok();
        require(
            address,
            || at("ports"),
            "has a host address that is not an IP address",
        )?;
    }
    if let Some(check) = &service.health_check {
        let kind = check.test.first().map(String::as_str);
        let valid = match kind {
            Some("NONE") => check.test.len() == 1,
            Some("CMD") => check.test.len() >= 2,
            Some("CMD-SHELL") => check.test.len() == 2,
            _ => false,
        };
        require(
            valid,
            || at("health_check"),
            "must be `NONE`, `CMD` and its words, or `CMD-SHELL` and one text",
        )?;
    }
    Ok(())
}

fn network(stack: &v1::Stack, service: &v1::Service) -> Checked {
    let at = || format!("services.{}.network_mode", service.name);
    let mode = service
        .network_mode
        .as_ref()
        .and_then(|mode| mode.mode.as_ref());
    match mode {
        None => Err(InvalidStack::new(at(), "is not said")),
        Some(Mode::Named(name)) => require(
            matches!(name.as_str(), "none" | "bridge" | "host"),
            at,
            "is not `none`, `bridge` or `host`",
        ),
        Some(Mode::Networks(networks)) => {
            let known = |name: &str| stack.networks.iter().any(|network| network.name == name);
            let all = networks
                .memberships
                .iter()
                .all(|membership| known(&membership.network));
            require(
                all && !networks.memberships.is_empty(),
                at,
                "names no network of the stack",
            )
        }
        Some(Mode::Service(owner)) => {
            let owner = stack
                .services
                .iter()
                .find(|other| other.name == *owner && other.name != service.name);
            let Some(owner) = owner else {
                return Err(InvalidStack::new(
                    at(),
                    "names a service that the stack does not have",
                ));
            };
            require(
                namespace_of(owner).is_none(),
                at,
                "names a service that has no namespace of its own",
            )?;
            require(
                service.ports.is_empty(),
                at,
                "shares a namespace: its ports belong to the namespace's owner",
            )
        }
    }
}

fn files_and_mounts(stack: &v1::Stack, service: &v1::Service) -> Checked {
    let at = |field: &str| format!("services.{}.{field}", service.name);
    unique(
        &at("files"),
        service.files.iter().map(|file| file.path.as_str()),
    )?;
    for file in &service.files {
        absolute(&at("files"), &file.path)?;
        require(file.mode <= 0o7777, || at("files"), "has a mode above 7777")?;
        text(&at("files"), file.content.as_ref())?;
    }
    unique(
        &at("mounts"),
        service.mounts.iter().map(|mount| mount.target.as_str()),
    )?;
    for mount in &service.mounts {
        absolute(&at("mounts"), &mount.target)?;
        match &mount.source {
            None => return Err(InvalidStack::new(at("mounts"), "has no source")),
            Some(v1::mount::Source::Bind(source)) => absolute(&at("mounts"), source)?,
            Some(v1::mount::Source::Volume(name)) => {
                let known = stack.volumes.iter().any(|volume| volume.name == *name);
                require(
                    known,
                    || at("mounts"),
                    "names a volume that the stack does not have",
                )?;
                // The Engine is told `NAME:TARGET:rw`.
                require(
                    !mount.target.contains(':'),
                    || at("mounts"),
                    "has a volume's target with a `:` in it",
                )?;
            }
            Some(v1::mount::Source::Temporary(_)) => {}
        }
    }
    for device in &service.devices {
        absolute(&at("devices"), &device.source)?;
        absolute(&at("devices"), &device.target)?;
    }
    Ok(())
}

/// A name that is one to the Engine, whatever it stands in: a source of a bind, a mode, an address.
///
/// Source: moby/moby, daemon/names/names.go (`RestrictedNameChars`).
fn engine_name(name: &str, path: impl Fn() -> String) -> Checked {
    let character = |one: char| one.is_ascii_alphanumeric() || "_.-".contains(one);
    let valid = name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(character)
        && name.len() <= 255;
    require(
        valid,
        path,
        "is not a letter or digit, followed by letters, digits, `_`, `.` and `-`, 255 at most",
    )
}

/// The parts of an image's name, with nothing in them that leads elsewhere in an address.
fn image_name(reference: &str) -> bool {
    let character = |one: char| one.is_ascii_alphanumeric() || "._-/:@".contains(one);
    let part = |part: &str| !matches!(part, "" | "." | "..");
    reference.chars().all(character) && reference.split('/').all(part)
}

fn text(path: &str, text: Option<&v1::Text>) -> Checked {
    let Some(text) = text else {
        return Err(InvalidStack::new(path, "has no value"));
    };
    for segment in &text.segments {
        match &segment.part {
            None => return Err(InvalidStack::new(path, "has an empty segment")),
            Some(v1::segment::Part::Literal(_)) => {}
            Some(v1::segment::Part::Secret(secret)) => {
                secret
                    .name
                    .parse::<SecretName>()
                    .map_err(|error| InvalidStack::new(path, error.to_string()))?;
                let encoded = secret.encoding() != v1::SecretEncoding::Unspecified;
                require(
                    encoded,
                    || path.to_owned(),
                    "has a secret without an encoding",
                )?;
            }
        }
    }
    Ok(())
}

fn absolute(path: &str, value: &str) -> Checked {
    let valid = value.starts_with('/')
        && !value.contains('\0')
        && value.split('/').all(|part| part != "..");
    if valid {
        Ok(())
    } else {
        let value: String = value.chars().take(80).collect();
        Err(InvalidStack::new(
            path,
            format!("`{value}` is not an absolute path without `..`"),
        ))
    }
}

fn unique<'a>(path: &str, names: impl Iterator<Item = &'a str>) -> Checked {
    let mut seen = BTreeSet::new();
    for name in names {
        require(
            !name.is_empty(),
            || path.to_owned(),
            "has an entry without a name",
        )?;
        if !seen.insert(name) {
            return Err(InvalidStack::new(path, format!("`{name}` stands twice")));
        }
    }
    Ok(())
}

fn require(holds: bool, path: impl FnOnce() -> String, reason: &str) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(InvalidStack::new(path(), reason))
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckedStack;
    use super::super::examples::{after, image, literal, omni, service};
    use super::*;

    /// The message for the example stack after a change to its first service.
    fn refused(change: impl FnOnce(&mut v1::Service)) -> String {
        let mut stack = omni();
        change(&mut stack.services[1]);
        CheckedStack::try_from(stack).unwrap_err().to_string()
    }

    #[test]
    fn each_fault_is_named_with_its_field() {
        let cases = [
            (
                refused(|service| service.image = "omni:v1".to_owned()),
                "services.omni.image",
            ),
            (
                refused(|service| service.network_mode = None),
                "services.omni.network_mode",
            ),
            (
                refused(|service| service.depends_on[0].service = "gone".to_owned()),
                "services.omni.depends_on",
            ),
            (
                refused(|service| {
                    service.depends_on = vec![after(
                        "omni-tailscale",
                        v1::DependencyCondition::Unspecified,
                    )];
                }),
                "services.omni.depends_on",
            ),
            (
                refused(|service| service.ports = vec![v1::PublishedPort::default()]),
                "services.omni.network_mode",
            ),
            (
                refused(|service| {
                    service.mounts = vec![v1::Mount {
                        target: "/x".to_owned(),
                        ..v1::Mount::default()
                    }];
                }),
                "services.omni.mounts",
            ),
            (
                refused(|service| {
                    service.files = vec![v1::File {
                        path: "/a/../b".to_owned(),
                        content: Some(literal("")),
                        ..v1::File::default()
                    }];
                }),
                "services.omni.files",
            ),
            (
                refused(|service| service.health_check = Some(v1::HealthCheck::default())),
                "services.omni.health_check",
            ),
            (
                refused(|service| service.name = "proxmox-provider".to_owned()),
                "`proxmox-provider` stands twice",
            ),
        ];
        for (message, expected) in cases {
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_namespace_cannot_be_shared_through_a_sharer() {
        let mut stack = omni();
        stack.services[0].network_mode = Some(v1::NetworkMode {
            mode: Some(Mode::Service("omni".to_owned())),
        });
        let error = CheckedStack::try_from(stack).unwrap_err();
        assert!(error.reason.contains("no namespace of its own"), "{error}");
    }

    #[test]
    fn a_stack_needs_a_service_and_a_name() {
        let empty = v1::Stack {
            name: "omni".to_owned(),
            ..v1::Stack::default()
        };
        assert!(CheckedStack::try_from(empty).is_err());
        let unnamed = v1::Stack {
            services: vec![service("a")],
            ..v1::Stack::default()
        };
        assert_eq!(CheckedStack::try_from(unnamed).unwrap_err().path, "name");
    }

    fn refused_stack(change: impl FnOnce(&mut v1::Stack)) -> String {
        let mut stack = omni();
        change(&mut stack);
        CheckedStack::try_from(stack).unwrap_err().to_string()
    }

    fn volume(engine_name: &str) -> v1::Volume {
        v1::Volume {
            name: "b".to_owned(),
            engine_name: engine_name.to_owned(),
            external: true,
            ..v1::Volume::default()
        }
    }

    fn network(engine_name: &str) -> v1::Network {
        v1::Network {
            name: "n".to_owned(),
            engine_name: engine_name.to_owned(),
            external: true,
            ..v1::Network::default()
        }
    }

    #[test]
    fn a_volume_is_a_name_and_no_place_on_the_host() {
        for name in [
            "", "/etc", "/../etc", "../etc", "etc:rw", ".etc", "a/b", "é",
        ] {
            let said = refused_stack(|stack| stack.volumes.push(volume(name)));
            assert!(said.contains("`volumes.b.engine_name`"), "{name}: {said}");
        }
        let mut stack = omni();
        stack.volumes.push(volume("omni_state-1.old"));
        CheckedStack::try_from(stack).unwrap();
    }

    #[test]
    fn a_network_is_neither_a_mode_nor_another_containers() {
        for name in ["host", "none", "bridge", "default", "container:omni", "a b"] {
            let said = refused_stack(|stack| stack.networks.push(network(name)));
            assert!(said.contains("`networks.n.engine_name`"), "{name}: {said}");
        }
    }

    #[test]
    fn the_target_of_a_volume_says_nothing_of_its_options() {
        let said = refused_stack(|stack| {
            stack.volumes.push(volume("data"));
            stack.services[0].mounts.push(v1::Mount {
                target: "/data:shared".to_owned(),
                source: Some(v1::mount::Source::Volume("b".to_owned())),
                ..v1::Mount::default()
            });
        });
        assert!(said.contains("`:`"), "{said}");
    }

    #[test]
    fn an_image_leads_nowhere_else() {
        for name in ["registry.example/../omni", "omni?x", "a//b", "%2e%2e/omni"] {
            let reference = image(name, 'a');
            let said = refused_stack(|stack| stack.services[0].image = reference);
            assert!(said.contains("image"), "{name}: {said}");
        }
    }
}
