//! The product's own answer as it was seen last, and to which run of the unit it belongs.

use std::time::Duration;

use omni_scale_proto::v1::{Verification, VerificationStatus};
use tokio::sync::watch;
use tokio::time::Instant;

use super::issuer::Answer;
use super::state::InvocationId;
use crate::clock;

/// The last answer. Readers can wait for the next one.
#[derive(Debug)]
pub(super) struct Verifications {
    last: watch::Sender<Option<Seen>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Seen {
    verification: Verification,
    at: Instant,
    invocation: Option<InvocationId>,
}

impl Default for Verifications {
    fn default() -> Self {
        Self {
            last: watch::Sender::new(None),
        }
    }
}

impl Verifications {
    /// Remembers an answer that this run of the unit gave.
    pub(super) fn remember(&self, answer: &Answer, invocation: Option<InvocationId>) {
        let status = match answer {
            Answer::Passed { .. } => VerificationStatus::Passed,
            Answer::Failed { .. } => VerificationStatus::Failed,
            Answer::Unknown { .. } => VerificationStatus::Unknown,
        };
        self.last.send_replace(Some(Seen {
            verification: Verification {
                status: status.into(),
                summary: answer.text().to_owned(),
                checked_at_milliseconds: clock::now_milliseconds(),
            },
            at: Instant::now(),
            invocation,
        }));
    }

    /// The last answer of this run. An answer of an earlier run says nothing about this one.
    pub(super) fn of(&self, invocation: Option<InvocationId>) -> Verification {
        match &*self.last.borrow() {
            Some(seen) if seen.invocation == invocation => seen.verification.clone(),
            Some(_) => unknown("it was not asked since the unit was started"),
            None => unknown("it was not asked yet"),
        }
    }

    /// Whether this run answered less than `age` ago.
    pub(super) fn is_fresh(&self, invocation: Option<InvocationId>, age: Duration) -> bool {
        self.last
            .borrow()
            .as_ref()
            .is_some_and(|seen| seen.invocation == invocation && seen.at.elapsed() < age)
    }

    /// Whoever waits on it sees each new answer.
    pub(super) fn changes(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut last = self.last.subscribe();
        async move {
            if last.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// There is no answer, and this is why.
pub(super) fn unknown(reason: &str) -> Verification {
    Verification {
        status: VerificationStatus::Unknown.into(),
        summary: reason.to_owned(),
        checked_at_milliseconds: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_belongs_to_its_run() {
        let one = InvocationId::from_bytes(&[1; 16]);
        let two = InvocationId::from_bytes(&[2; 16]);
        let verifications = Verifications::default();
        assert_eq!(verifications.of(one).status(), VerificationStatus::Unknown);
        let passed = Answer::Passed {
            summary: "it answers".to_owned(),
        };
        verifications.remember(&passed, one);
        assert_eq!(verifications.of(one).status(), VerificationStatus::Passed);
        assert_eq!(verifications.of(two).status(), VerificationStatus::Unknown);
        let age = Duration::from_secs(5);
        assert!(verifications.is_fresh(one, age));
        assert!(!verifications.is_fresh(two, age));
        tokio::time::advance(age).await;
        assert!(!verifications.is_fresh(one, age));
    }
}
