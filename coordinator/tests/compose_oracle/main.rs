//! Our reading of Compose files, held against Docker Compose's own.
//!
//! The oracle is `docker-compose config --format json` of Debian 13's package, which
//! `tests/tools/fetch-compose-plugin` unpacks. Both readings are brought into one form and must be
//! equal. What only we refuse is tested beside the code.

#![expect(
    clippy::unwrap_used,
    reason = "a surprise ends a test, and so it may end what the test calls"
)]

mod canonical;
mod corpus;
mod generated;
mod oracle;
mod services;
