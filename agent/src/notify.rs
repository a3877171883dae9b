//! What systemd is told: ready, reloading, stopping, alive, and a line on what is being done.
//!
//! Without a notification socket every message goes nowhere, which is no fault: the agent was
//! started by hand.

use std::sync::Mutex;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// Tells systemd. Says each status only when it differs from the one before.
#[derive(Debug, Default)]
pub struct Notifier {
    last_status: Mutex<String>,
}

impl Notifier {
    /// The agent serves, or waits for a tailnet address to serve on.
    pub fn ready(&self) {
        send(&[NotifyState::Ready]);
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        let Ok(mut last) = self.last_status.lock() else {
            return;
        };
        if *last != text {
            text.clone_into(&mut last);
            send(&[NotifyState::Status(text)]);
        }
    }

    /// Configuration is being read anew; `ready` ends it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(error) => warn!(%error, "cannot tell systemd about the reload"),
        }
    }

    /// The agent drains and ends.
    pub fn stopping(&self) {
        send(&[NotifyState::Stopping]);
    }

    /// Pings the watchdog at half its period for ever. Returns at once when there is none.
    pub async fn keep_alive(&self) {
        let Some(period) = sd_notify::watchdog_enabled() else {
            return;
        };
        let mut pings = tokio::time::interval(period.max(Duration::from_millis(2)) / 2);
        loop {
            pings.tick().await;
            send(&[NotifyState::Watchdog]);
        }
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "cannot notify systemd");
    }
}
