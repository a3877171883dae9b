//! What a machine reads at its first boot: how it becomes a host, and how it finds its network.
//!
//! Where a machine stands, and whether one is made at all, is not decided here.

mod network;
mod paths;
mod script;
#[cfg(test)]
mod tests;
mod user_data;

pub use network::{host_network_configuration, talos_network_configuration};
pub use user_data::{enrollment_secret, host_user_data};
