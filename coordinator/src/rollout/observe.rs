//! Asking the agents what a plan is made from. Read-only; needs no lease.

use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use omni_scale_proto::id::HostName;
use omni_scale_proto::operation::Target;
use omni_scale_proto::role::HostRole;
use omni_scale_proto::{API_VERSION_MAXIMUM, API_VERSION_MINIMUM};
use tokio::time::{Instant, sleep, timeout};

use super::clock::WallClock;
use super::event::{Happening, RolloutEvents, chain};
use crate::agents::{AgentError, Agents};
use crate::plan::{HostFacts, HostObservation, HostScope, Observed, Scope};

/// The longest that one question may take. Resolving a tag may ask a registry far away.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How often a running operation is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Every host of `scope`, side by side. A host that does not answer is an observation.
pub async fn observe(agents: &dyn Agents, clock: &dyn WallClock, scope: &Scope) -> Observed {
    let hosts = scope.hosts.iter().map(|(host, asked)| async move {
        let observation = match host_facts(agents, clock, host, asked).await {
            Ok(facts) => HostObservation::Reached(Box::new(facts)),
            Err(AgentError::NotEnrolled { .. }) => HostObservation::NotEnrolled,
            Err(
                error @ (AgentError::Unreachable { .. }
                | AgentError::Unknown { .. }
                | AgentError::Unavailable { .. }),
            ) => HostObservation::Unreachable {
                reason: chain(&error),
            },
            Err(
                error @ (AgentError::Refused { .. }
                | AgentError::Faulty { .. }
                | AgentError::LeaseLost { .. }
                | AgentError::Held { .. }),
            ) => HostObservation::Silent {
                reason: chain(&error),
            },
        };
        (host.clone(), observation)
    });
    Observed {
        hosts: join_all(hosts).await.into_iter().collect(),
    }
}

/// As [`observe`], once no operation runs any more on what `scope` asks for. When `at_most` is
/// over, what is found then is returned, and the planner refuses it.
///
/// So a coordinator that takes over from a lost one plans from what the lost one's last operation
/// has left, not from the middle of it. While somebody holds the lease of the host, they are not
/// lost: that is an error, and says who it is. `is_ours` knows the rollouts that the caller may
/// go on with itself.
pub async fn observe_settled(
    agents: &dyn Agents,
    clock: &dyn WallClock,
    scope: &Scope,
    is_ours: &(dyn Fn(&str) -> bool + Sync),
    at_most: Duration,
    events: &dyn RolloutEvents,
) -> Result<Observed, AgentError> {
    let end = Instant::now() + at_most;
    let mut told = false;
    loop {
        let observed = observe(agents, clock, scope).await;
        let Some((host, target)) = running(&observed, scope) else {
            return Ok(observed);
        };
        let lease = observed
            .facts(host)
            .and_then(|facts| facts.describe.lease.clone());
        if let Some(lease) = lease.filter(|lease| !is_ours(&lease.rollout_id)) {
            return Err(AgentError::Held {
                host: host.clone(),
                tried: "plan".to_owned(),
                holder: lease.into(),
            });
        }
        if Instant::now() >= end {
            return Ok(observed);
        }
        if !told {
            events.tell(Happening::Waiting {
                what: format!("the operation that runs on {target} of host `{host}`"),
                at_most_seconds: at_most.as_secs(),
            });
            told = true;
        }
        sleep(LOOK_EVERY).await;
    }
}

fn running<'a>(observed: &'a Observed, scope: &Scope) -> Option<(&'a HostName, String)> {
    observed.hosts.keys().find_map(|host| {
        let facts = observed.facts(host)?;
        let asked = scope.hosts.get(host)?;
        let unit = asked.unit.then_some(Target::Unit);
        let stack = asked
            .stack
            .as_ref()
            .map(|stack| Target::Stack(stack.name.clone()));
        let machines = asked.machines.iter().flat_map(|asked| &asked.names);
        let machines = machines.cloned().map(Target::Machine);
        let client = asked.client.is_some().then_some(Target::Client);
        let targets = unit.into_iter().chain(stack).chain(client).chain(machines);
        targets.into_iter().find_map(|target| {
            let status = facts.target(&target)?;
            let runs = !status.running_operation_id.is_empty();
            runs.then(|| (host, target.to_string()))
        })
    })
}

async fn host_facts(
    agents: &dyn Agents,
    clock: &dyn WallClock,
    host: &HostName,
    asked: &HostScope,
) -> Result<HostFacts, AgentError> {
    let describe = bounded(host, "describe", agents.describe(host)).await?;
    let clock_skew_milliseconds = describe
        .clock_milliseconds
        .saturating_sub(clock.now_milliseconds());
    let mut facts = HostFacts {
        describe,
        clock_skew_milliseconds,
        unit: None,
        stack: None,
        client: None,
        machines: None,
        secrets: Vec::new(),
    };
    // What an agent of another version means by its other answers is not known.
    if facts.describe.api_version_minimum > API_VERSION_MAXIMUM
        || facts.describe.api_version_maximum < API_VERSION_MINIMUM
    {
        return Ok(facts);
    }
    facts.secrets = bounded(host, "list the secrets", agents.list_secrets(host)).await?;
    if asked.unit && facts.has_role(HostRole::Tsidp) {
        let unit = bounded(host, "observe the unit", agents.observe_unit(host)).await?;
        facts.unit = Some(unit);
    }
    if let Some(stack) = &asked.stack
        && facts.has_role(HostRole::Omni)
    {
        let images: Vec<String> = stack.images.iter().cloned().collect();
        let question = agents.observe_stack(host, &stack.name, &images);
        facts.stack = Some(bounded(host, "observe the stack", question).await?);
    }
    if let Some(client) = &asked.client
        && facts.has_role(HostRole::Omni)
    {
        let question = agents.observe_client(host, client);
        facts.client = Some(bounded(host, "observe Omni's client", question).await?);
    }
    if let Some(machines) = &asked.machines
        && facts.has_role(HostRole::Proxmox)
    {
        let question = agents.observe_machines(host, machines);
        facts.machines = Some(bounded(host, "observe the machines", question).await?);
    }
    Ok(facts)
}

/// A question that is given up when no answer comes.
pub(super) async fn bounded<Answer>(
    host: &HostName,
    tried: &str,
    question: impl Future<Output = Result<Answer, AgentError>>,
) -> Result<Answer, AgentError> {
    match timeout(ANSWER_WITHIN, question).await {
        Ok(answer) => answer,
        Err(_) => Err(no_answer(host, tried, ANSWER_WITHIN)),
    }
}

/// No answer came in time: whether the request had an effect is not known.
pub(super) fn no_answer(host: &HostName, tried: &str, within: Duration) -> AgentError {
    AgentError::Unknown {
        host: host.clone(),
        tried: tried.to_owned(),
        source: format!("no answer within {} s", within.as_secs()).into(),
    }
}
