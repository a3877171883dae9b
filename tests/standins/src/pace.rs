//! Time as the real programs take it, and the date that Go's logger prints.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep, sleep_until};

/// Waits relative to the start of the program; all are multiplied by one factor.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    began: Instant,
    factor: f64,
}

impl Pace {
    /// Begins now. `factor` 1 is real time, 0 never waits.
    pub fn begin(factor: f64) -> Self {
        Self {
            began: Instant::now(),
            factor,
        }
    }

    /// Waits until this long after the start.
    pub async fn until(&self, since_start: Duration) {
        sleep_until(self.began + since_start.mul_f64(self.factor)).await;
    }

    /// Waits this long.
    pub async fn span(&self, duration: Duration) {
        sleep(duration.mul_f64(self.factor)).await;
    }

    /// A bound on something real: shortened with the pace, but never below what a busy machine needs.
    pub fn bound(&self, duration: Duration) -> Duration {
        duration.mul_f64(self.factor).max(Duration::from_secs(3))
    }
}

/// Seconds since 1970 with their fraction, as zap prints `ts`.
pub(crate) fn unix_time() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// `2026/11/23 15:29:00`, in UTC: the prefix of Go's standard logger.
pub(crate) fn go_date() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// The Gregorian date of a day since 1970-01-01 (Howard Hinnant's `civil_from_days`, for days that are not negative).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (day, date) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (19_782, (2024, 2, 29)),
            (20_780, (2026, 11, 23)),
        ] {
            assert_eq!(civil(day), date);
        }
    }
}
