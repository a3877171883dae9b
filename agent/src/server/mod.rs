//! Who reaches the agent, and what they may ask: listening, TLS, identity, both halves of
//! authorisation (the certificate's and the tailnet's), draining.
//!
//! This is the only place, beside `service`, that knows gRPC, and the only one that turns errors
//! into gRPC status codes. It decides nothing about the host.

pub mod authorisation;
pub mod callers;
pub mod connection;
pub mod gate;
pub mod grant;
pub mod guarded;
pub mod identity;
pub mod listen;
pub mod refusals;
pub mod serve;
pub mod status;
pub mod tls;

#[cfg(test)]
mod tests;
