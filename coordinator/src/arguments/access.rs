//! Who may command which hosts: `init`, `enroll`, `operator`, `renew`, `artifact`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use omni_scale_proto::id::{HostName, OperatorName};
use omni_scale_proto::role::Role;

/// Where the authority's key and its passphrase come from.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Authority")]
pub struct AuthorityArguments {
    /// The authority's key, when it is kept apart from the other files.
    #[arg(long, value_name = "FILE")]
    pub authority_key: Option<PathBuf>,
    /// Read the passphrase of the authority's key from the first line of a file.
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_fd")]
    pub passphrase_file: Option<PathBuf>,
    /// Read the passphrase of the authority's key from an open file descriptor.
    #[arg(long, value_name = "N")]
    pub passphrase_fd: Option<u32>,
}

/// Options of `init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The MagicDNS suffix of your tailnet, e.g. `tail1234.ts.net`.
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// Your name in your certificate. Without it: your login name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<OperatorName>,
    /// The authority's key.
    #[command(flatten)]
    pub authority: AuthorityArguments,
}

/// Options of `enroll`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("token_source").required(true))]
pub struct EnrollArguments {
    /// The host's name in the deployment.
    pub host: HostName,
    /// What `sudo omni-scale-agent token` shows on the host. It is of no use to anybody after
    /// this command.
    #[arg(long, value_name = "TOKEN", group = "token_source")]
    pub token: Option<String>,
    /// Read the token from standard input.
    #[arg(long, group = "token_source")]
    pub token_stdin: bool,
    /// Where the agent listens, when the host's name in the tailnet does not lead there yet:
    /// an address, with a port or without.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// The authority's key.
    #[command(flatten)]
    pub authority: AuthorityArguments,
}

/// Who may command the hosts.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Make a certificate for another operator, as one file to hand over.
    #[command(after_long_help = ADD_EXAMPLES)]
    Add(OperatorAddArguments),
    /// Take the file that `operator add` made for you.
    #[command(after_long_help = IMPORT_EXAMPLES)]
    Import(ImportArguments),
    /// Refuse an operator's certificates on every host from now on.
    #[command(after_long_help = REVOKE_EXAMPLES)]
    Revoke(RevokeArguments),
    /// List the certificates that were made here.
    #[command(after_long_help = LIST_EXAMPLES)]
    List,
}

/// Options of `operator add`.
#[derive(Debug, Args)]
pub struct OperatorAddArguments {
    /// The operator's name: lower-case letters, digits, `-`, `_`, `.` and `@`.
    pub name: OperatorName,
    /// What they may do: `viewer` reads, `operator` also runs rollouts and sets secrets, `admin`
    /// also enrols and revokes.
    #[arg(long)]
    pub role: Role,
    /// The file to write. It holds their key: hand it over so that nobody else sees it.
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub file: PathBuf,
    /// The authority's key.
    #[command(flatten)]
    pub authority: AuthorityArguments,
}

/// Options of `operator import`.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The file that was handed over.
    pub file: PathBuf,
}

/// Options of `operator revoke`.
#[derive(Debug, Args)]
pub struct RevokeArguments {
    /// An operator's name, for all their certificates, or one serial number.
    #[arg(value_name = "NAME|SERIAL")]
    pub who: String,
}

/// Options of `renew`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whose").required(true))]
pub struct RenewArguments {
    /// The host whose agent gets a new key and certificate.
    #[arg(group = "whose")]
    pub host: Option<HostName>,
    /// Make a new key and certificate for yourself.
    #[arg(long, group = "whose")]
    pub operator: bool,
    /// The authority's key.
    #[command(flatten)]
    pub authority: AuthorityArguments,
}

/// Programs that a host cannot fetch itself.
#[derive(Debug, Subcommand)]
pub enum ArtifactCommand {
    /// Upload a program. An upload that was interrupted goes on where it ended.
    #[command(after_long_help = UPLOAD_EXAMPLES)]
    Upload(UploadArguments),
}

/// Options of `artifact upload`.
#[derive(Debug, Args)]
pub struct UploadArguments {
    /// The host.
    pub host: HostName,
    /// A release of tsidp as published, or the program. Its sum must stand in the host's agent.toml
    /// (`omni-scale-agent setup --allow-artifact-sha256 SUM`).
    pub file: PathBuf,
}

const ADD_EXAMPLES: &str = "\
Example:
  omni-scale operator add grace --role operator -o grace.credential
and on Grace's machine:
  omni-scale operator import grace.credential";

const IMPORT_EXAMPLES: &str = "\
Example:
  omni-scale operator import grace.credential && rm grace.credential";

const REVOKE_EXAMPLES: &str = "\
Hosts that do not answer get the list with the next `omni-scale apply`.

Examples:
  omni-scale operator revoke grace
  omni-scale operator revoke 5f3a09…

Exit codes: 0 every host knows; 8 revoked, and a host does not know it yet.";

const LIST_EXAMPLES: &str = "\
Example:
  omni-scale operator list";

const UPLOAD_EXAMPLES: &str = "\
It prints the sum for `identity.tsidp.artifact.sha256` in the deployment.

Example:
  omni-scale artifact upload idp ./tsidp";
