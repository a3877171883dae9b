//! The stack: the built-in one, or the user's.

use omni_scale_proto::id::ServiceName;
use omni_scale_proto::stack::namespace_of;
use omni_scale_proto::v1::{Network, Stack, Volume};

use super::parts::{
    API_PORT, DEFAULT_NETWORK, ETCD_VOLUME, OMNI, PROVIDER, SIDECAR, SQLITE_VOLUME, STACK_NAME,
    STATE_VOLUME,
};
use super::{omni, omni_dns_name, provider, sidecar};
use crate::compose;
use crate::deployment::{BuiltInStack, ComposeStack, Deployment, Files};
use crate::document::{Problems, Report};
use crate::plan::DesiredStack;

pub(super) fn built_in(deployment: &Deployment, built_in: &BuiltInStack) -> DesiredStack {
    let mut services = vec![
        sidecar::render(deployment, built_in),
        omni::render(deployment, built_in),
    ];
    if let Some(provider) = &built_in.provider {
        services.push(provider::render(deployment, provider));
    }
    let volume = |name: &str| Volume {
        name: name.to_owned(),
        engine_name: format!("{STACK_NAME}_{name}"),
        external: false,
        labels: [].into(),
    };
    DesiredStack {
        host: deployment.omni.host.clone(),
        stack: Stack {
            name: STACK_NAME.to_owned(),
            services,
            volumes: [ETCD_VOLUME, SQLITE_VOLUME, STATE_VOLUME]
                .map(volume)
                .into(),
            networks: vec![Network {
                name: DEFAULT_NETWORK.to_owned(),
                engine_name: format!("{STACK_NAME}_{DEFAULT_NETWORK}"),
                external: false,
                internal: false,
            }],
        },
        sidecar: service_name(SIDECAR),
        omni: service_name(OMNI),
        provider: built_in.provider.as_ref().map(|_| service_name(PROVIDER)),
        dns_name: omni_dns_name(deployment).to_string(),
        health_url: format!("http://127.0.0.1:{API_PORT}/healthz"),
    }
}

fn service_name(name: &str) -> ServiceName {
    name.parse()
        .expect("the built-in services are named by constants that are names")
}

/// The user's own stack: as its file says, with the parts that the deployment names.
pub(super) fn from_compose(
    files: &dyn Files,
    deployment: &Deployment,
    compose: &ComposeStack,
) -> Result<DesiredStack, Problems> {
    let source = compose::Source {
        file: compose.file.clone(),
        env_file: compose.env_file.clone(),
        profiles: compose.profiles.clone(),
    };
    let file = compose::read(files, &source)?;
    let stack = &file.stack;
    let report = Report::default();
    let location = file.services();
    let parts = [
        ("sidecar", Some(&compose.sidecar)),
        ("omni", Some(&compose.omni)),
        ("provider", compose.provider.as_ref()),
    ];
    for (index, (key, name)) in parts.iter().enumerate() {
        let Some(name) = name else { continue };
        if stack
            .services
            .iter()
            .all(|service| service.name != name.as_str())
        {
            report.add(
                location,
                format!("no service is named `{name}`, as `omni.stack.{key}` says"),
            );
        }
        if let Some((other, _)) = parts[..index]
            .iter()
            .find(|(_, other)| *other == Some(*name))
        {
            report.add(
                location,
                format!("the service `{name}` cannot be both `omni.stack.{other}` and `omni.stack.{key}`"),
            );
        }
    }
    shares_namespace(&file, compose, &report);
    let stack = report.conclude(Some(file.stack))?;
    Ok(DesiredStack {
        host: deployment.omni.host.clone(),
        stack,
        sidecar: compose.sidecar.clone(),
        omni: compose.omni.clone(),
        provider: compose.provider.clone(),
        dns_name: omni_dns_name(deployment).to_string(),
        health_url: compose.health_url.to_string(),
    })
}

/// Omni has no node of its own: without the sidecar's network namespace it is not on the tailnet,
/// and the checks from inside of that namespace say nothing about it.
fn shares_namespace(file: &compose::ComposeFile, compose: &ComposeStack, report: &Report) {
    let (omni, sidecar) = (&compose.omni, &compose.sidecar);
    let mut services = file.stack.services.iter();
    let service = services.find(|service| service.name == omni.as_str());
    let Some(service) = service.filter(|_| omni != sidecar) else {
        return;
    };
    if namespace_of(service) == Some(sidecar.as_str()) {
        return;
    }
    report.add_with_hint(
        file.place(omni.as_str(), &["network_mode", "networks"]),
        format!(
            "the service `{omni}` is Omni and does not share the network namespace of its sidecar `{sidecar}`, so that it is not on the tailnet"
        ),
        format!(
            "write `network_mode: service:{sidecar}`; `networks` and `ports` belong to `{sidecar}` then"
        ),
    );
}
