//! The hands of omni-scale: one daemon per host, each RPC one idempotent operation on it.
//!
//! [`operation`] is what every mutation goes through; [`config`] says what this host allows;
//! [`secrets`] keeps the values that never leave it.

pub mod artifact;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod enrollment;
pub mod error;
pub mod files;
pub mod host_roots;
pub mod identity;
pub mod journal;
pub mod lease;
pub mod ledger;
pub mod machine;
pub mod nocloud;
pub mod notify;
pub mod operation;
mod outgoing;
pub mod record;
pub mod run;
pub mod secrets;
pub mod server;
pub mod service;
pub mod stack;
pub mod tailnet;
pub mod unit;
