//! Which device is behind a connection, as tailscaled says, asked as seldom as the question allows.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::chain;
use crate::tailnet::{Peer, Tailnet};

/// How old an answer may be for what only reads.
pub const FRESH_FOR_READS: Duration = Duration::from_secs(10);
/// How old it may be for what changes something. Calls of one act follow each other closely.
pub const FRESH_FOR_CHANGES: Duration = Duration::from_secs(1);
/// How long tailscaled is not asked again after it did not answer.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);

/// What tailscaled said. `Ok(None)`: no device of the tailnet. `Err`: it cannot be told.
pub type Answer = Result<Option<Arc<Peer>>, String>;

/// The devices behind all connections.
pub struct Callers {
    tailnet: Arc<dyn Tailnet>,
    known: Mutex<HashMap<SocketAddr, Arc<Place>>>,
}

/// One other end. The lock is held while tailscaled is asked: one question at a time for each.
#[derive(Default)]
struct Place(tokio::sync::Mutex<Option<(Instant, Answer)>>);

impl Callers {
    /// Asks this node.
    pub fn new(tailnet: Arc<dyn Tailnet>) -> Self {
        Self {
            tailnet,
            known: Mutex::default(),
        }
    }

    /// Who is behind `address`, by an answer that is no older than `at_most`.
    pub async fn behind(&self, address: SocketAddr, at_most: Duration) -> Answer {
        let place = self.place(address);
        let mut known = place.0.lock().await;
        if let Some((asked, answer)) = &*known {
            let at_most = if answer.is_ok() { at_most } else { UNKNOWN_FOR };
            if asked.elapsed() < at_most {
                return answer.clone();
            }
        }
        // The age counts from the question: what changed after it may not be in the answer.
        let asked = Instant::now();
        let answer = match self.tailnet.whois(address).await {
            Ok(peer) => Ok(peer.map(Arc::new)),
            Err(error) => Err(chain(&error)),
        };
        *known = Some((asked, answer.clone()));
        answer
    }

    fn place(&self, address: SocketAddr) -> Arc<Place> {
        let mut known = self
            .known
            .lock()
            .expect("nothing panics while it holds this");
        if !known.contains_key(&address) {
            // Whatever is too old for anything is forgotten when somebody new comes.
            known.retain(|_, place| Arc::strong_count(place) > 1 || place.is_fresh());
        }
        known.entry(address).or_default().clone()
    }
}

impl Place {
    fn is_fresh(&self) -> bool {
        let Ok(known) = self.0.try_lock() else {
            return true;
        };
        let asked = known.as_ref().map(|(asked, _)| *asked);
        asked.is_some_and(|asked| asked.elapsed() < FRESH_FOR_READS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tailnet::FakeTailnet;

    fn address(port: u16) -> SocketAddr {
        ([100, 64, 0, 1], port).into()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_serves_as_long_as_the_question_allows() {
        let tailnet = Arc::new(FakeTailnet::running(
            "omni.tail.test",
            [100, 64, 0, 3].into(),
        ));
        let callers = Callers::new(tailnet.clone());
        for (wait, at_most, asked) in [
            (0, FRESH_FOR_READS, 1),
            (9, FRESH_FOR_READS, 1),
            (0, FRESH_FOR_CHANGES, 2),
            (0, FRESH_FOR_CHANGES, 2),
            (9, FRESH_FOR_READS, 2),
            (1, FRESH_FOR_READS, 3),
        ] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            assert!(callers.behind(address(1), at_most).await.unwrap().is_some());
            assert_eq!(tailnet.asked(), asked);
        }
        callers.behind(address(2), FRESH_FOR_READS).await.unwrap();
        assert_eq!(tailnet.asked(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_no_answer_and_soon_asked_again() {
        let tailnet = Arc::new(FakeTailnet::running(
            "omni.tail.test",
            [100, 64, 0, 3].into(),
        ));
        tailnet.forget_peers();
        let callers = Callers::new(tailnet.clone());
        assert!(callers.behind(address(1), FRESH_FOR_READS).await.is_err());
        tailnet.set_peer(None);
        assert!(callers.behind(address(1), FRESH_FOR_READS).await.is_err());
        tokio::time::advance(UNKNOWN_FOR).await;
        assert_eq!(callers.behind(address(1), FRESH_FOR_READS).await, Ok(None));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_gone_is_forgotten() {
        let tailnet = Arc::new(FakeTailnet::running(
            "omni.tail.test",
            [100, 64, 0, 3].into(),
        ));
        let callers = Callers::new(tailnet);
        for port in 1..100 {
            callers
                .behind(address(port), FRESH_FOR_READS)
                .await
                .unwrap();
        }
        tokio::time::advance(FRESH_FOR_READS).await;
        callers.behind(address(100), FRESH_FOR_READS).await.unwrap();
        assert_eq!(callers.known.lock().unwrap().len(), 1);
    }
}
