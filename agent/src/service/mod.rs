//! The RPC methods: decode, call what does it, encode. They decide nothing.

pub mod checks;
pub mod client;
pub mod health;
pub mod host;
pub mod machine;
pub mod reflection;
pub mod stack;
pub mod unit;
pub mod upload;
