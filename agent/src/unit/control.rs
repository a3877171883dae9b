//! Start, stop and restart on request, each at most once for one operation.

use std::sync::Arc;

use omni_scale_proto::id::OperationId;
use tokio::time::Instant;

use super::apply::{Goal, check_installed, disk};
use super::job::Job;
use super::record::Control;
use super::state::UnitState;
use super::tsidp::TsidpUnit;
use super::units::TSIDP_UNIT;
use crate::operation::{Done, Failure, Reporter};
use omni_scale_proto::unit::CheckedUnit;

impl TsidpUnit {
    /// Does `job`, and waits for the product's answer when it shall run and its issuer is known.
    ///
    /// After a lost reply or a crash, the same operation looks at what has become of it first.
    pub async fn control(
        self: &Arc<Self>,
        operation: &OperationId,
        job: Job,
        deadline: Instant,
        reporter: &Reporter,
    ) -> Result<Done, Failure> {
        let state = self.units.observe(TSIDP_UNIT).await?;
        check_installed(&state)?;
        let goal = self.goal();
        if job.starts() {
            let auth_key = goal.as_ref().and_then(|goal| goal.auth_key.as_ref());
            self.guard_identity(&state, auth_key)?;
        }
        let did = if self.is_done(operation, job, &state) {
            match job {
                Job::Start => format!("`{TSIDP_UNIT}` runs"),
                Job::Stop => format!("`{TSIDP_UNIT}` is stopped"),
                Job::Restart => format!("`{TSIDP_UNIT}` was restarted before"),
            }
        } else {
            self.intend(operation, job, &state).await?;
            self.run(job, &state, deadline, reporter).await?
        };
        match goal {
            Some(goal) if job.starts() => {
                self.bring_up(&goal, false, deadline, reporter).await?;
                Ok(Done::new(format!("{did}; {} answers", goal.issuer)))
            }
            _ => Ok(Done::new(did)),
        }
    }

    /// Whether there is nothing left to do.
    fn is_done(&self, operation: &OperationId, job: Job, state: &UnitState) -> bool {
        match job {
            Job::Start => state.is_running(),
            Job::Stop => state.main_pid == 0 && !state.is_restarting_by_itself(),
            Job::Restart => {
                let intended = self.records.get().control;
                state.is_running()
                    && intended.is_some_and(|control| {
                        control.operation == *operation
                            && control.job == job
                            && control.invocation != invocation(state)
                    })
            }
        }
    }

    async fn intend(
        self: &Arc<Self>,
        operation: &OperationId,
        job: Job,
        state: &UnitState,
    ) -> Result<(), Failure> {
        let control = Control {
            operation: operation.clone(),
            job,
            invocation: invocation(state),
        };
        self.blocking(move |this| {
            let mark = this.records.update(|record| record.control = Some(control));
            mark.map_err(disk)
        })
        .await
    }

    fn goal(&self) -> Option<Goal> {
        let applied = self.records.get().applied?;
        let unit = CheckedUnit::try_from(applied).ok()?;
        Some(Goal::of(&unit))
    }
}

fn invocation(state: &UnitState) -> Option<String> {
    state.invocation.map(|id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::apply::tests::Rig;
    use omni_scale_proto::v1::FailureClass;
    use std::time::Duration;

    fn operation(digit: &str) -> OperationId {
        digit.repeat(64).parse().unwrap()
    }

    async fn control(rig: &Rig, operation: &OperationId, job: Job) -> Result<String, Failure> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let reporter = Reporter::default();
        let done = rig.tsidp.control(operation, job, deadline, &reporter).await;
        done.map(|done| done.summary)
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_is_done_once_for_one_operation() {
        let (mut rig, _) = Rig::applied().await;
        let once = operation("a");
        let first = control(&rig, &once, Job::Restart).await.unwrap();
        assert!(first.contains("restarted `tsidp.service`"), "{first}");
        // The reply was lost, and the agent too.
        rig.restart_agent();
        let again = control(&rig, &once, Job::Restart).await.unwrap();
        assert!(again.contains("was restarted before"), "{again}");
        assert_eq!(rig.units.jobs(), [Job::Start, Job::Restart]);
        control(&rig, &operation("b"), Job::Restart).await.unwrap();
        assert_eq!(rig.units.jobs().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_that_was_only_intended_is_done() {
        let (mut rig, _) = Rig::applied().await;
        let once = operation("a");
        let state = rig.units.state();
        rig.tsidp.intend(&once, Job::Restart, &state).await.unwrap();
        rig.restart_agent();
        control(&rig, &once, Job::Restart).await.unwrap();
        assert_eq!(rig.units.jobs(), [Job::Start, Job::Restart]);
    }

    #[tokio::test(start_paused = true)]
    async fn stop_and_start_do_nothing_twice() {
        let (rig, _) = Rig::applied().await;
        for id in ["a", "b"] {
            control(&rig, &operation(id), Job::Stop).await.unwrap();
        }
        for id in ["c", "d"] {
            control(&rig, &operation(id), Job::Start).await.unwrap();
        }
        assert_eq!(rig.units.jobs(), [Job::Start, Job::Stop, Job::Start]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_is_done_when_the_product_answers() {
        let (rig, _) = Rig::applied().await;
        control(&rig, &operation("a"), Job::Stop).await.unwrap();
        rig.issuer.answer_as(None);
        let failure = control(&rig, &operation("b"), Job::Start).await;
        assert_eq!(failure.unwrap_err().class, FailureClass::Transient);
    }

    #[tokio::test(start_paused = true)]
    async fn a_unit_that_was_never_set_up_is_not_started() {
        let rig = Rig::new();
        let condition = "ConditionPathExists=/programs/current/tsidp".to_owned();
        rig.units
            .change(|model| model.unmet_condition = Some(condition.clone()));
        let failure = control(&rig, &operation("a"), Job::Start)
            .await
            .unwrap_err();
        assert!(failure.message.contains(&condition), "{failure}");
    }
}
