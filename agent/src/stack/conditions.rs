//! Waiting until a container is as another one needs it.
//!
//! Driven by the Engine's events: each one makes us look, nothing is asked on a clock. A wait
//! ends early when it cannot end well any more. A container that has ended may be started again:
//! by an Engine that was restarted itself, which takes some seconds for it.

use std::sync::Arc;

use futures_util::StreamExt as _;
use omni_scale_proto::id::StackName;
use omni_scale_proto::v1::{ContainerHealth, ContainerState, DependencyCondition, FailureClass};
use tokio::time::{Duration, Instant, sleep, timeout_at};

use super::engine::{ContainerDetails, Engine};
use super::feed::{self, Feed};
use super::observe::{health_word, state_word};
use super::{Stacks, logs};
use crate::operation::{Failure, Reporter};

/// Lines of a container's log that stand with a failure.
const EVIDENCE_LINES: u32 = 20;

/// Restarts during one wait after which a container is in a loop.
const RESTART_LOOP: u32 = 3;

/// How long a container that has ended is waited for. An Engine that was killed first ends what
/// survived it, one container after the other, and then starts all of them.
const STARTED_AGAIN_WITHIN: Duration = Duration::from_secs(20);
/// After a look that failed while the Engine's events still come: none may come for long.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Why a wait did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WaitError {
    /// It cannot become so any more.
    #[error("service `{service}` {reason}")]
    Never {
        /// The service waited for.
        service: String,
        /// What happened to it.
        reason: String,
    },
    /// It may still become so.
    #[error("service `{service}` is not {wanted} in time: it is {state}")]
    Bound {
        /// The service waited for.
        service: String,
        /// What it should have become.
        wanted: &'static str,
        /// What it is.
        state: String,
    },
}

/// What is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need<'a> {
    /// The stack.
    pub(super) stack: &'a StackName,
    /// The service that must become so.
    pub(super) service: &'a str,
    /// Its container.
    pub(super) container: &'a str,
    /// What it must become.
    pub(super) condition: DependencyCondition,
    /// The wait ends then at the latest.
    pub(super) deadline: Instant,
}

/// Waits until the need is met; tells `reporter` of each change on the way.
pub(super) async fn wait_for(
    engine: &Arc<dyn Engine>,
    need: &Need<'_>,
    reporter: &Reporter,
) -> Result<(), WaitError> {
    let service = need.service;
    let mut state = String::from("unknown");
    let mut restarts_before = None;
    let mut ended: Option<(Instant, String)> = None;
    let mut owes_a_look = false;
    let waiting = async {
        let mut feed = feed::follow(engine.clone(), need.stack);
        loop {
            let until = ended.as_ref().map_or(need.deadline, |(until, _)| *until);
            let heard = tokio::select! {
                heard = timeout_at(until, feed.next()) => heard,
                () = sleep(LOOK_AGAIN), if owes_a_look => Ok(Some(Feed::Connected)),
            };
            let Ok(heard) = heard else {
                match ended {
                    Some((_, reason)) => return Err(never(service, reason)),
                    None => std::future::pending().await,
                }
            };
            match heard {
                None => std::future::pending().await,
                Some(Feed::Event(event)) if event.container != need.container => {}
                Some(Feed::Lost { reason }) => {
                    owes_a_look = false;
                    state = format!("unknown: {reason}");
                }
                Some(Feed::Connected | Feed::Event(_)) => {
                    let details = engine.container(need.container).await;
                    owes_a_look = details.is_err();
                    let Ok(details) = details else {
                        // The feed says so too when the Engine is away, and comes back with it.
                        continue;
                    };
                    let Some(details) = details else {
                        return Err(never(service, "has no container any more".to_owned()));
                    };
                    let word = word(&details);
                    if word != state {
                        reporter.transition(service, &state, &word);
                        state = word;
                    }
                    let before = *restarts_before.get_or_insert(details.restarts);
                    match judge(need.condition, &details, before) {
                        Verdict::Met => return Ok(()),
                        Verdict::NotYet => ended = None,
                        Verdict::Ended(reason) => {
                            ended.get_or_insert((Instant::now() + STARTED_AGAIN_WITHIN, reason));
                        }
                        Verdict::Never(reason) => return Err(never(service, reason)),
                    }
                }
            }
        }
    };
    match timeout_at(need.deadline, waiting).await {
        Ok(ended) => ended,
        Err(_) => Err(WaitError::Bound {
            service: service.to_owned(),
            wanted: wanted(need.condition),
            state,
        }),
    }
}

