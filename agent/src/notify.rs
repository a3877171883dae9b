//! What systemd is told: ready, reloading, stopping, alive, and a line on what is being done.
//!
//! Without a notification socket every message goes nowhere, which is no fault: the agent was
//! started by hand.

use std::sync::Mutex;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;
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

    /// Pings the watchdog at half its period for ever, each time only once `answers` has said that
    /// the agent answers. Returns at once when there is no watchdog.
    pub async fn keep_alive<Answer>(&self, answers: impl Fn() -> Answer)
    where
        Answer: Future<Output = bool>,
    {
        if let Some(period) = sd_notify::watchdog_enabled() {
            keep_alive(period, answers, || send(&[NotifyState::Watchdog])).await;
        }
    }
}

async fn keep_alive<Answer>(period: Duration, answers: impl Fn() -> Answer, ping: impl Fn())
where
    Answer: Future<Output = bool>,
{
    let mut questions = tokio::time::interval(period.max(Duration::from_millis(2)) / 2);
    questions.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        questions.tick().await;
        // An answer that does not come is waited for: systemd ends the wait.
        if answers().await {
            ping();
        } else {
            warn!(
                "the agent does not answer its own question; the watchdog is not told that it lives"
            );
        }
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "cannot notify systemd");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    use tokio::time::{Instant, timeout};

    const PERIOD: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_pinged_at_half_its_period_and_only_after_an_answer() {
        let began = Instant::now();
        let pings = RefCell::new(Vec::new());
        let questions = Cell::new(0);
        let answers = || {
            questions.set(questions.get() + 1);
            let question = questions.get();
            async move {
                match question {
                    1 | 2 => true,
                    3 => false,
                    _ => std::future::pending().await,
                }
            }
        };
        let alive = keep_alive(PERIOD, answers, || {
            pings.borrow_mut().push(began.elapsed().as_secs());
        });
        let hung = timeout(10 * PERIOD, alive).await;
        assert!(hung.is_err());
        assert_eq!((questions.get(), pings.into_inner()), (4, vec![0, 15]));
    }
}
