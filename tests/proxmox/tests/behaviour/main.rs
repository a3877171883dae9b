//! What the model does, seen through its calls, each with the source that says so.

mod access;
mod config;
mod create;
mod faults;
mod images;
mod invariants;
mod power;
mod reading;
mod support;
mod tasks;
mod transport;
