//! Writing down: the only way in which the engine changes where a rollout is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::clock::WallClock;
use super::event::{Event, Happening, RolloutEvents};
use super::state::RolloutState;
use crate::journal::{Journal, JournalError};

/// The journal of the running rollout, and whoever listens to it.
pub(super) struct Recorder<'a> {
    journal: Mutex<Journal>,
    clock: &'a dyn WallClock,
    events: &'a dyn RolloutEvents,
}

impl<'a> Recorder<'a> {
    pub(super) const fn new(
        journal: Journal,
        clock: &'a dyn WallClock,
        events: &'a dyn RolloutEvents,
    ) -> Self {
        Self {
            journal: Mutex::new(journal),
            clock,
            events,
        }
    }

    /// Writes an event to the disk, then tells it.
    pub(super) fn record(&self, event: Event) -> Result<(), JournalError> {
        let record = self
            .journal()
            .append(self.clock.now_milliseconds(), event)?;
        self.events.tell(Happening::Recorded(record));
        Ok(())
    }

    /// Where the rollout is.
    pub(super) fn state(&self) -> RolloutState {
        self.journal().state().clone()
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        // A panic elsewhere leaves the journal as it was: appending is one step.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
