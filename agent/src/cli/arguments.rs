//! The command line, as it is typed. What the commands do is beside this file.
//!
//! It depends on nothing of the agent: `packaging/documents` makes the manual pages and completions
//! from this very file, so that the shipped program does not carry what makes them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use omni_scale_proto::role::HostRole;

/// Where things lie, at the end of the help and of the manual page.
const FILES: &str = "\
Files:
  /etc/omni-scale/agent.toml       what any caller can ask of this host; read at the start
  /var/lib/omni-scale              identity, ledger, secrets and records of the agent
  /var/lib/omni-scale-artifacts    programs that were fetched or uploaded

SIGHUP (`systemctl reload omni-scale-agent`) reads the identity again. `systemctl status \
omni-scale-agent` says in one line what the agent is doing, `journalctl -u omni-scale-agent` what it \
did.";

/// What root or systemd typed.
#[derive(Debug, Parser)]
#[command(
    name = "omni-scale-agent",
    version,
    disable_help_subcommand = true,
    about = "The hands of omni-scale on this host",
    long_about = "The hands of omni-scale on this host: it looks after the tsidp unit, the Omni stack or the machines of a \
                  Proxmox VE cluster, as the coordinator asks it over the tailnet, and only within what /etc/omni-scale/agent.toml allows.\n\n\
                  To bring a host into a deployment: `sudo omni-scale-agent setup --role ROLE`, then \
                  `sudo omni-scale-agent token`, then `omni-scale enroll HOST --token …` on your own machine.",
    after_long_help = FILES
)]
pub struct Arguments {
    /// What to do. Absent: run the daemon.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon (what systemd does).
    Run,
    /// Write agent.toml for this host's roles, give the agent what they need, and restart it. Root only.
    Setup(SetupArguments),
    /// Print a one-time token for `omni-scale enroll`. Root only. Good for one hour, five attempts and one use.
    Token(TokenArguments),
}

/// Where the token's secret comes from.
#[derive(Debug, Args)]
pub struct TokenArguments {
    /// Take the secret from this file instead, and print nothing: what a machine does at its first boot, with the
    /// secret that omni-scale has made for it. The file is root's, mode 0400 or 0600. Good for one day.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// What this host is for, and what it allows beyond that.
#[derive(Debug, Args)]
pub struct SetupArguments {
    /// What this agent looks after: `tsidp` or `omni` (never both), `proxmox`. May be given more than once. Without it,
    /// the agent.toml that is there is kept and put in force.
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<HostRole>,
    /// Another repository that images may come from; `registry.example/name/*` allows all below.
    #[arg(
        long = "allow-image-repository",
        requires = "roles",
        value_name = "REPOSITORY"
    )]
    pub image_repositories: Vec<String>,
    /// Another beginning of URLs that artifacts may come from.
    #[arg(long = "allow-artifact-source", requires = "roles", value_name = "URL")]
    pub artifact_sources: Vec<String>,
    /// Run only artifacts with this SHA-256 sum. May be given more than once.
    #[arg(long = "allow-artifact-sha256", requires = "roles", value_name = "SUM")]
    pub artifact_sha256: Vec<String>,
    /// A Proxmox VE cluster that machines may be made on, `https://HOST:PORT`. May be given more than once.
    #[arg(long = "allow-hypervisor", requires = "roles", value_name = "URL")]
    pub hypervisors: Vec<String>,
    /// Let in only devices of the tailnet to which its policy grants this application capability,
    /// `DOMAIN/cap/omni-scale`, with roles in its values: `[{"roles": ["operator"]}]`.
    #[arg(long = "tailnet-capability", requires = "roles", value_name = "NAME")]
    pub tailnet_capability: Option<String>,
    /// Let in devices of this login, with this role at most. May be given more than once.
    #[arg(long = "tailnet-login", requires = "roles", value_name = "LOGIN=ROLE", value_parser = pair)]
    pub tailnet_logins: Vec<(String, String)>,
    /// Let in devices with this tag, with this role at most. May be given more than once.
    #[arg(long = "tailnet-tag", requires = "roles", value_name = "TAG=ROLE", value_parser = pair)]
    pub tailnet_tags: Vec<(String, String)>,
    /// Take an operator's certificate only from a device of this login, or from the device with this StableID. May be
    /// given more than once.
    #[arg(long = "tailnet-bind", requires = "roles", value_name = "OPERATOR=LOGIN|ID", value_parser = pair)]
    pub tailnet_bind: Vec<(String, String)>,
    /// Replace an agent.toml that is there already.
    #[arg(long, requires = "roles")]
    pub force: bool,
}

/// Two words with an equals sign in between; the file's own rules decide about them.
fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (one, other) = text.split_once('=').ok_or("there is no `=` in it")?;
    Ok((one.to_owned(), other.to_owned()))
}
