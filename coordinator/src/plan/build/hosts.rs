//! What about the hosts themselves stands in the way.

use std::collections::BTreeSet;

use omni_scale_proto::id::HostName;
use omni_scale_proto::operation::Target;
use omni_scale_proto::role::HostRole;
use omni_scale_proto::{API_VERSION_MAXIMUM, API_VERSION_MINIMUM};

use crate::plan::desired::{Desired, DesiredHost, DesiredIdentity};
use crate::plan::observed::{HostFacts, HostObservation, Observed};
use crate::plan::refusal::PlanRefusal;

/// The most that a host's clock may differ from ours: certificates and tokens allow no more.
const CLOCK_SKEW_MAXIMUM_SECONDS: i64 = 60;

/// What is in the way, but for hosts that are yet to be made.
pub(super) fn refusals(
    desired: &Desired,
    observed: &Observed,
    to_be_made: &BTreeSet<HostName>,
) -> Vec<PlanRefusal> {
    let mut refusals = Vec::new();
    for (host, wanted) in &desired.hosts {
        if to_be_made.contains(host) {
            continue;
        }
        match observed.hosts.get(host) {
            None => refusals.push(PlanRefusal::Unreachable {
                host: host.clone(),
                reason: "it was not asked".to_owned(),
            }),
            Some(HostObservation::Unreachable { reason }) => {
                refusals.push(PlanRefusal::Unreachable {
                    host: host.clone(),
                    reason: reason.clone(),
                });
            }
            Some(HostObservation::Silent { reason }) => {
                refusals.push(PlanRefusal::StateUnknown {
                    host: host.clone(),
                    what: "the agent does not tell its state".to_owned(),
                    reason: reason.clone(),
                });
            }
            Some(HostObservation::NotEnrolled) => {
                refusals.push(PlanRefusal::NotEnrolled { host: host.clone() });
            }
            Some(HostObservation::Reached(facts)) => {
                refusals.extend(about_agent(desired, host, wanted, facts));
            }
        }
    }
    refusals.extend(same_machine(desired, observed));
    refusals
}

fn about_agent(
    desired: &Desired,
    host: &HostName,
    wanted: &DesiredHost,
    facts: &HostFacts,
) -> Vec<PlanRefusal> {
    let host = || host.clone();
    let describe = &facts.describe;
    // An agent that speaks another language says nothing that can be relied on.
    if describe.api_version_minimum > API_VERSION_MAXIMUM
        || describe.api_version_maximum < API_VERSION_MINIMUM
    {
        return vec![PlanRefusal::ApiVersion {
            host: host(),
            version: describe.agent_version.clone(),
            minimum: describe.api_version_minimum,
            maximum: describe.api_version_maximum,
            ours_minimum: API_VERSION_MINIMUM,
            ours_maximum: API_VERSION_MAXIMUM,
        }];
    }
    match &describe.deployment_id {
        None => return vec![PlanRefusal::NotEnrolled { host: host() }],
        Some(found) if *found != desired.deployment.to_string() => {
            return vec![PlanRefusal::OtherDeployment {
                host: host(),
                found: found.clone(),
            }];
        }
        Some(_) => {}
    }
    let mut refusals = Vec::new();
    if !describe.damage.is_empty() {
        refusals.push(PlanRefusal::Damaged {
            host: host(),
            reason: describe.damage.clone(),
        });
    }
    if describe.host_name != host().as_str() {
        refusals.push(PlanRefusal::OtherHost {
            host: host(),
            found: describe.host_name.clone(),
        });
    }
    for role in &wanted.roles {
        if !facts.has_role(*role) {
            refusals.push(PlanRefusal::RoleMissing {
                host: host(),
                role: *role,
            });
        }
    }
    let seconds = facts.clock_skew_milliseconds / 1000;
    if seconds.abs() > CLOCK_SKEW_MAXIMUM_SECONDS {
        refusals.push(PlanRefusal::ClockSkew {
            host: host(),
            seconds,
        });
    }
    refusals.extend(running(desired, &host(), facts));
    refusals
}

/// Operations of others on what this plan would change. Ours are gone on with by `resume`.
fn running(desired: &Desired, host: &HostName, facts: &HostFacts) -> Vec<PlanRefusal> {
    facts
        .describe
        .targets
        .iter()
        .filter(|status| !status.running_operation_id.is_empty())
        .filter_map(|status| {
            let target: Target = status.target.parse().ok()?;
            let ours = match &target {
                Target::Unit => {
                    matches!(&desired.identity, DesiredIdentity::Tsidp { host: of, .. } if of == host)
                }
                Target::Stack(name) => name.as_str() == desired.stack.stack.name,
                Target::Secret(name) => desired
                    .secrets
                    .iter()
                    .any(|secret| secret.host == *host && secret.name == *name),
                Target::Machine(name) => desired.machines.as_ref().is_some_and(|machines| {
                    machines.host == *host && machines.scope().names.contains(name)
                }),
                Target::Client => desired.stack.host == *host,
            };
            ours.then(|| PlanRefusal::Running {
                host: host.clone(),
                target,
                operation: status.running_operation_id.clone(),
            })
        })
        .collect()
}

/// Omni's login must not depend on Omni's own machine.
fn same_machine(desired: &Desired, observed: &Observed) -> Option<PlanRefusal> {
    let omni = &desired.stack.host;
    let both =
        |facts: &HostFacts| facts.has_role(HostRole::Tsidp) && facts.has_role(HostRole::Omni);
    let refusal = |tsidp: &HostName, evidence: String| PlanRefusal::SameMachine {
        tsidp: tsidp.clone(),
        omni: omni.clone(),
        evidence,
    };
    if observed.facts(omni).is_some_and(both) {
        return Some(refusal(omni, "its agent has both roles".to_owned()));
    }
    let DesiredIdentity::Tsidp { host: tsidp, .. } = &desired.identity else {
        return None;
    };
    if tsidp == omni {
        return Some(refusal(
            tsidp,
            "the deployment names one host for both".to_owned(),
        ));
    }
    let (left, right) = (observed.facts(tsidp)?, observed.facts(omni)?);
    if both(left) {
        return Some(refusal(
            tsidp,
            format!("the agent of `{tsidp}` has both roles"),
        ));
    }
    let same = |one: &str, other: &str| !one.is_empty() && one == other;
    let machine = &left.describe.machine_id;
    if same(machine, &right.describe.machine_id) {
        return Some(refusal(
            tsidp,
            format!("both have the machine id {machine}"),
        ));
    }
    let node = |facts: &HostFacts| {
        let tailnet = facts.describe.tailnet.as_ref();
        tailnet
            .map(|status| status.node_id.clone())
            .unwrap_or_default()
    };
    same(&node(left), &node(right))
        .then(|| refusal(tsidp, format!("both are the tailnet node {}", node(left))))
}