impl Stacks {
    /// Waits for what the service `whom` needs of another one.
    pub(super) async fn wait_for(
        &self,
        whom: &str,
        need: &Need<'_>,
        reporter: &Reporter,
    ) -> Result<(), Failure> {
        reporter.stage(whom, format!("waiting for `{}`", need.service));
        let Err(error) = wait_for(&self.engine, need, reporter).await else {
            return Ok(());
        };
        let class = match &error {
            WaitError::Never { .. } => FailureClass::Permanent,
            WaitError::Bound { .. } => FailureClass::Transient,
        };
        let message = format!("service `{whom}` waits in vain: {error}");
        Err(Failure::new(class, message).with_evidence(self.evidence(need.container).await))
    }

    /// The last log lines of a container, masked.
    pub(super) async fn evidence(&self, container: &str) -> Vec<String> {
        logs::tail(&*self.engine, &self.secrets, container, EVIDENCE_LINES).await
    }
}

fn never(service: &str, reason: String) -> WaitError {
    WaitError::Never {
        service: service.to_owned(),
        reason,
    }
}

const fn wanted(condition: DependencyCondition) -> &'static str {
    match condition {
        DependencyCondition::Healthy => "healthy",
        DependencyCondition::CompletedSuccessfully => "completed",
        DependencyCondition::Started | DependencyCondition::Unspecified => "running",
    }
}

