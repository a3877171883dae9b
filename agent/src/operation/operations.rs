//! Runs mutations: admission, intent, work, outcome.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use omni_scale_proto::id::{DeploymentId, OperationId};
use omni_scale_proto::operation::{Operation, Target};
use omni_scale_proto::v1;
use tokio::sync::watch;

use super::admission::{self, Admission};
use super::conclude;
use super::error::OperationError;
use super::failure::{Done, Failure};
use super::reporter::Reporter;
use super::running::Running;
use crate::clock;
use crate::lease::Leases;
use crate::ledger::{Finished, Ledger, Record, Started};
use crate::secrets::Secrets;

/// Runs mutations: one per target at a time, each under its operation's id, generation, epoch and deadline.
///
/// Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct Operations {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ledger: Arc<Ledger>,
    leases: Arc<Leases>,
    secrets: Arc<Secrets>,
    deployment: watch::Receiver<Option<DeploymentId>>,
    /// What runs now, by target.
    running: watch::Sender<BTreeMap<Target, Entry>>,
    /// Serializes admissions, so that looking at what runs and beginning are one step.
    admissions: tokio::sync::Mutex<()>,
    stopping: Mutex<bool>,
    #[cfg(any(test, feature = "testing"))]
    tasks: Mutex<Vec<tokio::task::AbortHandle>>,
}

#[derive(Debug, Clone)]
struct Entry {
    id: OperationId,
    whose: String,
    action: String,
    reporter: Reporter,
    outcome: watch::Receiver<Option<v1::Outcome>>,
}

/// An operation that runs now, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// What is changed.
    pub target: Target,
    /// `apply`, `restart` …
    pub action: String,
    /// Which operation.
    pub operation: OperationId,
}

