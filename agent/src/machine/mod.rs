//! Virtual machines on Proxmox VE: made as a typed description says, started, stopped, deleted; and never another's.
//!
//! What comes in is a [`CheckedMachine`](omni_scale_proto::machine::CheckedMachine). [`Hypervisors`] makes clients of
//! the clusters that root allows; `survey` says what there is and which of it is ours; `record` is what was written
//! down before it was done; [`Machines`] is what the RPC methods use. It chooses neither node nor size: the plan does.
//!
//! Invariants: a VM is ours by UUID, tag and marker, all three, read anew before every change; an intent is on the
//! disk before its first request; a lost reply is looked at, never repeated blindly.

mod apply;
mod aside;
mod check;
mod clean_up;
mod control;
mod delete;
mod first_boot;
mod hypervisors;
mod lanes;
mod last;
mod machines;
mod observe;
mod record;
mod settings;
mod survey;
mod trouble;
mod watch;
mod work;

pub use apply::Apply;
pub use control::PowerAction;
pub use delete::check_typed_name;
pub use hypervisors::{Hypervisors, ProxmoxHypervisors, is_address};
pub use machines::{MachineParts, Machines};
pub use observe::Question;
pub use watch::MachineHealth;
pub use work::Request;

#[cfg(test)]
mod tests;
