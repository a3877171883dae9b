//! Containers that the Engine left behind when it came back.
//!
//! An Engine that starts, after a reboot or its own death, starts all containers at once. One that
//! shares another's network namespace may come before its owner: the Engine says that it cannot join
//! the network of a container that does not run, and never tries again, whatever the restart policy
//! says. Seen with Docker 26.1. For a while after the Engine is there, those are started here.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};
use omni_scale_proto::id::StackName;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use super::Stacks;
use super::engine::ContainerDetails;
use super::feed::{self, Feed};
use super::labels::{self, Standby};
use crate::error::chain;

/// What the Engine gives as the exit code of a container that it could not start.
const COULD_NOT_START: i32 = 128;
/// So long after the Engine is there, what does not run was left behind, and not stopped by somebody.
const WHILE: Duration = Duration::from_secs(120);
/// Between two looks whether stacks were applied for the first time.
const NEW_STACKS: Duration = Duration::from_secs(30);

/// Starts what the Engine leaves behind, for ever.
pub async fn start_left_behind(stacks: Stacks) {
    let mut followed: Vec<StackName> = Vec::new();
    let mut feeds: SelectAll<BoxStream<'static, (StackName, Feed)>> = SelectAll::new();
    let mut until = Instant::now();
    loop {
        for name in stacks.names() {
            if !followed.contains(&name) {
                followed.push(name.clone());
                let feed = feed::follow(stacks.engine.clone(), &name);
                feeds.push(feed.map(move |feed| (name.clone(), feed)).boxed());
            }
        }
        if feeds.is_empty() {
            sleep(NEW_STACKS).await;
            continue;
        }
        let Ok(Some((name, heard))) = timeout_at(Instant::now() + NEW_STACKS, feeds.next()).await
        else {
            continue;
        };
        match heard {
            Feed::Connected => until = Instant::now() + WHILE,
            Feed::Event(_) if Instant::now() < until => {}
            Feed::Event(_) | Feed::Lost { .. } => continue,
        }
        stacks.start_those_of(&name).await;
    }
}

impl Stacks {
    async fn start_those_of(&self, name: &StackName) {
        // An operation starts what it wants to run, and may be about to replace what does not.
        let Ok(_turn) = self.turn(name).try_lock_owned() else {
            return;
        };
        let containers = match self.engine.project_containers(name.as_str()).await {
            Ok(containers) => containers,
            Err(error) => {
                warn!(stack = %name, error = %chain(&error), "cannot see whether containers were left behind");
                return;
            }
        };
        for container in left_behind(&containers) {
            let place = &container.name;
            match self.engine.start(&container.id).await {
                Ok(()) => info!(container = %place, "started what the Engine had left behind"),
                Err(error) => warn!(
                    container = %place,
                    error = %chain(&error),
                    "cannot start what the Engine has left behind"
                ),
            }
        }
    }
}

/// Ours, whose start failed, and whose namespace's owner runs.
fn left_behind(containers: &[ContainerDetails]) -> Vec<&ContainerDetails> {
    let owner_runs = |container: &ContainerDetails| {
        let owner = container.namespace_container();
        owner.is_some_and(|owner| {
            let mut others = containers.iter();
            others.any(|other| other.id == owner && other.is_running())
        })
    };
    containers
        .iter()
        .filter(|container| {
            container.labels.contains_key(labels::DIGEST)
                && Standby::of(&container.name).is_none()
                && !container.is_running()
                && container.exit_code == COULD_NOT_START
                && !container.error.is_empty()
                && owner_runs(container)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_proto::v1::ContainerState;

    use crate::stack::testing::running_stack;

    #[tokio::test(start_paused = true)]
    async fn only_what_the_engine_could_not_start_beside_a_running_owner_is_left_behind() {
        let host = running_stack().await;
        let all = host.stacks.engine.project_containers("omni").await.unwrap();
        assert!(left_behind(&all).is_empty());
        let sharer = all
            .iter()
            .position(|container| container.namespace_container().is_some())
            .unwrap();
        let with = |change: &dyn Fn(&mut ContainerDetails)| {
            let mut all = all.clone();
            let container = &mut all[sharer];
            container.state = ContainerState::Exited;
            container.exit_code = COULD_NOT_START;
            container.error = "cannot join network of a non running container".to_owned();
            change(container);
            left_behind(&all).len()
        };
        assert_eq!(with(&|_| {}), 1);
        assert_eq!(with(&|container| container.exit_code = 1), 0);
        assert_eq!(with(&|container| container.error.clear()), 0);
        assert_eq!(with(&|container| container.labels.clear()), 0);
        let aside = |container: &mut ContainerDetails| {
            container.name = Standby::Previous.name(&container.name, &"ab".repeat(6));
        };
        assert_eq!(with(&aside), 0);
        let gone = |container: &mut ContainerDetails| {
            "container:gone".clone_into(&mut container.network_mode);
        };
        assert_eq!(with(&gone), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_operation_is_at_is_left_to_it() {
        let host = running_stack().await;
        host.engine.tamper("omni-omni-1", |container| {
            container.state = ContainerState::Exited;
            container.exit_code = COULD_NOT_START;
            "cannot join network".clone_into(&mut container.error);
        });
        let name = "omni".parse().unwrap();
        let runs = || host.engine.named("omni-omni-1").unwrap().is_running();
        let turn = host.stacks.turn(&name).lock_owned().await;
        host.stacks.start_those_of(&name).await;
        assert!(!runs());
        drop(turn);
        host.stacks.start_those_of(&name).await;
        assert!(runs());
    }
}
