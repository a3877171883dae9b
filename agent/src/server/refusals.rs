//! Each refusal is one line of the journal, and no caller can fill the journal with them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

/// Lines that one address gets within [`WINDOW`].
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are counted at the same time. More than that are no callers but an attack, and
/// share one count.
const ADDRESSES: usize = 256;

/// The lines of each address.
#[derive(Debug, Default)]
pub struct Refusals {
    windows: Mutex<HashMap<Option<IpAddr>, Window>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
    unsaid: u64,
}

impl Refusals {
    /// Notes that `peer` was refused `what`.
    pub fn note(&self, peer: Option<SocketAddr>, what: &str, reason: &str) {
        let Some(unsaid) = self.line(peer.map(|peer| peer.ip())) else {
            return;
        };
        let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
        if unsaid == 0 {
            warn!(peer, what, reason, "refused");
        } else {
            warn!(
                peer,
                what, reason, unsaid, "refused, and more often than was said"
            );
        }
    }

    /// Whether there is a line for this, and how many there were none for before.
    fn line(&self, address: Option<IpAddr>) -> Option<u64> {
        let mut windows = self
            .windows
            .lock()
            .expect("nothing panics while it holds this");
        if windows.len() >= ADDRESSES {
            windows.retain(|_, window| window.began.elapsed() < WINDOW);
        }
        let known = windows.contains_key(&address) || windows.len() < ADDRESSES;
        let window = windows
            .entry(address.filter(|_| known))
            .or_insert_with(|| Window {
                began: Instant::now(),
                lines: 0,
                unsaid: 0,
            });
        if window.began.elapsed() >= WINDOW {
            window.began = Instant::now();
            window.lines = 0;
        }
        if window.lines == LINES {
            window.unsaid += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_address_gets_so_many_lines_and_what_was_not_said_is_counted() {
        let refusals = Refusals::default();
        let [one, other] = [1, 2].map(|last| Some(IpAddr::from([100, 64, 0, last])));
        for _ in 0..LINES {
            assert_eq!(refusals.line(one), Some(0));
        }
        assert_eq!((refusals.line(one), refusals.line(one)), (None, None));
        assert_eq!(refusals.line(other), Some(0));
        tokio::time::advance(WINDOW).await;
        assert_eq!(refusals.line(one), Some(2));
        assert_eq!(refusals.line(one), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_share_what_is_left() {
        let refusals = Refusals::default();
        let mut said = 0;
        for number in 0..2000_u32 {
            said += u32::from(
                refusals
                    .line(Some(IpAddr::from(number.to_be_bytes())))
                    .is_some(),
            );
        }
        let most = u32::try_from(ADDRESSES).unwrap() + LINES;
        assert!(said <= most, "{said}");
        assert!(refusals.windows.lock().unwrap().len() <= ADDRESSES + 1);
    }
}
