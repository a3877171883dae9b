//! How long to wait before the bus is asked again.

use std::time::Duration;

/// Bounds of the wait: it begins at the first and doubles up to the last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    /// After the first failure.
    pub(super) first: Duration,
    /// After many.
    pub(super) last: Duration,
}

impl Default for Backoff {
    /// A bus that restarts is back within a second; one that stays away is asked every 10 s.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(250),
            last: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    /// The wait after so many failures in a row, of which this is at least the first.
    pub(super) fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.first.saturating_mul(1 << doublings).min(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let waits = [1, 2, 3, 4, 5, 6, 7, u32::MAX]
            .map(|failures| Backoff::default().after(failures).as_millis());
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    }
}