impl Operations {
    /// Takes over what the ledger knows. Nothing runs.
    pub fn new(
        ledger: Arc<Ledger>,
        leases: Arc<Leases>,
        secrets: Arc<Secrets>,
        deployment: watch::Receiver<Option<DeploymentId>>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                ledger,
                leases,
                secrets,
                deployment,
                running: watch::Sender::default(),
                admissions: tokio::sync::Mutex::default(),
                stopping: Mutex::default(),
                #[cfg(any(test, feature = "testing"))]
                tasks: Mutex::default(),
            }),
        }
    }

    /// The generation that the target has, for observations. 0: never touched.
    pub fn generation(&self, target: &Target) -> u64 {
        self.inner.ledger.read(|book| {
            book.newest(target)
                .map_or(0, |newest| newest.started.generation)
        })
    }

    /// Why nothing can be changed on this host, when nothing can: the ledger is damaged.
    pub fn damage(&self) -> Option<String> {
        let damage = self.inner.ledger.damage();
        damage.map(|damage| crate::error::chain(&damage))
    }

    /// What was done to every target, for `Describe` and for whoever takes the lease.
    pub fn targets(&self) -> Vec<v1::TargetStatus> {
        let running = self.inner.running.borrow();
        self.inner.ledger.read(|book| {
            let status = |(target, newest): (&Target, &crate::ledger::OperationBook)| {
                let entry = running.get(target);
                v1::TargetStatus {
                    target: target.to_string(),
                    generation: newest.started.generation,
                    running_operation_id: entry.map_or(String::new(), |entry| entry.id.to_string()),
                    outcome_unknown: entry.is_none() && conclude::is_unknown(newest),
                }
            };
            book.targets().map(status).collect()
        })
    }

    /// What runs now.
    pub fn activities(&self) -> Vec<Activity> {
        let running = self.inner.running.borrow();
        let activity = |(target, entry): (&Target, &Entry)| Activity {
            target: target.clone(),
            action: entry.action.clone(),
            operation: entry.id.clone(),
        };
        running.iter().map(activity).collect()
    }

    /// Returns when what runs has changed since the last call on this value.
    pub fn changes(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut running = self.inner.running.subscribe();
        async move {
            // An error means that all operations are gone, and with them what could change.
            if running.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
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
        let this = self.clone();
        let action = action.to_owned();
        let desired_digest = desired_digest.to_owned();
        // A task of its own: between the intent and the work, the caller must not be able to go away.
        let begin = tokio::spawn(async move {
            this.begin(operation, target, action, desired_digest, work)
                .await
        });
        self.note(begin.abort_handle());
        match begin.await {
            Ok(running) => running,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(OperationError::Stopping),
        }
    }

    async fn begin<Work, Ending>(
        self,
        operation: Operation,
        target: Target,
        action: String,
        desired_digest: String,
        work: Work,
    ) -> Result<Running, OperationError>
    where
        Work: FnOnce(Reporter) -> Ending + Send + 'static,
        Ending: Future<Output = Result<Done, Failure>> + Send + 'static,
    {
        self.check_deployment(operation.deployment)?;
        let _admission = self.inner.admissions.lock().await;
        if *self.stopping() {
            return Err(OperationError::Stopping);
        }
        let running = self.inner.running.borrow().get(&target).cloned();
        let decision = self
            .inner
            .ledger
            .decide(|book| -> Result<_, OperationError> {
                let whose = self
                    .inner
                    .leases
                    .check(book, operation.lease_epoch)?
                    .whose();
                if let Some(entry) = running {
                    return Ok((None, Decision::Attach(entry)));
                }
                if let Admission::Answer(outcome) = admission::admit(book, &operation, &target)? {
                    return Ok((None, Decision::Answer(outcome)));
                }
                let started = Started {
                    operation: operation.id.clone(),
                    target: target.clone(),
                    generation: operation.generation,
                    epoch: operation.lease_epoch,
                    whose,
                    action,
                    desired_digest,
                    at_milliseconds: clock::now_milliseconds(),
                };
                Ok((
                    Some(Record::Started(started.clone())),
                    Decision::Begin(started),
                ))
            })
            .await?;
        match decision {
            Decision::Answer(outcome) => Ok(Running::ended(outcome)),
            Decision::Attach(entry) if entry.id == operation.id => {
                Ok(Running::attached(&entry.reporter, entry.outcome))
            }
            Decision::Attach(entry) => Err(OperationError::Busy {
                target,
                operation: entry.id,
                whose: entry.whose,
            }),
            Decision::Begin(started) => Ok(self.spawn(&started, operation.deadline_seconds, work)),
        }
    }

    /// Refuses callers that work for another deployment than this agent.
    pub fn check_deployment(&self, asked: DeploymentId) -> Result<(), OperationError> {
        let serves = *self.inner.deployment.borrow();
        let serves = serves.ok_or(OperationError::NotEnrolled)?;
        if serves == asked {
            return Ok(());
        }
        Err(OperationError::OtherDeployment { asked, serves })
    }

    fn spawn<Work, Ending>(&self, started: &Started, deadline_seconds: u32, work: Work) -> Running
    where
        Work: FnOnce(Reporter) -> Ending + Send + 'static,
        Ending: Future<Output = Result<Done, Failure>> + Send + 'static,
    {
        let (sender, outcome) = watch::channel(None);
        let reporter = Reporter::masked_by(self.inner.secrets.clone());
        let entry = Entry {
            id: started.operation.clone(),
            whose: started.whose.clone(),
            action: started.action.clone(),
            reporter: reporter.clone(),
            outcome: outcome.clone(),
        };
        self.inner.running.send_modify(|running| {
            running.insert(started.target.clone(), entry);
        });
        let listener = Running::attached(&reporter, outcome);
        tracing::info!(
            target = %started.target, operation = %started.operation, generation = started.generation,
            action = started.action, "operation started"
        );
        let this = self.clone();
        let started = started.clone();
        let deadline = Duration::from_secs(deadline_seconds.into());
        // The work has a task of its own, so that its panic is an outcome too.
        let mut work = tokio::spawn(work(reporter));
        self.note(work.abort_handle());
        let finishing = tokio::spawn(async move {
            let ended = tokio::time::timeout(deadline, &mut work).await;
            if ended.is_err() {
                work.abort();
                // The work is over when it is dropped, not when it was told to end.
                let _ = work.await;
            }
            let ended = ended.ok();
            let conclusion = conclude::conclude(ended, deadline_seconds, &this.inner.secrets);
            this.finish(&started, conclusion, &sender).await;
        });
        self.note(finishing.abort_handle());
        listener
    }

    async fn finish(
        &self,
        started: &Started,
        conclusion: crate::ledger::Conclusion,
        sender: &watch::Sender<Option<v1::Outcome>>,
    ) {
        let mut outcome = conclusion.outcome(&started.operation, started.generation);
        tracing::info!(
            target = %started.target, operation = %started.operation,
            failure = outcome.failure.as_ref().map(|failure| failure.message.as_str()),
            "operation ended"
        );
        let finished = Record::Finished(Finished {
            operation: started.operation.clone(),
            target: started.target.clone(),
            conclusion,
            at_milliseconds: clock::now_milliseconds(),
        });
        if let Err(error) = self.inner.ledger.append(finished).await {
            let error = crate::error::chain(&error);
            tracing::error!(target = %started.target, error, "cannot write an outcome down");
            outcome = conclude::not_written(&error).outcome(&started.operation, started.generation);
        }
        self.inner.running.send_modify(|running| {
            running.remove(&started.target);
        });
        sender.send_replace(Some(outcome));
    }

    /// Begins nothing new, and waits for what runs, at most for `patience`. True: nothing runs any more.
    ///
    /// What still runs then is left in the ledger without an outcome: after the restart it is unknown, and whoever
    /// asks for it again has it looked at.
    pub async fn stop(&self, patience: Duration) -> bool {
        *self.stopping() = true;
        let mut running = self.inner.running.subscribe();
        let idle = async {
            // One that is just being admitted runs in a moment.
            drop(self.inner.admissions.lock().await);
            // The sender lives as long as this.
            let _ = running.wait_for(BTreeMap::is_empty).await;
        };
        tokio::time::timeout(patience, idle).await.is_ok()
    }

    /// The process is killed: what runs ends wherever it is, and nothing more is written down.
    #[cfg(any(test, feature = "testing"))]
    pub fn kill(&self) {
        *self.stopping() = true;
        let mut tasks = self
            .inner
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tasks.drain(..).for_each(|task| task.abort());
    }

    /// Remembers a task for [`Self::kill`]. Where nothing is killed from inside, forgets it.
    #[cfg_attr(
        not(any(test, feature = "testing")),
        expect(clippy::unused_self, reason = "see above")
    )]
    fn note(&self, task: tokio::task::AbortHandle) {
        #[cfg(any(test, feature = "testing"))]
        self.inner
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(task);
        #[cfg(not(any(test, feature = "testing")))]
        drop(task);
    }

    fn stopping(&self) -> MutexGuard<'_, bool> {
        self.inner
            .stopping
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

enum Decision {
    Begin(Started),
    Attach(Entry),
    Answer(v1::Outcome),
}
