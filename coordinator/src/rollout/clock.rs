//! Wall time. It stamps the journal and measures the skew of hosts' clocks; nothing waits by it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait WallClock: fmt::Debug + Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_milliseconds(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now_milliseconds(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_millis()).ok())
            .unwrap_or_default()
    }
}
