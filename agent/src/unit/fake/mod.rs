//! A model of systemd for one unit, behind the port [`Units`].
//!
//! It obeys the port's rules: an unknown unit gives the error that the real one gives, and the
//! contract suite runs against both.

mod issuer;
mod model;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

pub use self::issuer::FakeIssuer;
pub use self::model::{Program, Refusal, UnitModel};
use super::error::{JobOutcome, UnitsError};
use super::job::Job;
use super::state::UnitState;
use super::units::{Sighting, Units};

/// systemd's wait between two automatic restarts, as in `tsidp.service`.
const RESTART_AFTER: Duration = Duration::from_secs(5);

/// What was asked of a [`FakeUnits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// The state was read.
    Observe,
    /// A job was asked for.
    Run(Job),
    /// The failure was forgotten.
    ResetFailed,
}

/// systemd with one unit. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct FakeUnits {
    unit: String,
    model: watch::Sender<UnitModel>,
    lost: watch::Sender<Option<String>>,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    failures: VecDeque<UnitsError>,
    calls: Vec<Call>,
}

impl FakeUnits {
    /// systemd with `unit` installed and not started.
    pub fn new(unit: &str) -> Self {
        Self {
            unit: unit.to_owned(),
            model: watch::Sender::new(UnitModel::default()),
            lost: watch::Sender::new(None),
            script: Arc::default(),
        }
    }

    /// Changes the unit or its surroundings; watchers see it.
    pub fn change(&self, change: impl FnOnce(&mut UnitModel)) {
        self.model.send_modify(change);
    }

    /// Somebody else does this to the unit.
    pub fn somebody_runs(&self, job: Job) {
        self.model.send_modify(|model| {
            let _ = model.run(job);
        });
    }

    /// The state as it is.
    pub fn state(&self) -> UnitState {
        self.model.borrow().state()
    }

    /// The next call fails in this way.
    pub fn fail_next(&self, error: UnitsError) {
        self.script().failures.push_back(error);
    }

    /// The bus is gone, until [`Self::find`].
    pub fn lose(&self, reason: &str) {
        self.lost.send_replace(Some(reason.to_owned()));
    }

    /// The bus is back.
    pub fn find(&self) {
        self.lost.send_replace(None);
    }

    /// What was asked so far.
    pub fn calls(&self) -> Vec<Call> {
        self.script().calls.clone()
    }

    /// The jobs that were asked for so far.
    pub fn jobs(&self) -> Vec<Job> {
        let calls = self.calls();
        let jobs = calls.into_iter().filter_map(|call| match call {
            Call::Run(job) => Some(job),
            Call::Observe | Call::ResetFailed => None,
        });
        jobs.collect()
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, call: Call, attempt: &str) -> Result<(), UnitsError> {
        let mut script = self.script();
        script.calls.push(call);
        if let Some(error) = script.failures.pop_front() {
            return Err(error);
        }
        match &*self.lost.borrow() {
            Some(reason) => Err(UnitsError::Unreachable {
                attempt: attempt.to_owned(),
                source: reason.clone().into(),
            }),
            None => Ok(()),
        }
    }

    fn refused(unit: &str, action: &str, refusal: Refusal) -> UnitsError {
        match refusal {
            Refusal::NoSuchUnit => UnitsError::NotFound {
                unit: unit.to_owned(),
            },
            Refusal::AccessDenied => UnitsError::Denied {
                attempt: format!("{action} `{unit}`"),
                text: "Permission denied".to_owned(),
            },
        }
    }

    /// A program that dies is started again and again, as long as somebody cares.
    fn keep_restarting(&self) {
        let model = self.model.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(RESTART_AFTER).await;
                let mut goes_on = false;
                model.send_if_modified(|model| {
                    goes_on = model.state().is_restarting_by_itself();
                    if goes_on {
                        model.restart_by_itself();
                    }
                    goes_on
                });
                if !goes_on {
                    return;
                }
            }
        });
    }
}

#[async_trait]
impl Units for FakeUnits {
    async fn observe(&self, unit: &str) -> Result<UnitState, UnitsError> {
        self.begin(Call::Observe, &format!("observe `{unit}`"))?;
        if unit == self.unit {
            return Ok(self.state());
        }
        let mut unknown = UnitModel::default();
        unknown.installed = false;
        Ok(unknown.state())
    }

    async fn run(&self, unit: &str, job: Job, bound: Duration) -> Result<(), UnitsError> {
        self.begin(Call::Run(job), &format!("{job} `{unit}`"))?;
        if unit != self.unit {
            return Err(Self::refused(unit, &job.to_string(), Refusal::NoSuchUnit));
        }
        if self.model.borrow().jobs_hang {
            tokio::time::sleep(bound).await;
            return Err(UnitsError::JobTimedOut {
                unit: unit.to_owned(),
                job,
                bound,
            });
        }
        let mut word = Ok("done");
        self.model.send_modify(|model| word = model.run(job));
        let word = word.map_err(|refusal| Self::refused(unit, &job.to_string(), refusal))?;
        let state = self.state();
        if let Some(outcome) = JobOutcome::read(word) {
            return Err(UnitsError::JobFailed {
                unit: unit.to_owned(),
                job,
                outcome,
                result: state.result,
                status: state.exec_main_status,
            });
        }
        if state.is_restarting_by_itself() {
            self.keep_restarting();
        }
        match state.failed_condition {
            Some(condition) if job.starts() && state.main_pid == 0 => {
                Err(UnitsError::ConditionFailed {
                    unit: unit.to_owned(),
                    condition,
                })
            }
            _ => Ok(()),
        }
    }

    async fn reset_failed(&self, unit: &str) -> Result<(), UnitsError> {
        self.begin(Call::ResetFailed, &format!("reset-failed `{unit}`"))?;
        let mut done = Ok(());
        self.model.send_modify(|model| done = model.reset_failed());
        done.map_err(|refusal| Self::refused(unit, "reset-failed", refusal))
    }

    fn watch(&self, _unit: &str) -> watch::Receiver<Sighting> {
        let (sender, receiver) = watch::channel(Sighting::Lost {
            reason: "systemd was not asked yet".to_owned(),
        });
        let mut model = self.model.subscribe();
        let mut lost = self.lost.subscribe();
        tokio::spawn(async move {
            loop {
                let reason = lost.borrow_and_update().clone();
                let state = model.borrow_and_update().state();
                sender.send_if_modified(|last| {
                    let now = match reason {
                        Some(reason) => Sighting::Lost { reason },
                        None => Sighting::Known(Box::new(state)),
                    };
                    let changed = *last != now;
                    *last = now;
                    changed
                });
                tokio::select! {
                    () = sender.closed() => return,
                    changed = model.changed() => if changed.is_err() { return },
                    changed = lost.changed() => if changed.is_err() { return },
                }
            }
        });
        receiver
    }

    async fn version(&self) -> Result<String, UnitsError> {
        Ok("252 (fake)".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract_suite::{Subject, contract};
    use super::super::units::TSIDP_UNIT;
    use super::*;

    contract!({
        let fake = FakeUnits::new(TSIDP_UNIT);
        Subject {
            model: fake.model.clone(),
            units: Arc::new(fake),
        }
    });
}
