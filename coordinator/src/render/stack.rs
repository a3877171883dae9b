//! The stack: the built-in one, or the user's.

use omni_scale_proto::id::ServiceName;
use omni_scale_proto::v1::{self, Logging, Network, RestartPolicy, Stack, Volume};

use super::sidecar::API_PORT;
use super::{omni, omni_dns_name, provider, sidecar};
use crate::deployment::{BuiltInStack, ComposeStack, Deployment, Files};
use crate::document::{Location, Problems, Report};
use crate::image::ImageReference;
use crate::plan::DesiredStack;

/// The Compose project of the stack, for `docker compose -p omni`.
pub const STACK_NAME: &str = "omni";

pub(super) const SIDECAR: &str = "omni-tailscale";
pub(super) const OMNI: &str = "omni";
pub(super) const PROVIDER: &str = "proxmox-provider";

pub(super) const STATE_VOLUME: &str = "tailscale-state";
pub(super) const ETCD_VOLUME: &str = "etcd";
pub(super) const SQLITE_VOLUME: &str = "sqlite";
pub(super) const DEFAULT_NETWORK: &str = "default";

/// What all services of the built-in stack have in common.
pub(super) fn base(name: &str, image: &ImageReference) -> v1::Service {
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    v1::Service {
        name: name.to_owned(),
        image: image.to_string(),
        // Omni and the provider end when what they need is not there, and do not try again.
        restart: RestartPolicy::UnlessStopped.into(),
        // The Engine's default has no bound, and Omni writes several lines a minute.
        logging: Some(Logging {
            driver: "json-file".to_owned(),
            options: [option("max-size", "10m"), option("max-file", "3")].into(),
        }),
        ..v1::Service::default()
    }
}

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

/// The user's own stack. Only its names are checked here: what it does is theirs.
pub(super) fn from_compose(
    _files: &dyn Files,
    _deployment: &Deployment,
    compose: &ComposeStack,
) -> Result<DesiredStack, Problems> {
    let report = Report::default();
    let location = Location::start_of(&compose.file.display().to_string());
    report.add(&location, "Compose files cannot be read yet");
    report.conclude(None)
}
