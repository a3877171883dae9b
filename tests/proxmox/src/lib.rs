//! A model of the Proxmox VE API, for tests and the lab: the calls that this product makes, and what they are known to
//! do, in the words and with the traps of the real one.
//!
//! The way in is [`Cluster`]: pure, deterministic, with virtual time. [`Simulator`] puts one behind HTTPS or calls it
//! directly. What is modelled follows Proxmox VE's own sources, cited where it is not plain; two outsiders keep it
//! honest, the published schema (`tests/schema_gate.rs`) and `fakepve`, which nobody here wrote (`tests/tools/`).
//!
//! Not modelled: snapshots, clones, backups, pools, tickets, Ceph, and of containers all but the VMIDs that they take.

mod access;
mod answer;
mod call;
mod cluster;
mod config;
mod containers;
mod control;
mod create;
mod drive;
mod faults;
mod files;
mod guest;
mod happenings;
mod identity;
mod images;
mod jobs;
mod machines;
mod multipart;
mod nodes;
mod pathway;
mod plug;
mod power;
mod random;
mod record;
mod refusal;
mod request;
mod resize;
mod resources;
mod rights;
pub mod routes;
pub mod schema;
mod server;
mod settings;
mod simulator;
mod start;
mod storage;
mod tasks;
mod vms;

pub use access::{Access, Entry, Token};
pub use answer::{Answer, Outcome, Reply};
pub use cluster::{BEGINNING, Cluster};
pub use containers::Container;
pub use faults::{Fault, Faults, Rule};
pub use happenings::{Happening, Scheduled};
pub use identity::{Identity, IdentityError};
pub use images::RemoteImage;
pub use machines::{Facts, Machines, NoMachines, PowerEvent};
pub use nodes::Node;
pub use random::Random;
pub use record::Exchange;
pub use request::{Method, Request, encode};
pub use settings::Settings;
pub use simulator::Simulator;
pub use start::{Start, StartToken};
pub use storage::{Storage, Volume};
pub use tasks::{Ended, Task};
pub use vms::{Guest, Interface, Vm};

/// The token of [`Cluster::with_nodes`]: every right.
pub const TOKEN: &str = "omni-scale@pve!tests=11111111-2222-3333-4444-555555555555";
