//! The command line, as it is typed. What the commands do is in [`crate::commands`].
//!
//! The `///` comments here are the help texts: written for who types `--help`.

mod access;
mod machines;
mod rollout;
mod secret;
mod target;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use access::{
    ArtifactCommand, AuthorityArguments, EnrollArguments, ImportArguments, InitArguments,
    OperatorAddArguments, OperatorCommand, RenewArguments, RevokeArguments, UploadArguments,
};
pub use machines::{MachineArguments, MachineDeleteArguments, MachinesCommand};
pub use rollout::{AbortArguments, ApplyArguments, PlanArguments, ResumeArguments};
pub use secret::{
    SecretCommand, SecretGenerateArguments, SecretKind, SecretListArguments, SecretSetArguments,
};
pub use target::{ControlArguments, LogsArguments, StatusArguments, TargetName, WhoAmIArguments};

/// Exit codes as the help shows them; `docs/exit-codes.md` says more.
const EXIT_CODES: &str = "\
Exit codes:
  0  done, or nothing to do
  1  failed; nothing is half done
  2  wrong usage: command line, deployment file or credentials
  3  a check did not pass; nothing was changed
  4  held in a known state; `omni-scale resume` goes on
  5  failed and taken back
  6  failed, and taking it back failed too: look at the hosts
  7  somebody else holds the lease
  8  a host that was needed does not answer";

/// Rolls out a self-hosted Omni on a tailnet.
///
/// It reads `deployment.yaml`, looks at the hosts through their agents, shows what it would do and
/// why, and does exactly that. Start with `omni-scale init`.
#[derive(Debug, Parser)]
#[command(name = "omni-scale", version, after_long_help = EXIT_CODES)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub struct Arguments {
    /// What every command understands.
    #[command(flatten)]
    pub global: GlobalArguments,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of all commands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArguments {
    /// The deployment file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "deployment.yaml"
    )]
    pub deployment: PathBuf,
    /// How results are printed: `human` or `json`. The JSON forms are stable and carry a version.
    #[arg(long, global = true, value_name = "FORM", default_value = "human")]
    #[arg(hide_possible_values = true)]
    pub output: Form,
    /// When to use colours: `auto`, `always` or `never`. With `auto`, `NO_COLOR` is kept.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    #[arg(hide_possible_values = true)]
    pub color: ColorChoice,
    /// Say more on standard error; twice for everything.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal that can.
    Auto,
    /// Also in files and pipes.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a deployment: its file, its authority, and your own certificate.
    #[command(after_long_help = INIT_EXAMPLES)]
    Init(InitArguments),
    /// Give an agent its certificate, by the token that root reads out on its host.
    #[command(after_long_help = ENROLL_EXAMPLES)]
    Enroll(EnrollArguments),
    /// Show what would be done, and why.
    #[command(after_long_help = PLAN_EXAMPLES)]
    Plan(PlanArguments),
    /// Do what the plan says, after showing it.
    #[command(after_long_help = APPLY_EXAMPLES)]
    Apply(ApplyArguments),
    /// Go on with a rollout that stands still.
    #[command(after_long_help = RESUME_EXAMPLES)]
    Resume(ResumeArguments),
    /// Give up a rollout that stands still. Nothing is taken back.
    #[command(after_long_help = ABORT_EXAMPLES)]
    Abort(AbortArguments),
    /// Show what runs where, and how it is.
    #[command(after_long_help = STATUS_EXAMPLES)]
    Status(StatusArguments),
    /// Show whom a host takes you for: certificate, device, role, and which of them limits.
    #[command(after_long_help = WHOAMI_EXAMPLES)]
    Whoami(WhoAmIArguments),
    /// Show the log of a target.
    #[command(after_long_help = LOGS_EXAMPLES)]
    Logs(LogsArguments),
    /// Start a target.
    #[command(after_long_help = CONTROL_EXAMPLES)]
    Start(ControlArguments),
    /// Stop a target. Its data stays.
    #[command(after_long_help = CONTROL_EXAMPLES)]
    Stop(ControlArguments),
    /// Restart a target.
    #[command(after_long_help = CONTROL_EXAMPLES)]
    Restart(ControlArguments),
    /// List, start, stop and delete the machines that were made on Proxmox VE.
    #[command(subcommand)]
    Machines(MachinesCommand),
    /// Set, make and list the secrets of hosts. Values never come back.
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Upload programs that a host cannot fetch itself.
    #[command(subcommand)]
    Artifact(ArtifactCommand),
    /// Say who may command the hosts.
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Replace a certificate before it ends.
    #[command(after_long_help = RENEW_EXAMPLES)]
    Renew(RenewArguments),
    /// Write the built-in stack as a Compose file, to go on without omni-scale.
    #[command(after_long_help = EJECT_EXAMPLES)]
    Eject(EjectArguments),
    /// Print the completions of a shell.
    #[command(after_long_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArguments),
    /// Write the manual pages into a directory.
    #[command(hide = true)]
    Manual(ManualArguments),
}

