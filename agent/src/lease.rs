//! Who may change this host: one holder at a time, fenced by an epoch that only rises.
//!
//! The epoch is on the disk before it is granted. The time runs on this host's monotonic clock, so a holder that
//! cannot renew loses the lease here whatever its own clock says. After a restart of the agent the last holder has a
//! full time to live before somebody else gets the lease; the same rollout may take it again at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use omni_scale_proto::id::DeploymentId;
use omni_scale_proto::v1;
use tokio::time::Instant;

use crate::clock;
use crate::error::{Classified, Kind};
use crate::ledger::{Book, LeaseGranted, Ledger, LedgerError, Record};

/// How long a lease lasts unless it is renewed.
pub const TIME_TO_LIVE: Duration = Duration::from_secs(30);

/// Why a lease is not taken, renewed or given back.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The caller's epoch is not the current one, or its time is over.
    #[error("lease epoch {asked} is not in force: {instead}")]
    Lost {
        /// The caller's epoch.
        asked: u64,
        /// Who holds the lease, or that nobody does.
        instead: String,
        /// The same for programs.
        holder: Option<Box<v1::LeaseHolder>>,
    },
    /// A text that is to be shown to people is empty, too long, or not text.
    #[error("`{field}` must be 1 to 128 printable characters")]
    Text {
        /// The field of the request.
        field: &'static str,
    },
    /// It could not be written down.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Classified for LeaseError {
    fn kind(&self) -> Kind {
        match self {
            Self::Lost { .. } => Kind::Stale,
            Self::Text { .. } => Kind::Invalid,
            Self::Ledger(error) => error.kind(),
        }
    }

    fn lease_lost(&self) -> Option<v1::LeaseLost> {
        match self {
            Self::Lost { asked, holder, .. } => Some(v1::LeaseLost {
                epoch: *asked,
                holder: holder.as_deref().cloned(),
            }),
            Self::Text { .. } | Self::Ledger(_) => None,
        }
    }
}

/// The answer to somebody who asks for the lease.
#[derive(Debug, Clone, PartialEq)]
pub enum Acquired {
    /// They have it.
    Granted(LeaseGranted),
    /// Somebody else has it.
    Held(v1::LeaseHolder),
}

/// The lease of this host.
#[derive(Debug)]
pub struct Leases {
    ledger: Arc<Ledger>,
    clock: Mutex<Option<Running>>,
}

/// The time of the grant with this epoch.
#[derive(Debug, Clone, Copy)]
struct Running {
    epoch: u64,
    ends: Instant,
}

