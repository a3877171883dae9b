//! The commands of `omni-scale-agent`: the daemon, and what root does on its host.

mod setup;
mod token;

use std::collections::BTreeSet;
use std::io::{self, Write as _};

use clap::{Args, Parser, Subcommand};
use omni_scale_proto::role::HostRole;

use crate::config::Paths;

/// What root or systemd typed.
#[derive(Debug, Parser)]
#[command(
    name = "omni-scale-agent",
    version,
    about = "The hands of omni-scale on this host",
    long_about = "The hands of omni-scale on this host: it looks after the tsidp unit or the Omni stack, as the \
                  coordinator asks it over the tailnet, and only within what /etc/omni-scale/agent.toml allows.\n\n\
                  To bring a host into a deployment: `sudo omni-scale-agent setup --role ROLE`, then \
                  `sudo omni-scale-agent token`, then `omni-scale enroll HOST --token …` on your own machine."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon (what systemd does).
    Run,
    /// Write agent.toml for this host's roles. Root only.
    Setup(SetupArguments),
    /// Print a one-time token for `omni-scale enroll`. Root only. Good for one hour, five attempts and one use.
    Token,
}

/// What this host is for, and what it allows beyond that.
#[derive(Debug, Args)]
struct SetupArguments {
    /// What this agent looks after: `tsidp` or `omni`. May be given more than once.
    #[arg(long = "role", required = true, value_name = "ROLE")]
    roles: Vec<HostRole>,
    /// Another repository that images may come from; `registry.example/name/*` allows all below.
    #[arg(long = "allow-image-repository", value_name = "REPOSITORY")]
    image_repositories: Vec<String>,
    /// Another beginning of URLs that artifacts may come from.
    #[arg(long = "allow-artifact-source", value_name = "URL")]
    artifact_sources: Vec<String>,
    /// Run only artifacts with this SHA-256 sum. May be given more than once.
    #[arg(long = "allow-artifact-sha256", value_name = "SUM")]
    artifact_sha256: Vec<String>,
    /// Replace an agent.toml that is there already.
    #[arg(long)]
    force: bool,
}

/// Runs the command that was typed. The daemon returns when it was told to stop.
pub async fn run(arguments: Arguments, paths: Paths) -> anyhow::Result<()> {
    match arguments.command {
        None | Some(Command::Run) => Ok(crate::run::run(paths).await?),
        Some(Command::Setup(arguments)) => {
            let roles: BTreeSet<HostRole> = arguments.roles.iter().copied().collect();
            setup::setup(&paths, &roles, &arguments).await
        }
        Some(Command::Token) => token::token(&paths),
    }
}

/// A line for people; data goes to standard output by itself.
fn tell(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{text}")
}
