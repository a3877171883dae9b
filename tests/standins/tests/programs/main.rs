//! The programs as programs: what they print, answer, keep and refuse.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod failures;
mod issuer;
mod ports;
mod provider;
mod volumes;
mod world;
