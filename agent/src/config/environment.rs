//! What the environment says: how much is logged, and nothing else.

/// `RUST_LOG`: a level, or levels by target (`info,omni_scale_agent::stack=debug`). `None`: not set, or not text.
pub fn log_directives() -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the environment is read"
    )]
    std::env::var("RUST_LOG").ok()
}
