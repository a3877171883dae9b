//! How long to wait before trying again.

use std::time::Duration;

/// Waits that double from a second to half a minute.
#[derive(Debug, Clone)]
pub(super) struct BackOff {
    next: Duration,
}

impl BackOff {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30);

    pub(super) const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// The wait before the next try.
    pub(super) fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(Self::LONGEST);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute() {
        let mut waits = BackOff::new();
        let seconds: Vec<u64> = (0..7).map(|_| waits.next().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
    }
}