/// Health says more than "running", where there is a health check.
fn word(details: &ContainerDetails) -> String {
    if details.is_running() {
        health_word(details.health).to_owned()
    } else {
        state_word(details.state).to_owned()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Met,
    NotYet,
    /// Not unless somebody starts it again.
    Ended(String),
    Never(String),
}

/// Whether the condition is met, may be, or cannot be any more.
fn judge(
    condition: DependencyCondition,
    details: &ContainerDetails,
    restarts_before: u32,
) -> Verdict {
    let wants_end = condition == DependencyCondition::CompletedSuccessfully;
    if details.restarts.saturating_sub(restarts_before) >= RESTART_LOOP {
        return Verdict::Never(format!(
            "keeps ending and being restarted: {} times since the wait began",
            details.restarts - restarts_before
        ));
    }
    match details.state {
        ContainerState::Running => match (condition, details.health) {
            (DependencyCondition::CompletedSuccessfully, _)
            | (DependencyCondition::Healthy, ContainerHealth::Starting) => Verdict::NotYet,
            (DependencyCondition::Healthy, ContainerHealth::Healthy)
            | (DependencyCondition::Started | DependencyCondition::Unspecified, _) => Verdict::Met,
            (DependencyCondition::Healthy, ContainerHealth::Unhealthy) => {
                Verdict::Never("is unhealthy".to_owned())
            }
            (
                DependencyCondition::Healthy,
                ContainerHealth::None | ContainerHealth::Unspecified,
            ) => Verdict::Never("has no health check, so it never becomes healthy".to_owned()),
        },
        ContainerState::Exited => {
            let started = condition == DependencyCondition::Started;
            if details.exit_code == 0 && (wants_end || started) {
                Verdict::Met
            } else if wants_end {
                Verdict::Never(ended(details))
            } else {
                Verdict::Ended(ended(details))
            }
        }
        ContainerState::Dead | ContainerState::Removing => Verdict::Never("is dead".to_owned()),
        ContainerState::Created
        | ContainerState::Restarting
        | ContainerState::Paused
        | ContainerState::Unspecified => Verdict::NotYet,
    }
}

/// How a container that does not run came to its end.
pub fn ended(details: &ContainerDetails) -> String {
    let mut text = format!("ended with exit code {}", details.exit_code);
    if details.out_of_memory {
        text.push_str(", out of memory");
    }
    if !details.error.is_empty() {
        text.push_str(": ");
        text.push_str(&details.error);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use omni_scale_proto::v1::RestartPolicy;

    use super::*;

    fn details(state: ContainerState, health: ContainerHealth, exit_code: i32) -> ContainerDetails {
        ContainerDetails {
            id: "c".to_owned(),
            name: "c".to_owned(),
            labels: BTreeMap::new(),
            image: String::new(),
            image_id: String::new(),
            state,
            exit_code,
            out_of_memory: false,
            error: String::new(),
            health,
            started_at_milliseconds: 1,
            restarts: 0,
            restart: RestartPolicy::Always,
            network_mode: String::new(),
            volumes: Vec::new(),
            networks: Vec::new(),
            held_ports: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_failed_is_made_again_without_an_event() {
        let host = crate::stack::testing::running_stack().await;
        let container = host.engine.named("omni-omni-1").unwrap().id;
        let error = crate::stack::engine::EngineError::TimedOut {
            attempt: "cannot inspect it".to_owned(),
            seconds: 60,
        };
        host.engine.fail("inspect", error);
        let engine: Arc<dyn Engine> = Arc::new(host.engine.clone());
        let need = Need {
            stack: &"omni".parse().unwrap(),
            service: "omni",
            container: &container,
            condition: DependencyCondition::Started,
            deadline: Instant::now() + Duration::from_secs(60),
        };
        let begun = Instant::now();
        wait_for(&engine, &need, &Reporter::default())
            .await
            .unwrap();
        assert_eq!(begun.elapsed(), LOOK_AGAIN);
    }

    #[test]
    fn every_state_is_judged_for_every_condition() {
        use ContainerHealth as Health;
        use ContainerState as State;
        use DependencyCondition::{CompletedSuccessfully as Completed, Healthy, Started};
        let met = |condition, state, health, exit_code| match judge(
            condition,
            &details(state, health, exit_code),
            0,
        ) {
            Verdict::Met => "met",
            Verdict::NotYet => "not yet",
            Verdict::Ended(_) => "ended",
            Verdict::Never(_) => "never",
        };
        for (condition, state, health, exit_code, expected) in [
            (Started, State::Running, Health::None, 0, "met"),
            (Started, State::Running, Health::Unhealthy, 0, "met"),
            (Started, State::Created, Health::None, 0, "not yet"),
            (Started, State::Exited, Health::None, 0, "met"),
            (Started, State::Exited, Health::None, 1, "ended"),
            (Healthy, State::Running, Health::Starting, 0, "not yet"),
            (Healthy, State::Running, Health::Healthy, 0, "met"),
            (Healthy, State::Running, Health::Unhealthy, 0, "never"),
            (Healthy, State::Running, Health::None, 0, "never"),
            (Healthy, State::Exited, Health::Healthy, 0, "ended"),
            (Healthy, State::Restarting, Health::Starting, 1, "not yet"),
            (Completed, State::Running, Health::None, 0, "not yet"),
            (Completed, State::Exited, Health::None, 0, "met"),
            (Completed, State::Exited, Health::None, 2, "never"),
            (Completed, State::Dead, Health::None, 0, "never"),
        ] {
            assert_eq!(
                met(condition, state, health, exit_code),
                expected,
                "{condition:?} {state:?} {health:?} {exit_code}"
            );
        }
    }

    #[test]
    fn a_restart_loop_ends_a_wait() {
        let mut looping = details(ContainerState::Running, ContainerHealth::Starting, 0);
        looping.restarts = 7;
        assert_eq!(
            judge(DependencyCondition::Healthy, &looping, 5),
            Verdict::NotYet
        );
        assert!(matches!(
            judge(DependencyCondition::Healthy, &looping, 4),
            Verdict::Never(_)
        ));
    }

    #[test]
    fn an_end_tells_all_that_is_known_of_it() {
        let mut details = details(ContainerState::Exited, ContainerHealth::None, 137);
        details.out_of_memory = true;
        details.error = "killed".to_owned();
        assert_eq!(
            ended(&details),
            "ended with exit code 137, out of memory: killed"
        );
    }
}
