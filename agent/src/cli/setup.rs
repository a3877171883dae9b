//! `omni-scale-agent setup`: what this host is for.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use anyhow::{Context as _, bail};
use omni_scale_proto::role::HostRole;

use super::arguments::SetupArguments;
use super::tell;
use crate::config::{Allowed, DEFAULT, Granted, Paths, parse, render};
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
    if says_something(&paths.configuration)? && !arguments.force {
        bail!("`{place}` is there already\nhint: edit it, or replace it with `--force`");
    }
    write_configuration(paths, &text)?;
    tell(&format!("wrote {place}"))?;
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

/// Whether there is a configuration that somebody has written: the one of the package says nothing.
fn says_something(path: &Path) -> anyhow::Result<bool> {
    const LARGEST: u64 = 1024 * 1024;
    let contents = files::read(path, LARGEST)?;
    Ok(contents.is_some_and(|contents| contents != DEFAULT.as_bytes()))
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
