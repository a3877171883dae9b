//! The tsidp unit: its state, its program and its configuration, and whether it does its work.
//!
//! [`units`] is the port to the service manager and [`systemd`] its adapter; [`crate::journal`] and
//! [`issuer`] are the ports to what the unit says and to what the product answers. [`tsidp`] holds
//! them together; [`apply`], [`control`] and [`observe`] are what is done with it. What it changes it
//! verifies by the product's own answer, and what it does not know it does not call healthy.

pub mod apply;
pub mod checks;
pub mod configuration;
pub mod control;
pub mod error;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
pub mod issuer;
pub mod job;
pub mod observe;
pub mod policy;
pub mod record;
pub mod state;
pub mod systemd;
pub mod tsidp;
pub mod units;
mod verification;
pub mod watching;

#[cfg(test)]
mod contract_suite;
