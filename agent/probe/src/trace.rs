//! The report while it is being written: steps are bounded, timed and recorded in order.

use std::{fmt::Display, future::Future, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::{
    fault::{Fault, span},
    report::{FailureClass, Outcome, ProbeReport, Step, StepReport},
};

/// A step failed and is in the report; nothing after it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

/// A report under way.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) report: ProbeReport,
    began: Instant,
    pub(crate) deadline: Instant,
    patience: Duration,
}

impl Trace {
    pub(crate) fn begin(url: &str, patience: Duration) -> Self {
        let began = Instant::now();
        Self {
            report: ProbeReport {
                url: url.to_owned(),
                met: false,
                steps: Vec::new(),
                nameservers: Vec::new(),
                addresses: Vec::new(),
                peer: None,
                certificate: None,
                http_status: None,
                issuer: None,
                elapsed_milliseconds: 0,
            },
            began,
            deadline: began + patience,
            patience,
        }
    }

    /// A trace of its own with what is left of this one's time: for a fetch that is one step of this probe.
    pub(crate) fn inner(&self, url: &str) -> Self {
        let mut inner = Self::begin(url, self.patience);
        inner.deadline = self.deadline;
        inner
    }

    /// Does `work` within the probe's time and records how the step ended. `awaited` completes “no … within 10 s”.
    pub(crate) async fn step<T>(
        &mut self,
        step: Step,
        awaited: impl Display,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Stopped> {
        let began = Instant::now();
        let result = timeout_at(self.deadline, work).await.unwrap_or_else(|_| {
            Err(Fault::new(
                FailureClass::TimedOut,
                format!("no {awaited} within {}", span(self.patience)),
            ))
        });
        self.record(step, began, result)
    }

    /// Records a step that is done.
    pub(crate) fn record<T>(
        &mut self,
        step: Step,
        began: Instant,
        result: Result<T, Fault>,
    ) -> Result<T, Stopped> {
        let (outcome, result) = match result {
            Ok(value) => (Outcome::Ok, Ok(value)),
            Err(fault) => {
                let outcome = Outcome::Failed {
                    class: fault.class,
                    message: fault.message,
                };
                (outcome, Err(Stopped))
            }
        };
        self.report.steps.push(StepReport {
            step,
            outcome,
            elapsed_milliseconds: milliseconds(began.elapsed()),
        });
        result
    }

    /// Takes back the success of the step recorded last when what it brought is not what was wanted.
    pub(crate) fn judge<T>(&mut self, result: Result<T, Fault>) -> Result<T, Stopped> {
        result.map_err(|fault| {
            if let Some(last) = self.report.steps.last_mut() {
                last.outcome = Outcome::Failed {
                    class: fault.class,
                    message: fault.message,
                };
            }
            Stopped
        })
    }

    pub(crate) fn end(mut self, result: Result<(), Stopped>) -> ProbeReport {
        self.report.met = result.is_ok();
        self.report.elapsed_milliseconds = milliseconds(self.began.elapsed());
        self.report
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
