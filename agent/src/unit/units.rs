//! The port to the service manager: what the tsidp unit's caretaker needs of systemd, in its words.
//!
//! It neither enables units nor reloads unit files: the package does, and the agent's user may not.
//! Every wait is bounded; a state that could not be read is an error or [`Sighting::Lost`], never a
//! state.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::error::UnitsError;
use super::job::Job;
use super::state::UnitState;

/// The unit that agents with the role `tsidp` look after.
pub const TSIDP_UNIT: &str = "tsidp.service";

/// The service manager of this host.
#[async_trait]
pub trait Units: fmt::Debug + Send + Sync {
    /// The state of `unit` now. A unit that has no file is a state too: its load state is
    /// `not-found`.
    async fn observe(&self, unit: &str) -> Result<UnitState, UnitsError>;

    /// Runs one job on `unit` and waits for the end of this very job, at most for `bound`.
    ///
    /// When the bound ends first the job is left as it is. A start that systemd skipped because of
    /// a condition of the unit is an error.
    async fn run(&self, unit: &str, job: Job, bound: Duration) -> Result<(), UnitsError>;

    /// Forgets that `unit` failed, and how often it was started, so that it can be started again.
    async fn reset_failed(&self, unit: &str) -> Result<(), UnitsError>;

    /// Follows `unit` for as long as the receiver lives: the latest state, or why it is not known.
    ///
    /// Before the first answer it is [`Sighting::Lost`]. A reader that is slow misses states in
    /// between, never the last.
    fn watch(&self, unit: &str) -> watch::Receiver<Sighting>;

    /// The version of the service manager, for people: `252.39-1~deb12u1`.
    async fn version(&self) -> Result<String, UnitsError>;
}

/// What a watcher knows of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// As systemd said last, on a connection that still stands.
    Known(Box<UnitState>),
    /// Nothing is known, whatever was known before.
    Lost {
        /// Why, as a lowercase fragment.
        reason: String,
    },
}
