//! What the services of the built-in stack have in common, and how they name each other.

use omni_scale_proto::v1::{self, Logging, RestartPolicy};

use crate::image::ImageReference;

/// The Compose project of the stack, for `docker compose -p omni`.
pub const STACK_NAME: &str = "omni";

pub(super) const SIDECAR: &str = "omni-tailscale";
pub(super) const OMNI: &str = "omni";
pub(super) const PROVIDER: &str = "proxmox-provider";

pub(super) const STATE_VOLUME: &str = "tailscale-state";
pub(super) const ETCD_VOLUME: &str = "etcd";
pub(super) const SQLITE_VOLUME: &str = "sqlite";
pub(super) const DEFAULT_NETWORK: &str = "default";

/// Of Omni's machine API.
pub(super) const MACHINE_API_PORT: u16 = 8090;
/// Of Omni's WireGuard.
pub(super) const WIREGUARD_PORT: u16 = 50180;
/// Of Omni's API and web page, on loopback.
pub(super) const API_PORT: u16 = 8080;
/// Of Omni's Kubernetes proxy, on loopback.
pub(super) const KUBERNETES_PROXY_PORT: u16 = 8095;
/// Of the Kubernetes proxy, on the tailnet.
pub(super) const KUBERNETES_PUBLIC_PORT: u16 = 8100;

/// What all services of the built-in stack have in common.
pub(super) fn base(name: &str, image: &ImageReference) -> v1::Service {
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    v1::Service {
        name: name.to_owned(),
        image: image.to_string(),
        // Omni and the provider end when what they need is not there, and do not try again.
        // Not `unless-stopped`: an Engine that was killed stops what outlived it when it comes back,
        // and takes that for the wish of a person.
        restart: RestartPolicy::Always.into(),
        // The Engine's default has no bound, and Omni writes several lines a minute.
        logging: Some(Logging {
            driver: "json-file".to_owned(),
            options: [option("max-size", "10m"), option("max-file", "3")].into(),
        }),
        ..v1::Service::default()
    }
}
