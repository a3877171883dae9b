//! `plan`, `apply`, `resume`, `abort`.

use std::path::PathBuf;

use clap::Args;

use super::AuthorityArguments;

/// Options of `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Write the plan to a file for `omni-scale apply FILE`.
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Also remove containers of the stack that no service names any more. Volumes stay.
    #[arg(long)]
    pub remove_orphans: bool,
    /// Go on although no login could show, from this machine, that the issuer's identities let
    /// somebody into Omni. A login that shows the contrary still stops the rollout.
    #[arg(long)]
    pub accept_unproven_identity: bool,
}

/// Options of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// A plan that `omni-scale plan -o` wrote.
    pub plan: Option<PathBuf>,
    /// Do not ask.
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Also remove containers of the stack that no service names any more. Volumes stay.
    #[arg(long, conflicts_with = "plan")]
    pub remove_orphans: bool,
    /// Go on although no login could show, from this machine, that the issuer's identities let
    /// somebody into Omni. A login that shows the contrary still stops the rollout.
    #[arg(long, conflicts_with = "plan")]
    pub accept_unproven_identity: bool,
    /// Set secrets that hosts do not have yet, also of hosts that are made on the way: the secret
    /// NAME of HOST is the file `HOST/NAME` there, which nobody else may read.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "plan")]
    pub secrets: Option<PathBuf>,
    /// The authority's key. It is needed when hosts are made.
    #[command(flatten)]
    pub authority: AuthorityArguments,
}

/// Options of `resume`.
#[derive(Debug, Args)]
pub struct ResumeArguments {
    /// The rollout. Without it: the only one that stands still.
    pub rollout: Option<String>,
    /// When it has made hosts, do not ask before what comes after.
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// As of `apply`, once hosts are made.
    #[arg(long, value_name = "DIRECTORY")]
    pub secrets: Option<PathBuf>,
    /// The authority's key. It is needed when hosts are made.
    #[command(flatten)]
    pub authority: AuthorityArguments,
}

/// Options of `abort`.
#[derive(Debug, Args)]
pub struct AbortArguments {
    /// The rollout. Without it: the only one that stands still.
    pub rollout: Option<String>,
}
