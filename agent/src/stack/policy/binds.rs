//! Which parts of the host's file system a container may see.

use std::path::{Component, Path, PathBuf};

/// Never, whatever the roots: sockets that are as good as root, what the Engine and this agent
/// keep, and the kernel's own trees. Nor anything that one of these lies in.
const NEVER: [&str; 16] = [
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/docker",
    "/run/containerd",
    "/run/podman",
    "/run/dbus",
    "/run/systemd",
    "/run/omni-scale",
    "/run/tailscale",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/omni-scale",
    "/etc/omni-scale",
    "/proc",
    "/sys",
    "/dev",
];

/// What becomes of a bind mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It lies below one of the roots.
    Allowed,
    /// It does not, or the agent cannot tell.
    Outside,
    /// No root can allow it.
    Never,
}

/// Judges the source of a bind mount, as it is written and as it is found on the host.
///
/// The Engine follows symbolic links when it mounts. A link that is put there between this look
/// and the mount is not seen; only somebody who can write below the root could do that.
pub(super) fn judge(source: &str, roots: &[PathBuf]) -> Verdict {
    let written = Path::new(source);
    let odd = written
        .components()
        .any(|part| matches!(part, Component::ParentDir | Component::Prefix(_)));
    if odd || !written.is_absolute() {
        return Verdict::Outside;
    }
    if is_never(written) {
        return Verdict::Never;
    }
    let Some(found) = resolved(written) else {
        return Verdict::Outside;
    };
    if is_never(&found) {
        return Verdict::Never;
    }
    let below_a_root = roots.iter().any(|root| {
        root.is_absolute()
            && written.starts_with(root)
            && resolved(root).is_some_and(|root| found.starts_with(root))
    });
    if below_a_root {
        Verdict::Allowed
    } else {
        Verdict::Outside
    }
}

/// It is one of these, lies in one, or holds one.
fn is_never(path: &Path) -> bool {
    NEVER
        .iter()
        .map(Path::new)
        .any(|never| path.starts_with(never) || never.starts_with(path))
}

/// The path without symbolic links. What does not exist yet is taken as it is written, below the
/// last part that does. `None`: the agent may not look.
fn resolved(path: &Path) -> Option<PathBuf> {
    let mut existing = path;
    loop {
        match existing.canonicalize() {
            Ok(real) => {
                let rest = path.strip_prefix(existing).ok()?;
                return Some(if rest.as_os_str().is_empty() {
                    real
                } else {
                    real.join(rest)
                });
            }
            // A link that leads nowhere exists, and could lead anywhere later.
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound
                    && existing.symlink_metadata().is_err() =>
            {
                existing = existing.parent()?;
            }
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_source_must_lie_below_a_root_after_all_links() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("data")).unwrap();
        std::fs::create_dir(directory.path().join("outside")).unwrap();
        symlink(directory.path().join("outside"), root.join("leak")).unwrap();
        symlink("/nonexistent/place", root.join("dangling")).unwrap();
        symlink("/etc/omni-scale", root.join("secrets")).unwrap();
        let roots = [root.clone()];
        let judge = |path: PathBuf| judge(path.to_str().unwrap(), &roots);
        assert_eq!(judge(root.join("data")), Verdict::Allowed);
        assert_eq!(judge(root.join("data/not/yet")), Verdict::Allowed);
        assert_eq!(judge(root.clone()), Verdict::Allowed);
        assert_eq!(judge(root.join("leak")), Verdict::Outside);
        assert_eq!(judge(root.join("leak/below")), Verdict::Outside);
        assert_eq!(judge(root.join("dangling")), Verdict::Outside);
        assert_eq!(judge(directory.path().join("outside")), Verdict::Outside);
        assert_eq!(judge(directory.path().join("rootless")), Verdict::Outside);
        assert_eq!(judge(root.join("data/../../outside")), Verdict::Outside);
    }

    #[test]
    fn the_sockets_are_out_of_reach_even_when_everything_is_a_root() {
        let roots = [PathBuf::from("/")];
        for source in [
            "/",
            "/run",
            "/var",
            "/var/run",
            "/run/docker.sock",
            "/var/lib",
            "/var/lib/omni-scale/secrets",
            "/etc",
            "/dev/sda",
            "/proc/1",
        ] {
            assert_eq!(judge(source, &roots), Verdict::Never, "{source}");
        }
        assert_eq!(judge("/srv", &roots), Verdict::Allowed);
    }
}
