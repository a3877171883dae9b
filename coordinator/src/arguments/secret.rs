//! `secret set`, `secret generate`, `secret list`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use omni_scale_proto::id::{HostName, SecretName};

/// The secrets of hosts.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Give a host a secret, from standard input or a file.
    #[command(after_long_help = SET_EXAMPLES)]
    Set(SecretSetArguments),
    /// Make a secret on a host, and keep its export safe.
    #[command(after_long_help = GENERATE_EXAMPLES)]
    Generate(SecretGenerateArguments),
    /// List names and times of secrets; and which of those that the deployment names are missing.
    #[command(after_long_help = LIST_EXAMPLES)]
    List(SecretListArguments),
}

/// Options of `secret set`.
#[derive(Debug, Args)]
pub struct SecretSetArguments {
    /// The host that uses it.
    pub host: HostName,
    /// Its name, as the deployment names it.
    pub name: SecretName,
    /// Read the value from a file instead of standard input.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Options of `secret generate`.
#[derive(Debug, Args)]
pub struct SecretGenerateArguments {
    /// The host that uses it.
    pub host: HostName,
    /// Its name, as the deployment names it.
    pub name: SecretName,
    /// What to make. Without it: `openpgp` for Omni's encryption key, otherwise `random`.
    #[arg(long)]
    pub kind: Option<SecretKind>,
    /// Where to write the value for safe keeping. An existing file is not overwritten.
    #[arg(long, value_name = "FILE")]
    pub export: PathBuf,
}

/// What a generated secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SecretKind {
    /// An OpenPGP key that Omni can encrypt its state with.
    Openpgp,
    /// 32 random bytes in hex.
    Random,
}

/// Options of `secret list`.
#[derive(Debug, Args)]
pub struct SecretListArguments {
    /// Only this host.
    pub host: Option<HostName>,
}

const SET_EXAMPLES: &str = "\
The line break at the end of a value of one line (a key, a token, a client secret) is left out; text \
of several lines, such as PEM and OpenPGP keys, is kept as it is. On a terminal the value is asked \
for and not shown.

Examples:
  omni-scale secret set omni omni-client-secret < client-secret.txt
  omni-scale secret set idp tsidp-auth-key
  omni-scale secret set omni machine-api-key --file machine-api.key";

const GENERATE_EXAMPLES: &str = "\
The value is made on the host. It comes into force only once its export is on your disk: losing \
Omni's encryption key is losing everything that Omni stores. Keep the file away from the host.

Example:
  omni-scale secret generate omni omni-encryption-key --export omni.asc";

const LIST_EXAMPLES: &str = "\
Examples:
  omni-scale secret list
  omni-scale secret list omni --output json";
