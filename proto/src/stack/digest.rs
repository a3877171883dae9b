//! One number that says whether a container is still what was asked for.

use prost::Message as _;

use crate::id::Sha256;
use crate::v1;

/// The digest of a service: over every field but the one-time files, in the order of the
/// contract. Secrets count by name; their values have a keyed digest of their own.
///
/// A field that a later contract adds changes no digest while it has its default value, because
/// such values are not encoded.
pub fn service_digest(service: &v1::Service) -> Sha256 {
    let mut service = service.clone();
    service.files.retain(|file| !file.one_time);
    service
        .files
        .sort_by(|left, right| left.path.cmp(&right.path));
    service
        .environment
        .sort_by(|left, right| left.name.cmp(&right.name));
    Sha256::of(&service.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::examples;

    #[test]
    fn the_order_of_variables_and_one_time_files_do_not_matter() {
        let variable = |name: &str| v1::EnvironmentVariable {
            name: name.to_owned(),
            value: Some(examples::literal("1")),
        };
        let mut one = examples::service("omni");
        one.environment = vec![variable("A"), variable("B")];
        let mut other = one.clone();
        other.environment.reverse();
        other.files.push(v1::File {
            path: "/run/key".to_owned(),
            one_time: true,
            ..v1::File::default()
        });
        assert_eq!(service_digest(&one), service_digest(&other));
    }

    #[test]
    fn what_makes_another_container_makes_another_digest() {
        let service = examples::service("omni");
        let changed = |change: fn(&mut v1::Service)| {
            let mut other = service.clone();
            change(&mut other);
            service_digest(&other)
        };
        let before = service_digest(&service);
        assert_ne!(
            before,
            changed(|service| service.image = examples::image("omni", '2'))
        );
        assert_ne!(before, changed(|service| service.user = "1000".to_owned()));
        assert_ne!(
            before,
            changed(|service| service.command = Some(v1::Arguments::default()))
        );
        assert_ne!(
            before,
            changed(|service| {
                service.files.push(v1::File {
                    path: "/etc/omni.yaml".to_owned(),
                    content: Some(examples::literal("a: 1")),
                    ..v1::File::default()
                });
            })
        );
    }
}
