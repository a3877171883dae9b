//! The executor against a real Docker Engine and a real registry.
//!
//! Needs, and fails without: a Docker Engine behind /var/run/docker.sock that this user may use,
//! and the Debian packages `docker-registry` and `busybox-static`. Everything made here carries a
//! project name of its own and is removed again, whatever happens.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bench;
mod contract;
mod control;
mod life;
mod one_shot;
mod registry;
mod swap;
