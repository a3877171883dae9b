//! From files in place to a product that answers: start or restart, wait for its answer, and give
//! it a one-time key when it asks for one.

use std::sync::Arc;

use omni_scale_proto::v1::FailureClass;
use tokio::time::Instant;

use super::goal::Goal;
use super::verify::Verdict;
use crate::clock;
use crate::journal::{JournalUnit, evidence};
use crate::operation::{Failure, Reporter};
use crate::unit::job::Job;
use crate::unit::state::{ActiveState, UnitState};
use crate::unit::tsidp::TsidpUnit;
use crate::unit::units::TSIDP_UNIT;

impl TsidpUnit {
    /// The answer says what was done: `restarted `tsidp.service``.
    pub(in crate::unit) async fn bring_up(
        self: &Arc<Self>,
        goal: &Goal,
        must_restart: bool,
        deadline: Instant,
        reporter: &Reporter,
    ) -> Result<String, Failure> {
        let state = self.units.observe(TSIDP_UNIT).await?;
        let mut did = match job_for(&state, must_restart) {
            Some(job) => self.run(job, &state, deadline, reporter).await?,
            None => format!("`{TSIDP_UNIT}` was left as it is"),
        };
        if let Verdict::WaitsForLogin { line } =
            self.wait_for_answer(goal, deadline, reporter).await?
        {
            if !self.lay_auth_key(goal.auth_key.as_ref()).await? {
                return Err(self.not_logged_in(&line));
            }
            reporter.warning("tsidp waits for a login: it is given the one-time key");
            let state = self.units.observe(TSIDP_UNIT).await?;
            did = self.run(Job::Restart, &state, deadline, reporter).await?;
            if let Verdict::WaitsForLogin { line } =
                self.wait_for_answer(goal, deadline, reporter).await?
            {
                return Err(self.not_logged_in(&line));
            }
        }
        Ok(did)
    }

    /// Runs one job to its end; a failure carries what the unit said meanwhile.
    pub(in crate::unit) async fn run(
        self: &Arc<Self>,
        job: Job,
        state: &UnitState,
        deadline: Instant,
        reporter: &Reporter,
    ) -> Result<String, Failure> {
        let (activity, did) = match job {
            Job::Start => ("starting", "started"),
            Job::Stop => ("stopping", "stopped"),
            Job::Restart => ("restarting", "restarted"),
        };
        reporter.stage(TSIDP_UNIT, activity);
        if job.starts() && state.active_state == ActiveState::Failed {
            // Otherwise the limit on starts would count the earlier ones too.
            self.units.reset_failed(TSIDP_UNIT).await?;
        }
        let since = clock::now_milliseconds();
        let bound = deadline.saturating_duration_since(Instant::now());
        if let Err(error) = self.units.run(TSIDP_UNIT, job, bound).await {
            let evidence = evidence(&*self.journal, JournalUnit::Tsidp, since).await;
            return Err(Failure::from(error).with_evidence(evidence));
        }
        if job.starts() {
            self.end_change().await?;
        }
        Ok(format!("{did} `{TSIDP_UNIT}`"))
    }

    fn not_logged_in(&self, line: &str) -> Failure {
        let text = if self.records.get().node.is_some() {
            format!(
                "tsidp waits for a login, although its node had logged in before: its key has expired, it was removed from the tailnet, or `{}` was lost",
                self.state_directory.display()
            )
        } else {
            "tsidp waits for a login, and there is no one-time key that it was not given yet"
                .to_owned()
        };
        Failure::new(FailureClass::Permanent, text)
            .with_hint("set a new one-time key with `omni-scale secret set`, or log in at the address below, then apply again; if the old device is still on the tailnet, remove it first when its state was lost")
            .with_evidence(vec![self.secrets.mask(line)])
    }
}

/// What has to be done so that the unit runs with the files that are there now.
fn job_for(state: &UnitState, must_restart: bool) -> Option<Job> {
    match state.active_state {
        ActiveState::Active if state.main_pid != 0 && !must_restart => None,
        ActiveState::Inactive | ActiveState::Failed => Some(Job::Start),
        ActiveState::Active
        | ActiveState::Reloading
        | ActiveState::Activating
        | ActiveState::Deactivating
        | ActiveState::Other(_) => Some(Job::Restart),
    }
}
