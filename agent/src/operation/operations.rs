//! The one way of every mutation.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use omni_scale_proto::id::OperationId;
use omni_scale_proto::operation::{Operation, Target};
use omni_scale_proto::v1;
use tokio::sync::watch;

use super::error::OperationError;
use super::failure::{Done, Failure};
use super::reporter::Reporter;
use super::running::Running;

/// Runs mutations: one per target at a time, each under its operation's id, generation, epoch and deadline.
///
/// Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Operations {
    targets: Arc<Mutex<BTreeMap<Target, TargetState>>>,
}

#[derive(Debug, Default)]
struct TargetState {
    generation: u64,
    running: Option<Started>,
    outcomes: Vec<(OperationId, v1::Outcome)>,
}

#[derive(Debug, Clone)]
struct Started {
    id: OperationId,
    reporter: Reporter,
    outcome: watch::Receiver<Option<v1::Outcome>>,
}

impl Operations {
    /// The generation that the target has, for observations. 0: never touched.
    pub fn generation(&self, target: &Target) -> u64 {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.get(target).map_or(0, |state| state.generation)
    }

    /// Begins `work` on `target`, attaches to it when it runs already, or answers from the ledger.
    ///
    /// `work` is a reconciler: it observes, acts on the difference and verifies; running it twice is harmless. It
    /// goes on when the caller loses interest, and is dropped at the operation's deadline. `action` is a word for
    /// people and the ledger (`apply`, `restart`); `desired_digest` is what the target shall become.
    pub async fn run<Work, Ending>(
        &self,
        operation: Operation,
        target: Target,
        action: &str,
        desired_digest: &str,
        work: Work,
    ) -> Result<Running, OperationError>
    where
        Work: FnOnce(Reporter) -> Ending + Send + 'static,
        Ending: Future<Output = Result<Done, Failure>> + Send + 'static,
    {
        let _ = (action, desired_digest);
        tokio::task::yield_now().await;
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let state = targets.entry(target.clone()).or_default();
        if let Some((_, outcome)) = state.outcomes.iter().find(|(id, _)| *id == operation.id) {
            let replayed = true;
            return Ok(Running::ended(v1::Outcome {
                replayed,
                ..outcome.clone()
            }));
        }
        if let Some(running) = &state.running {
            if running.id == operation.id {
                return Ok(Running::attached(
                    &running.reporter,
                    running.outcome.clone(),
                ));
            }
            return Err(OperationError::Busy {
                target,
                operation: running.id.clone(),
                whose: "another caller".to_owned(),
            });
        }
        if operation.generation <= state.generation {
            return Err(OperationError::StaleGeneration {
                target,
                asked: operation.generation,
                current: state.generation,
                operation: operation.id,
                whose: "another caller".to_owned(),
            });
        }
        let (sender, outcome) = watch::channel(None);
        let reporter = Reporter::default();
        state.generation = operation.generation;
        state.running = Some(Started {
            id: operation.id.clone(),
            reporter: reporter.clone(),
            outcome: outcome.clone(),
        });
        let running = Running::attached(&reporter, outcome);
        let work = work(reporter);
        let targets = self.targets.clone();
        tokio::spawn(async move {
            let deadline = Duration::from_secs(operation.deadline_seconds.into());
            let ended = tokio::time::timeout(deadline, work).await;
            let (summary, warnings, failure) = match ended {
                Ok(Ok(done)) => (done.summary, done.warnings, None),
                Ok(Err(failure)) => (String::new(), Vec::new(), Some(failure)),
                Err(_) => (
                    String::new(),
                    Vec::new(),
                    Some(Failure::new(
                        v1::FailureClass::Transient,
                        format!("outcome unknown: not done within {} s", deadline.as_secs()),
                    )),
                ),
            };
            let outcome = v1::Outcome {
                operation_id: operation.id.to_string(),
                generation: operation.generation,
                summary,
                replayed: false,
                failure: failure.map(Into::into),
                warnings,
            };
            let mut targets = targets.lock().unwrap_or_else(PoisonError::into_inner);
            let state = targets.entry(target).or_default();
            state.running = None;
            state.outcomes.push((operation.id, outcome.clone()));
            let _ = sender.send(Some(outcome));
        });
        Ok(running)
    }
}
