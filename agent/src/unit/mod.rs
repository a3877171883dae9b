//! The tsidp unit: its state, its program and its configuration, and whether it does its work.
//!
//! [`units`] is the port to the service manager and [`systemd`] its adapter.

pub mod configuration;
pub mod error;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
pub mod journal;
pub mod state;
pub mod systemd;
pub mod units;

#[cfg(test)]
mod contract_suite;
