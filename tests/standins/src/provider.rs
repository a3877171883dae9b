//! The Proxmox provider, as far as its start, its registration and its end go. It never talks to Proxmox.

mod account;
mod options;
mod run;

pub use run::run;