/// Options of `eject`.
#[derive(Debug, Args)]
pub struct EjectArguments {
    /// Where to write it. Without it: to standard output.
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Options of `manual`.
#[derive(Debug, Args)]
pub struct ManualArguments {
    /// Where to write the pages. Made when it is not there.
    pub directory: PathBuf,
}

const INIT_EXAMPLES: &str = "\
Writes deployment.yaml unless it is there; then the authority and your certificate for the id that \
stands in it. The authority's key is encrypted with a passphrase that is asked for twice.

Examples:
  omni-scale init
  omni-scale init --name ada --authority-key /media/stick/authority.key
  omni-scale init --passphrase-fd 3 3< passphrase.txt";

const ENROLL_EXAMPLES: &str = "\
On the host:  sudo omni-scale-agent token
Here:         omni-scale enroll idp --token FINGERPRINT.SECRET

Both sides prove to each other that they know the token before anything else is sent. The host must \
be in the deployment, with the roles that its agent was set up for. Needs the authority's key.";

const PLAN_EXAMPLES: &str = "\
Marks: `+` start, `~` restart or recreate, `!` identity, `=` nothing.

Examples:
  omni-scale plan
  omni-scale plan -o change.plan && omni-scale apply change.plan

Exit codes: 0 planned, also when nothing is to do; 2 the deployment is wrong; 3 something is in the \
way; 7 an operation still runs; 8 a host does not answer.";

const APPLY_EXAMPLES: &str = "\
Without PLAN it makes one and asks. With PLAN it runs exactly that file, and refuses when the hosts \
are not any more what it was made from. Ctrl-C stops after the act that runs; once more leaves at \
once. Either way `omni-scale resume` goes on. When hosts do not exist yet, it makes and enrols them \
first, which needs the authority's key, and then plans and does the rest.

Examples:
  omni-scale apply
  omni-scale apply --yes --output json
  omni-scale apply --secrets ./secrets --passphrase-file ./passphrase
  omni-scale apply change.plan

Exit codes: 0 done, or nothing to do; 2 wrong usage, or not confirmed; 3 checks failed; 4 held; \
5 undone; 6 stuck; 7 somebody else holds the lease; 8 a host does not answer. With nothing to do, an \
earlier rollout that stands still is told, and it ends in 4.";

const RESUME_EXAMPLES: &str = "\
What had begun is looked at before it is repeated.

Example:
  omni-scale resume

Exit codes: as those of `apply`; 3 also when a journal cannot be read.";

const ABORT_EXAMPLES: &str = "\
Hosts stay as they are, and what agents have begun they finish. Then `omni-scale plan` shows what \
is left to do.

Example:
  omni-scale abort";

const STATUS_EXAMPLES: &str = "\
What is not known is shown as unknown, never as healthy.

Examples:
  omni-scale status
  omni-scale status --watch
  omni-scale status --output json

Exit codes: 0 shown; 8 shown as far as it is known, and a host does not answer.";

const WHOAMI_EXAMPLES: &str = "\
A host lets in who has both: a certificate of the deployment, and a device that the host's tailnet \
policy lets in. The lower of the two roles holds. Who is refused is told by which half, and what to \
write where.

Examples:
  omni-scale whoami omni
  omni-scale whoami omni --output json

Exit codes: 0 shown; 1 refused; 8 the host does not answer.";

const LOGS_EXAMPLES: &str = "\
TARGET is `tsidp`, `omni`, or the name of a service of the stack; or `agent`, with the name of a \
host. Values of secrets are masked. Needs the role operator, since logs hold configuration; for \
`agent`, viewer is enough.

Examples:
  omni-scale logs tsidp
  omni-scale logs omni -f
  omni-scale logs omni-tailscale -n 500
  omni-scale logs agent omni -f";

const CONTROL_EXAMPLES: &str = "\
TARGET is `tsidp`, `omni`, `stack` for all containers of it, or the name of a service. It runs \
under the lease, so it waits for no rollout: it is refused while one runs.

Examples:
  omni-scale restart omni
  omni-scale stop stack
  omni-scale start tsidp

Exit codes: 0 done; 1 failed; 7 somebody else holds the lease; 8 the host does not answer.";

const RENEW_EXAMPLES: &str = "\
Certificates last 90 days; every command warns from 30 days before. Needs the authority's key.

Examples:
  omni-scale renew idp
  omni-scale renew --operator";

const EJECT_EXAMPLES: &str = "\
Secrets are not written: the file names where each belongs.

Example:
  omni-scale eject -o compose.yaml";

const COMPLETIONS_EXAMPLES: &str = "\
Example:
  omni-scale completions bash > ~/.local/share/bash-completion/completions/omni-scale";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::exit::Exit;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_exit_code() {
        for exit in Exit::ALL {
            let line = format!("  {}  {}", exit.code(), exit.meaning());
            assert!(EXIT_CODES.contains(&line), "{line}");
        }
    }

    /// Plans say what to type next: it has to be what this program takes.
    #[test]
    fn every_command_that_a_plan_names_can_be_typed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let mut commands = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "snap") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let quoted = text.split('`').skip(1).step_by(2);
            for command in quoted.filter(|quoted| quoted.starts_with("omni-scale ")) {
                // Where the plan cannot know the name of a secret that is to be made.
                let command = command.replace("NAME", "name");
                let parsed = Arguments::try_parse_from(command.split(' '));
                assert!(parsed.is_ok(), "{}: {command}: {parsed:?}", path.display());
                commands += 1;
            }
        }
        assert!(commands > 10, "{commands}");
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            if command.is_hide_set() {
                return;
            }
            let name = command.get_name();
            if command.has_subcommands() {
                command.get_subcommands().for_each(check);
            } else {
                let help = command.get_after_long_help().map(ToString::to_string);
                let help = help.unwrap_or_default();
                assert!(help.contains("omni-scale "), "`{name}` shows no example");
            }
        }
        Arguments::command().get_subcommands().for_each(check);
    }
}
