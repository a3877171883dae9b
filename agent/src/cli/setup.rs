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
/// There when systemd is this host's init (`sd_booted(3)`).
const SYSTEMD_RUNS: &str = "/run/systemd/system";

const DROP_IN: &str = "\
# Written by `omni-scale-agent setup --role omni`.
#
# The Docker socket is root: whoever controls the agent's process controls this host. What the agent
# may be asked is limited by /etc/omni-scale/agent.toml.
[Service]
SupplementaryGroups=docker
";

/// Writes agent.toml, or keeps the one that is there, and for the omni role writes the drop-in that gives the Docker
/// socket; then has systemd run the agent with them. Nothing is written when something is in the way.
pub(super) async fn setup(paths: &Paths, arguments: &SetupArguments) -> anyhow::Result<()> {
    let given: BTreeSet<HostRole> = arguments.roles.iter().copied().collect();
    let allowed = allowed(arguments);
    let place = paths.configuration.display();
    let (roles, text) = if given.is_empty() {
        (roles_there(paths)?, None)
    } else {
        let text = render(&given, &allowed);
        // The same rules as at the agent's start, before anything is written.
        parse(&text, &paths.configuration)?;
        if decides_something(&paths.configuration) && !arguments.force {
            bail!(
                "`{place}` is there already\nhint: edit it, then `omni-scale-agent setup` without options; or \
                 replace all of it with `--force`"
            );
        }
        (given, Some(text))
    };
    if roles.contains(&HostRole::Omni) {
        check_docker_group(paths)?;
    }
    match text {
        Some(text) => {
            write_configuration(paths, &text)?;
            tell(&format!("wrote {place}"))?;
            if allowed.tailnet == Granted::default() {
                tell(
                    "warning: every device of the tailnet may ask what its certificate allows; \
                     `--force --tailnet-capability DOMAIN/cap/omni-scale`, or a login or a tag, limits that",
                )?;
            }
        }
        None => tell(&format!("kept {place}"))?,
    }
    give_docker_socket(paths, roles.contains(&HostRole::Omni))?;
    match reload_and_restart(UNIT).await {
        Ok(()) => tell(
            "restarted the agent\nnext, on a host that is not enrolled: `omni-scale-agent token`, then \
             `omni-scale enroll` on your machine",
        )?,
        Err(error) if Path::new(SYSTEMD_RUNS).exists() => bail!(
            "the agent does not run with it: {}\nhint: `systemctl status {UNIT}` says why",
            crate::error::chain(&error)
        ),
        Err(error) => tell(&format!(
            "could not restart the agent ({}): do `systemctl daemon-reload && systemctl restart {UNIT}`",
            crate::error::chain(&error)
        ))?,
    }
    Ok(())
}

fn allowed(arguments: &SetupArguments) -> Allowed {
    Allowed {
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
    }
}

/// The roles of the configuration that is there.
fn roles_there(paths: &Paths) -> anyhow::Result<BTreeSet<HostRole>> {
    let roles = load(&paths.configuration)?.roles;
    if roles.is_empty() {
        bail!(
            "`{}` gives this host no role\nhint: say with `--role tsidp`, `--role omni` or `--role proxmox` what it is for",
            paths.configuration.display()
        );
    }
    Ok(roles)
}

/// systemd does not start a unit at all that shall have a group that is not there.
fn check_docker_group(paths: &Paths) -> anyhow::Result<()> {
    let groups = std::fs::read_to_string(&paths.groups).unwrap_or_default();
    if groups.lines().any(|group| group.starts_with("docker:")) {
        return Ok(());
    }
    bail!(
        "this host has no group `docker`, which the agent is to use the Docker Engine by; nothing was changed\n\
         hint: install the Engine first (`apt install docker.io`, or Docker's own packages), then run this again"
    )
}

/// Writes the drop-in of the agent's unit, or removes it.
fn give_docker_socket(paths: &Paths, wanted: bool) -> anyhow::Result<()> {
    let place = paths.docker_drop_in.display();
    if wanted {
        let directory = paths
            .docker_drop_in
            .parent()
            .context("the drop-in lies in a directory")?;
        files::create_directory(directory, 0o755)?;
        files::write_atomically(&paths.docker_drop_in, DROP_IN.as_bytes(), 0o644)?;
        tell(&format!(
            "wrote {place}: the agent may use the Docker socket, which is as good as root on this host"
        ))?;
    } else if paths.docker_drop_in.exists() {
        files::remove(&paths.docker_drop_in)?;
        tell(&format!("removed {place}"))?;
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
    use clap::Parser as _;

    use super::*;
    use crate::cli::arguments::{Arguments, Command};
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

    fn arguments(words: &[&str]) -> SetupArguments {
        let words = ["omni-scale-agent", "setup"].iter().chain(words);
        match Arguments::try_parse_from(words).unwrap().command {
            Some(Command::Setup(arguments)) => arguments,
            other => panic!("{other:?}"),
        }
    }

    /// A host whose systemd cannot be asked: what is written is all that is done.
    fn host(groups: &str) -> (tempfile::TempDir, Paths) {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::below(directory.path());
        files::write_atomically(&paths.groups, groups.as_bytes(), 0o644).unwrap();
        (directory, paths)
    }

    #[test]
    fn an_omni_host_without_the_engines_group_is_left_as_it_was() {
        let (_directory, paths) = host("root:x:0:\nnotdocker:x:5:\n");
        let refused = check_docker_group(&paths).unwrap_err().to_string();
        assert!(refused.contains("install the Engine first"), "{refused}");
        let (_directory, paths) = host("root:x:0:\ndocker:x:998:\n");
        check_docker_group(&paths).unwrap();
    }

    #[test]
    fn the_drop_in_comes_and_goes_with_the_role() {
        let (_directory, paths) = host("");
        give_docker_socket(&paths, true).unwrap();
        let drop_in = std::fs::read_to_string(&paths.docker_drop_in).unwrap();
        assert!(drop_in.contains("SupplementaryGroups=docker"));
        give_docker_socket(&paths, false).unwrap();
        assert!(!paths.docker_drop_in.exists());
    }

    #[test]
    fn without_a_role_the_configuration_that_is_there_decides() {
        let (_directory, paths) = host("");
        let refused = roles_there(&paths).unwrap_err().to_string();
        assert!(refused.contains("--role tsidp"), "{refused}");
        let text = b"roles = [\"omni\", \"proxmox\"]";
        files::write_atomically(&paths.configuration, text, 0o640).unwrap();
        let roles = roles_there(&paths).unwrap();
        assert_eq!(roles, [HostRole::Omni, HostRole::Proxmox].into());
    }

    #[test]
    fn options_that_write_a_configuration_want_its_roles() {
        assert!(arguments(&[]).roles.is_empty());
        assert_eq!(arguments(&["--role", "omni"]).roles, [HostRole::Omni]);
        for option in ["--force", "--allow-artifact-source=https://example.net/"] {
            Arguments::try_parse_from(["omni-scale-agent", "setup", option]).unwrap_err();
        }
    }
}
