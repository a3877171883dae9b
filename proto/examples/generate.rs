//! Writes the generated half of the contract: `cargo run -p omni-scale-proto --example generate`.
//!
//! The result is checked in, so that nobody needs protoc or a build script; the test
//! `generated_code_is_current` fails when it is stale.

#[path = "../tests/generation/mod.rs"]
mod generation;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    generation::generate(&generation::checked_in())?;
    Ok(())
}