impl Leases {
    /// Takes the lease over from the ledger: whoever held it last has a full time to live from now.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        let last = ledger.read(|book| book.lease().map(|lease| lease.epoch));
        Self {
            ledger,
            clock: Mutex::new(last.map(Running::from_now)),
        }
    }

    /// Takes the lease, or says who holds it.
    pub async fn acquire(
        &self,
        deployment: DeploymentId,
        holder: &str,
        rollout: &str,
    ) -> Result<Acquired, LeaseError> {
        check_text("holder", holder)?;
        check_text("rollout_id", rollout)?;
        let acquired: Result<Acquired, LeaseError> = self
            .ledger
            .decide(|book| {
                if let Some((lease, remaining)) = self.in_force(book)
                    && lease.rollout != rollout
                {
                    return Ok((None, Acquired::Held(holder_of(lease, remaining))));
                }
                let grant = LeaseGranted {
                    epoch: book.last_epoch() + 1,
                    deployment,
                    holder: holder.to_owned(),
                    rollout: rollout.to_owned(),
                    since_milliseconds: clock::now_milliseconds(),
                };
                let record = Record::LeaseGranted(grant.clone());
                Ok((Some(record), Acquired::Granted(grant)))
            })
            .await;
        if let Ok(Acquired::Granted(grant)) = &acquired {
            self.run(grant.epoch);
        }
        acquired
    }

    /// Keeps the lease for another time to live.
    pub fn renew(&self, epoch: u64, rollout: &str) -> Result<(), LeaseError> {
        self.ledger
            .read(|book| self.check_holder(book, epoch, rollout))?;
        self.run(epoch);
        Ok(())
    }

    /// Gives the lease back.
    pub async fn release(&self, epoch: u64, rollout: &str) -> Result<(), LeaseError> {
        self.ledger
            .decide(|book| {
                self.check_holder(book, epoch, rollout)?;
                Ok((Some(Record::LeaseReleased { epoch }), ()))
            })
            .await
    }

    /// The grant with this epoch, if it is the one in force.
    pub(crate) fn check<'a>(
        &self,
        book: &'a Book,
        epoch: u64,
    ) -> Result<&'a LeaseGranted, LeaseError> {
        match self.in_force(book) {
            Some((lease, _)) if lease.epoch == epoch => Ok(lease),
            Some((lease, remaining)) => Err(LeaseError::Lost {
                asked: epoch,
                instead: format!("epoch {} is held by {}", lease.epoch, lease.whose()),
                holder: Some(Box::new(holder_of(lease, remaining))),
            }),
            None => Err(LeaseError::Lost {
                asked: epoch,
                instead: match book.lease() {
                    Some(lease) => format!("the lease of {} has run out", lease.whose()),
                    None => "nobody holds the lease".to_owned(),
                },
                holder: None,
            }),
        }
    }

    /// Who holds the lease, since when, and until when.
    pub fn holder(&self) -> Option<v1::LeaseHolder> {
        self.ledger.read(|book| {
            let (lease, remaining) = self.in_force(book)?;
            Some(holder_of(lease, remaining))
        })
    }

    fn check_holder(&self, book: &Book, epoch: u64, rollout: &str) -> Result<(), LeaseError> {
        let lease = self.check(book, epoch)?;
        if lease.rollout == rollout {
            return Ok(());
        }
        let remaining = self.in_force(book).map(|(_, remaining)| remaining);
        Err(LeaseError::Lost {
            asked: epoch,
            instead: format!("it belongs to {}", lease.whose()),
            holder: remaining.map(|remaining| Box::new(holder_of(lease, remaining))),
        })
    }

    fn in_force<'a>(&self, book: &'a Book) -> Option<(&'a LeaseGranted, Duration)> {
        let lease = book.lease()?;
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let known = clock.filter(|running| running.epoch == lease.epoch);
        // A grant whose clock was not set, because its caller went away at that moment, runs from now.
        let running = known.unwrap_or_else(|| Running::from_now(lease.epoch));
        *clock = Some(running);
        let remaining = running.ends.saturating_duration_since(Instant::now());
        (!remaining.is_zero()).then_some((lease, remaining))
    }

    fn run(&self, epoch: u64) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        // Grants may come back in another order than they were made in.
        if clock.is_none_or(|running| running.epoch <= epoch) {
            *clock = Some(Running::from_now(epoch));
        }
    }
}

impl Running {
    fn from_now(epoch: u64) -> Self {
        let ends = Instant::now() + TIME_TO_LIVE;
        Self { epoch, ends }
    }
}

fn holder_of(lease: &LeaseGranted, remaining: Duration) -> v1::LeaseHolder {
    v1::LeaseHolder {
        holder: lease.holder.clone(),
        rollout_id: lease.rollout.clone(),
        epoch: lease.epoch,
        since_milliseconds: lease.since_milliseconds,
        remaining_milliseconds: u32::try_from(remaining.as_millis()).unwrap_or(u32::MAX),
    }
}

