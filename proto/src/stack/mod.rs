//! A stack that makes sense: references resolve, images are pinned, the order is possible.
//!
//! This says nothing about what a host allows; that is the agent's policy.

mod check;
mod digest;
mod invalid;
mod order;
mod ports;

pub use digest::service_digest;
pub use invalid::InvalidStack;

use crate::id::StackName;
use crate::v1;

/// A [`v1::Stack`] that was checked: every name resolves, every image is pinned by digest, and
/// there is an order in which its services can start.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedStack {
    name: StackName,
    wire: v1::Stack,
    /// Indices into `wire.services`.
    order: Vec<usize>,
}

impl CheckedStack {
    /// The stack's name.
    pub const fn name(&self) -> &StackName {
        &self.name
    }

    /// The stack as it travels.
    pub const fn as_wire(&self) -> &v1::Stack {
        &self.wire
    }

    /// The stack as it travels.
    pub fn into_wire(self) -> v1::Stack {
        self.wire
    }

    /// The service with this name.
    pub fn service(&self, name: &str) -> Option<&v1::Service> {
        self.wire
            .services
            .iter()
            .find(|service| service.name == name)
    }

    /// Services in an order in which each comes after what it depends on; otherwise as declared.
    pub fn start_order(&self) -> Vec<&v1::Service> {
        self.order
            .iter()
            .map(|&index| &self.wire.services[index])
            .collect()
    }

    /// Services that share the network namespace of this one, in start order.
    pub fn sharers_of(&self, name: &str) -> Vec<&v1::Service> {
        self.start_order()
            .into_iter()
            .filter(|service| namespace_of(service) == Some(name))
            .collect()
    }
}

impl TryFrom<v1::Stack> for CheckedStack {
    type Error = InvalidStack;

    fn try_from(wire: v1::Stack) -> Result<Self, InvalidStack> {
        let name = check::stack(&wire)?;
        let order = order::start_order(&wire)?;
        Ok(Self { name, wire, order })
    }
}

/// The service whose network namespace this one shares.
pub fn namespace_of(service: &v1::Service) -> Option<&str> {
    match service.network_mode.as_ref()?.mode.as_ref()? {
        v1::network_mode::Mode::Service(name) => Some(name),
        v1::network_mode::Mode::Networks(_) | v1::network_mode::Mode::Named(_) => None,
    }
}

/// The digest of an image reference: `sha256:…` of `repository:tag@sha256:…`.
pub fn image_digest(reference: &str) -> Option<&str> {
    let (repository, digest) = reference.split_once('@')?;
    let sum = digest.strip_prefix("sha256:")?;
    (!repository.is_empty() && sum.parse::<crate::id::Sha256>().is_ok()).then_some(digest)
}

/// Names of the secrets whose values reach this service's container, sorted. One-time keys are
/// left out: they are used once, and a container does not change when they go.
pub fn secrets_of(service: &v1::Service) -> Vec<&str> {
    let in_files = service
        .files
        .iter()
        .filter(|file| !file.one_time)
        .filter_map(|file| file.content.as_ref());
    let in_environment = service
        .environment
        .iter()
        .filter_map(|variable| variable.value.as_ref());
    let mut names: Vec<&str> = in_files
        .chain(in_environment)
        .flat_map(|text| &text.segments)
        .filter_map(|segment| match segment.part.as_ref()? {
            v1::segment::Part::Secret(secret) => Some(secret.name.as_str()),
            v1::segment::Part::Literal(_) => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
pub(crate) mod examples {
    //! Small stacks for tests.

    use crate::v1;

    /// Pins an image by a digest that is a repetition of `digit`.
    pub(crate) fn image(repository: &str, digit: char) -> String {
        format!("{repository}@sha256:{}", digit.to_string().repeat(64))
    }

    /// A service on no network.
    pub(crate) fn service(name: &str) -> v1::Service {
        v1::Service {
            name: name.to_owned(),
            image: image(name, '1'),
            network_mode: Some(v1::NetworkMode {
                mode: Some(v1::network_mode::Mode::Named("none".to_owned())),
            }),
            ..v1::Service::default()
        }
    }

    /// A service in the namespace of another.
    pub(crate) fn sharer(name: &str, owner: &str) -> v1::Service {
        v1::Service {
            network_mode: Some(v1::NetworkMode {
                mode: Some(v1::network_mode::Mode::Service(owner.to_owned())),
            }),
            ..service(name)
        }
    }

    /// A dependency.
    pub(crate) fn after(name: &str, condition: v1::DependencyCondition) -> v1::Dependency {
        v1::Dependency {
            service: name.to_owned(),
            condition: condition.into(),
        }
    }

    /// A literal text.
    pub(crate) fn literal(text: &str) -> v1::Text {
        v1::Text {
            segments: vec![v1::Segment {
                part: Some(v1::segment::Part::Literal(text.to_owned())),
            }],
        }
    }

    /// A text that is one secret.
    pub(crate) fn secret(name: &str) -> v1::Text {
        v1::Text {
            segments: vec![v1::Segment {
                part: Some(v1::segment::Part::Secret(v1::SecretReference {
                    name: name.to_owned(),
                    encoding: v1::SecretEncoding::Raw.into(),
                })),
            }],
        }
    }

    /// Sidecar, Omni and provider.
    pub(crate) fn omni() -> v1::Stack {
        let mut omni = sharer("omni", "omni-tailscale");
        omni.depends_on = vec![after("omni-tailscale", v1::DependencyCondition::Healthy)];
        let mut provider = sharer("proxmox-provider", "omni-tailscale");
        provider.depends_on = vec![after("omni", v1::DependencyCondition::Started)];
        v1::Stack {
            name: "omni".to_owned(),
            services: vec![provider, omni, service("omni-tailscale")],
            ..v1::Stack::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharers_come_in_start_order() {
        let stack = CheckedStack::try_from(examples::omni()).unwrap();
        let names = |services: Vec<&v1::Service>| -> Vec<String> {
            services
                .into_iter()
                .map(|service| service.name.clone())
                .collect()
        };
        assert_eq!(
            names(stack.start_order()),
            ["omni-tailscale", "omni", "proxmox-provider"]
        );
        assert_eq!(
            names(stack.sharers_of("omni-tailscale")),
            ["omni", "proxmox-provider"]
        );
        assert!(stack.sharers_of("omni").is_empty());
    }

    #[test]
    fn only_a_whole_digest_pins_an_image() {
        let pinned = examples::image("registry.example:5000/omni:v1", 'a');
        assert!(image_digest(&pinned).is_some_and(|digest| digest.starts_with("sha256:aaa")));
        for loose in [
            "omni",
            "omni:v1",
            "omni@sha256:abc",
            "@sha256:",
            "omni@sha512:aa",
        ] {
            assert_eq!(image_digest(loose), None, "{loose}");
        }
    }

    #[test]
    fn one_time_keys_are_not_among_the_secrets_of_a_service() {
        let mut service = examples::service("omni");
        service.files = vec![
            v1::File {
                path: "/b".to_owned(),
                content: Some(examples::secret("key")),
                ..v1::File::default()
            },
            v1::File {
                path: "/a".to_owned(),
                content: Some(examples::secret("once")),
                one_time: true,
                ..v1::File::default()
            },
        ];
        service.environment = vec![v1::EnvironmentVariable {
            name: "TOKEN".to_owned(),
            value: Some(examples::secret("account")),
        }];
        assert_eq!(secrets_of(&service), ["account", "key"]);
    }
}
