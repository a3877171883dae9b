//! `machines`.

use clap::{Args, Subcommand};
use omni_scale_proto::id::MachineName;

/// The machines that were made on Proxmox VE.
#[derive(Debug, Subcommand)]
pub enum MachinesCommand {
    /// List them: where each is, and how.
    #[command(after_long_help = LIST_EXAMPLES)]
    List,
    /// Start one.
    #[command(after_long_help = CONTROL_EXAMPLES)]
    Start(MachineArguments),
    /// Shut one down. Its disks stay.
    #[command(after_long_help = CONTROL_EXAMPLES)]
    Stop(MachineArguments),
    /// Shut one down and start it again.
    #[command(after_long_help = CONTROL_EXAMPLES)]
    Restart(MachineArguments),
    /// Delete one with its disks. The next `apply` makes it anew while it is declared.
    #[command(after_long_help = DELETE_EXAMPLES)]
    Delete(MachineDeleteArguments),
}

/// Which machine.
#[derive(Debug, Args)]
pub struct MachineArguments {
    /// Its name: that of its group, with a number when there are several.
    pub name: MachineName,
}

/// Options of `machines delete`.
#[derive(Debug, Args)]
pub struct MachineDeleteArguments {
    /// Its name: that of its group, with a number when there are several.
    pub name: MachineName,
    /// The name once more, where nobody can be asked to type it.
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

const LIST_EXAMPLES: &str = "\
Examples:
  omni-scale machines list
  omni-scale machines list --output json

Exit codes: 0 shown; 8 the agent or Proxmox VE does not answer.";

const CONTROL_EXAMPLES: &str = "\
It runs under the lease of the host whose agent reaches Proxmox VE: it is refused while a rollout \
runs.

Example:
  omni-scale machines restart worker-2

Exit codes: 0 done; 1 failed; 3 there is no such machine; 7 somebody else holds the lease; 8 the \
host does not answer.";

const DELETE_EXAMPLES: &str = "\
Its disks are gone for good. It needs the role admin, and the machine's name typed once more. A \
machine whose UUID is not ours is never deleted.

Examples:
  omni-scale machines delete worker-2
  omni-scale machines delete worker-2 --confirm worker-2

Exit codes: 0 deleted, or there was none; 1 failed; 2 not confirmed; 7 somebody else holds the \
lease; 8 the host does not answer.";
