//! A model of an engine and small stacks, for tests here and in other crates.

mod contract;
mod fake;
#[cfg(test)]
mod host;
mod model;

use std::sync::atomic::{AtomicU64, Ordering};

use omni_scale_proto::id::OperationId;
use omni_scale_proto::v1::{self, mount::Source, network_mode::Mode, segment::Part};

pub use contract::{Fixture, engine_contract};
pub use fake::FakeEngine;
#[cfg(test)]
pub(crate) use host::{StackHost, running_stack};
pub use model::{Behaviour, FakeImage};

/// A reference pinned by a digest that is a repetition of `digit`.
pub fn image(repository: &str, digit: char) -> String {
    format!("{repository}@sha256:{}", digit.to_string().repeat(64))
}

/// A text without secrets.
pub fn literal(text: &str) -> v1::Text {
    v1::Text {
        segments: vec![v1::Segment {
            part: Some(Part::Literal(text.to_owned())),
        }],
    }
}

/// A text that is one secret.
pub fn secret(name: &str) -> v1::Text {
    v1::Text {
        segments: vec![v1::Segment {
            part: Some(Part::Secret(v1::SecretReference {
                name: name.to_owned(),
                encoding: v1::SecretEncoding::Raw.into(),
            })),
        }],
    }
}

/// A file with this content, 0400.
pub fn file(path: &str, content: v1::Text) -> v1::File {
    v1::File {
        path: path.to_owned(),
        content: Some(content),
        mode: 0o400,
        ..v1::File::default()
    }
}

/// A dependency.
pub fn after(service: &str, condition: v1::DependencyCondition) -> v1::Dependency {
    v1::Dependency {
        service: service.to_owned(),
        condition: condition.into(),
    }
}

/// A service on no network.
pub fn service(name: &str) -> v1::Service {
    v1::Service {
        name: name.to_owned(),
        image: image(&format!("registry.example/{name}"), '1'),
        network_mode: Some(v1::NetworkMode {
            mode: Some(Mode::Named("none".to_owned())),
        }),
        restart: v1::RestartPolicy::Always.into(),
        ..v1::Service::default()
    }
}

/// A service in the namespace of another.
pub fn sharer(name: &str, owner: &str) -> v1::Service {
    v1::Service {
        network_mode: Some(v1::NetworkMode {
            mode: Some(Mode::Service(owner.to_owned())),
        }),
        ..service(name)
    }
}

/// The id of an operation that there was none of before.
pub fn new_operation() -> OperationId {
    static MADE: AtomicU64 = AtomicU64::new(1);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let id = format!("{number:064x}");
    id.parse().expect("64 hex digits are an operation id")
}

/// Provider, Omni and the sidecar whose namespace both share; a state volume and a network.
pub fn stack() -> v1::Stack {
    let mut omni = sharer("omni", "omni-tailscale");
    omni.depends_on = vec![after("omni-tailscale", v1::DependencyCondition::Healthy)];
    let mut provider = sharer("proxmox-provider", "omni-tailscale");
    provider.depends_on = vec![after("omni", v1::DependencyCondition::Started)];
    let mut sidecar = service("omni-tailscale");
    sidecar.mounts = vec![v1::Mount {
        target: "/state".to_owned(),
        source: Some(Source::Volume("state".to_owned())),
        ..v1::Mount::default()
    }];
    sidecar.network_mode = Some(v1::NetworkMode {
        mode: Some(Mode::Networks(v1::NetworkMemberships {
            memberships: vec![v1::NetworkMembership {
                network: "default".to_owned(),
                aliases: vec!["side".to_owned()],
            }],
        })),
    });
    sidecar.health_check = Some(v1::HealthCheck {
        test: vec!["CMD".to_owned(), "/bin/true".to_owned()],
        interval_milliseconds: 1_000,
        ..v1::HealthCheck::default()
    });
    v1::Stack {
        name: "omni".to_owned(),
        services: vec![provider, omni, sidecar],
        volumes: vec![v1::Volume {
            name: "state".to_owned(),
            engine_name: "omni_state".to_owned(),
            ..v1::Volume::default()
        }],
        networks: vec![v1::Network {
            name: "default".to_owned(),
            engine_name: "omni_default".to_owned(),
            ..v1::Network::default()
        }],
    }
}
