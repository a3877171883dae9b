//! `omni-scale-agent setup`: what this host is for.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use anyhow::{Context as _, bail};
use omni_scale_proto::role::HostRole;

use super::arguments::SetupArguments;
use super::tell;
use crate::config::{Allowed, Config, Granted, Paths, load, parse, render};
use crate::files;
use crate::unit::systemd::reload_and_restart;

const UNIT: &str = "omni-scale-agent.service";

const DROP_IN: &str = "\
# Written by `omni-scale-agent setup --role omni`.
#
# The Docker socket is root: whoever controls the agent's process controls this host. What the agent
# may be asked is limited by /etc/omni-scale/agent.toml.
[Service]
SupplementaryGroups=docker
";

/// Writes agent.toml and, for the omni role, the drop-in that gives the Docker socket; then has systemd run the agent
/// with them.
pub(super) async fn setup(
    paths: &Paths,
    roles: &BTreeSet<HostRole>,
    arguments: &SetupArguments,
) -> anyhow::Result<()> {
    let allowed = Allowed {
        image_repositories: arguments.image_repositories.clone(),
        artifact_sources: arguments.artifact_sources.clone(),
        artifact_sha256: arguments.artifact_sha256.clone(),
        hypervisors: arguments.hypervisors.clone(),
        tailnet: Granted {
            capability: arguments.tailnet_capability.clone(),
            logins: arguments.tailnet_logins.clone(),
            tags: arguments.tailnet_tags.clone(),
            bind: arguments.tailnet_bind.clone(),
        },
    };
    let text = render(roles, &allowed);
    // The same rules as at the agent's start, before anything is written.
    parse(&text, &paths.configuration)?;
    let place = paths.configuration.display();
    if decides_something(&paths.configuration) && !arguments.force {
        bail!("`{place}` is there already\nhint: edit it, or replace it with `--force`");
    }
    write_configuration(paths, &text)?;
    tell(&format!("wrote {place}"))?;
    if allowed.tailnet == Granted::default() {
        tell(
            "warning: every device of the tailnet may ask what its certificate allows; \
             `--force --tailnet-capability DOMAIN/cap/omni-scale`, or a login or a tag, limits that",
        )?;
    }
    if roles.contains(&HostRole::Omni) {
        let directory = paths
            .docker_drop_in
            .parent()
            .context("the drop-in lies in a directory")?;
        files::create_directory(directory, 0o755)?;
        files::write_atomically(&paths.docker_drop_in, DROP_IN.as_bytes(), 0o644)?;
        tell(&format!(
            "wrote {}: the agent may use the Docker socket, which is as good as root on this host",
            paths.docker_drop_in.display()
        ))?;
    } else if paths.docker_drop_in.exists() {
        files::remove(&paths.docker_drop_in)?;
        tell(&format!("removed {}", paths.docker_drop_in.display()))?;
    }
    match reload_and_restart(UNIT).await {
        Ok(()) => tell(
            "restarted the agent\nnext: `omni-scale-agent token`, then `omni-scale enroll` on your machine",
        )?,
        Err(error) => tell(&format!(
            "could not restart the agent ({}): do `systemctl daemon-reload && systemctl restart {UNIT}`",
            crate::error::chain(&error)
        ))?,
    }
    Ok(())
}

/// Whether there is a configuration in which something is decided: the one of the package, of this
/// version or an older one, decides nothing. One that cannot be read was written by somebody.
fn decides_something(path: &Path) -> bool {
    load(path).map_or(true, |config| config != Config::default())
}

/// Root's file, which the agent reads through its group.
fn write_configuration(paths: &Paths, text: &str) -> anyhow::Result<()> {
    let directory = paths
        .configuration
        .parent()
        .context("the configuration lies in a directory")?;
    files::create_directory(directory, 0o755)?;
    files::write_atomically(&paths.configuration, text.as_bytes(), 0o640)?;
    if let Ok(state) = std::fs::metadata(&paths.state) {
        chown(&paths.configuration, None, Some(state.gid())).with_context(|| {
            format!(
                "cannot give `{}` to the agent's group",
                paths.configuration.display()
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT;

    #[test]
    fn only_what_decides_something_is_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.toml");
        assert!(!decides_something(&path));
        for (text, decides) in [
            (DEFAULT, false),
            // As an older version of the package may have brought it.
            ("# A comment of another version.\n[policy]\n", false),
            ("roles = [\"tsidp\"]", true),
            ("roles = [", true),
        ] {
            files::write_atomically(&path, text.as_bytes(), 0o640).unwrap();
            assert_eq!(decides_something(&path), decides, "{text}");
        }
    }
}
