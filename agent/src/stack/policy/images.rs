//! Which images may run here, by the repository they come from.

use crate::config::Policy;

/// Whether `agent.toml` lists the repository of this reference.
pub fn allows_image(policy: &Policy, reference: &str) -> bool {
    let asked = repository(reference);
    policy
        .image_repositories
        .iter()
        .any(|allowed| match allowed.strip_suffix("/*") {
            Some(parent) => {
                let parent = full_parent(parent);
                asked
                    .strip_prefix(&parent)
                    .is_some_and(|rest| rest.starts_with('/'))
            }
            None => repository(allowed) == asked,
        })
}

/// The repository of an image reference in its full form: `docker.io/library/busybox` for
/// `busybox:1.36@sha256:…`.
pub fn repository(reference: &str) -> String {
    let name = reference.split('@').next().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        // A colon before a slash is that of a port.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((host, _)) if is_host(host) => match name.strip_prefix("index.docker.io/") {
            Some(rest) => format!("docker.io/{rest}"),
            None => name.to_owned(),
        },
        Some(_) => format!("docker.io/{name}"),
    }
}

/// `PARENT/*` may name a registry alone.
fn full_parent(parent: &str) -> String {
    let first = parent.split('/').next().unwrap_or_default();
    if is_host(first) {
        parent.to_owned()
    } else {
        format!("docker.io/{parent}")
    }
}

/// As the Engine tells a registry from the first part of a path.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(list: &[&str], reference: &str) -> bool {
        let policy = Policy {
            image_repositories: list.iter().map(ToString::to_string).collect(),
            ..Policy::default()
        };
        allows_image(&policy, reference)
    }

    #[test]
    fn a_repository_is_allowed_by_its_full_name() {
        let list = ["ghcr.io/siderolabs/omni", "tailscale/tailscale"];
        assert!(allowed(&list, "ghcr.io/siderolabs/omni:v1.2@sha256:aa"));
        assert!(allowed(&list, "docker.io/tailscale/tailscale:v1"));
        assert!(!allowed(&list, "ghcr.io/siderolabs/omni-evil:v1"));
        assert!(!allowed(&list, "evil.example/ghcr.io/siderolabs/omni"));
        assert!(!allowed(&[], "busybox"));
    }

    #[test]
    fn a_star_allows_what_lies_below_and_no_more() {
        let list = ["127.0.0.1:5000/*", "ghcr.io/siderolabs/*"];
        assert!(allowed(&list, "127.0.0.1:5000/omni:v1"));
        assert!(allowed(&list, "ghcr.io/siderolabs/omni"));
        assert!(!allowed(&list, "ghcr.io/siderolabs"));
        assert!(!allowed(&list, "ghcr.io/siderolabs-evil/omni"));
        assert!(!allowed(&list, "127.0.0.1:50001/omni"));
    }

    #[test]
    fn short_names_are_those_of_docker_hub() {
        assert_eq!(repository("busybox:1"), "docker.io/library/busybox");
        assert_eq!(
            repository("localhost:5000/a/b:1@sha256:x"),
            "localhost:5000/a/b"
        );
        assert_eq!(repository("a/b"), "docker.io/a/b");
    }
}
