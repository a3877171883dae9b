//! One job from its beginning to its own end.
//!
//! The order is what makes it free of races: systemd is told to send signals, the stream of ended
//! jobs is opened, and only then the job is asked for. Its end may come before the reply that names
//! it, so ends are remembered from the first moment on.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};
use zbus::OwnedObjectPath;

use super::proxy::{JobRemovedStream, ManagerProxy};
use super::{Systemd, error, read_state};
use crate::unit::error::{JobOutcome, UnitsError};
use crate::unit::job::Job;

/// A new job takes the place of one that waits, as `systemctl` does it.
const MODE: &str = "replace";

pub(super) async fn run(
    systemd: &Systemd,
    unit: &str,
    job: Job,
    bound: Duration,
) -> Result<(), UnitsError> {
    let deadline = Instant::now() + bound;
    let failed = |error| error::classify(&job.to_string(), unit, error);
    let manager = systemd.manager().await.map_err(failed)?;
    let ends = manager.receive_job_removed().await.map_err(failed)?;
    let word = timeout_at(deadline, ask_and_wait(&manager, ends, unit, job))
        .await
        .map_err(|_| UnitsError::JobTimedOut {
            unit: unit.to_owned(),
            job,
            bound,
        })?
        .map_err(failed)?;
    match JobOutcome::read(&word) {
        Some(outcome) => Err(failure(&manager, unit, job, outcome).await),
        None if job.starts() => started(&manager, unit).await,
        None => Ok(()),
    }
}

/// Asks for the job and waits until it has ended; the answer is systemd's word for how.
async fn ask_and_wait(
    manager: &ManagerProxy<'static>,
    mut ends: JobRemovedStream,
    unit: &str,
    job: Job,
) -> zbus::Result<String> {
    let ask = async {
        match job {
            Job::Start => manager.start_unit(unit, MODE).await,
            Job::Stop => manager.stop_unit(unit, MODE).await,
            Job::Restart => manager.restart_unit(unit, MODE).await,
        }
    };
    tokio::pin!(ask);
    let mut ended = HashMap::new();
    // The stream is read while the reply is awaited: a full queue would hold the reply back.
    let path = loop {
        tokio::select! {
            path = &mut ask => break path?,
            end = next(&mut ends) => {
                let (path, word) = end?;
                ended.insert(path, word);
            }
        }
    };
    if let Some(word) = ended.remove(&path) {
        return Ok(word);
    }
    loop {
        let (other, word) = next(&mut ends).await?;
        if other == path {
            return Ok(word);
        }
    }
}

async fn next(ends: &mut JobRemovedStream) -> zbus::Result<(OwnedObjectPath, String)> {
    let end = ends
        .next()
        .await
        .ok_or_else(|| zbus::Error::Failure("the connection ended while the job ran".to_owned()))?;
    let end = end.args()?;
    Ok((end.job().clone(), end.result().clone()))
}

/// systemd counts a start that a condition forbids as done.
async fn started(manager: &ManagerProxy<'static>, unit: &str) -> Result<(), UnitsError> {
    let state = read_state(manager, unit).await?;
    match state.failed_condition {
        Some(condition) if state.main_pid == 0 => Err(UnitsError::ConditionFailed {
            unit: unit.to_owned(),
            condition,
        }),
        _ => Ok(()),
    }
}

async fn failure(
    manager: &ManagerProxy<'static>,
    unit: &str,
    job: Job,
    outcome: JobOutcome,
) -> UnitsError {
    // The job has failed whether or not its reason can be read.
    let (result, status) = match read_state(manager, unit).await {
        Ok(state) => (state.result, state.exec_main_status),
        Err(_) => ("unknown".to_owned(), 0),
    };
    UnitsError::JobFailed {
        unit: unit.to_owned(),
        job,
        outcome,
        result,
        status,
    }
}