fn check_text(field: &'static str, text: &str) -> Result<(), LeaseError> {
    if (1..=128).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(LeaseError::Text { field })
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::Path;

    fn deployment() -> DeploymentId {
        "7f2c6a54-9f0e-4c1e-8f61-0a2d9f1f8a11".parse().unwrap()
    }

    fn leases(directory: &Path) -> Leases {
        let ledger = Ledger::open(&directory.join("ledger")).unwrap();
        Leases::new(Arc::new(ledger))
    }

    async fn granted(leases: &Leases, rollout: &str) -> u64 {
        match leases
            .acquire(deployment(), "ada@desk", rollout)
            .await
            .unwrap()
        {
            Acquired::Granted(grant) => grant.epoch,
            Acquired::Held(holder) => panic!("held by {holder:?}"),
        }
    }

    async fn held(leases: &Leases, rollout: &str) -> v1::LeaseHolder {
        match leases
            .acquire(deployment(), "bob@desk", rollout)
            .await
            .unwrap()
        {
            Acquired::Held(holder) => holder,
            Acquired::Granted(grant) => panic!("granted {grant:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_rollout_is_told_who_holds_the_lease_and_until_when() {
        let directory = tempfile::tempdir().unwrap();
        let leases = leases(directory.path());
        assert_eq!(granted(&leases, "one").await, 1);
        tokio::time::advance(Duration::from_secs(10)).await;
        let holder = held(&leases, "two").await;
        assert_eq!((holder.holder.as_str(), holder.epoch), ("ada@desk", 1));
        assert!((19_000..=20_000).contains(&holder.remaining_milliseconds));
        assert!(holder.since_milliseconds > 0);
        assert_eq!(leases.holder().unwrap().rollout_id, "one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_runs_out_and_its_epoch_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let leases = leases(directory.path());
        let first = granted(&leases, "one").await;
        tokio::time::advance(Duration::from_secs(20)).await;
        leases.renew(first, "one").unwrap();
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(leases.holder().is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(leases.holder().is_none());
        let over = leases.renew(first, "one").unwrap_err();
        assert!(over.to_string().contains("has run out"), "{over}");
        let nobody = v1::LeaseLost {
            epoch: first,
            holder: None,
        };
        assert_eq!(over.lease_lost(), Some(nobody));
        assert_eq!(granted(&leases, "two").await, 2);
        let stale = leases.renew(first, "one").unwrap_err();
        assert!(stale.to_string().contains("rollout two"), "{stale}");
        let holder = stale.lease_lost().unwrap().holder.unwrap();
        assert_eq!((holder.rollout_id.as_str(), holder.epoch), ("two", 2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_rollout_takes_its_lease_again_under_a_new_epoch() {
        let directory = tempfile::tempdir().unwrap();
        let leases = leases(directory.path());
        let first = granted(&leases, "one").await;
        assert_eq!(granted(&leases, "one").await, 2);
        assert!(leases.renew(first, "one").is_err());
        leases.renew(2, "one").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_restart_the_last_holder_has_a_full_time_to_live() {
        let directory = tempfile::tempdir().unwrap();
        let epoch = granted(&leases(directory.path()), "one").await;
        tokio::time::advance(Duration::from_secs(3600)).await;
        let restarted = leases(directory.path());
        assert_eq!(held(&restarted, "two").await.epoch, epoch);
        restarted.renew(epoch, "one").unwrap();
        tokio::time::advance(TIME_TO_LIVE).await;
        assert_eq!(granted(&restarted, "two").await, epoch + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_given_back_is_free_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        {
            let leases = leases(directory.path());
            let epoch = granted(&leases, "one").await;
            let wrong = leases.release(epoch, "two").await.unwrap_err();
            assert!(wrong.to_string().contains("belongs to"), "{wrong}");
            leases.release(epoch, "one").await.unwrap();
            assert!(leases.holder().is_none());
        }
        assert_eq!(granted(&leases(directory.path()), "two").await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn nameless_holders_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let leases = leases(directory.path());
        for holder in ["", "a\nb", &"x".repeat(129)] {
            let refused = leases
                .acquire(deployment(), holder, "one")
                .await
                .unwrap_err();
            assert!(matches!(refused, LeaseError::Text { field: "holder" }));
        }
    }
}
