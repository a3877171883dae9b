//! Omni, as far as its start, its ports and its end go. See README.md for what it knows and from where.

mod application;
mod certificates;
mod file;
mod flags;
mod issuer;
mod master_key;
mod network;
pub(crate) mod pages;
mod providers;
mod run;
mod schema;
mod serve;
mod settings;
mod state;
mod store;

pub(crate) use issuer::roots;
pub use run::run;
