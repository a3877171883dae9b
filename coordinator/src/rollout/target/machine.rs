//! Looking at a machine, and at the host that it becomes.

use std::collections::BTreeSet;

use omni_scale_proto::id::{HostName, MachineName};
use omni_scale_proto::machine::{CheckedMachine, MachineAction, machine_difference};
use omni_scale_proto::v1::{self, MachinePresence};

use super::super::event::{StepFailure, chain};
use super::super::observe::bounded;
use super::{nonsense, unknown};
use crate::agents::{Action, AgentError, Agents, Class};
use crate::plan::MachinesScope;

/// What there is of the machine of an action. `None`: the answer does not tell of it.
pub(super) async fn see(
    agents: &dyn Agents,
    host: &HostName,
    action: &Action,
) -> Result<Option<v1::MachineObservation>, StepFailure> {
    let Some((name, hypervisor, vmids)) = asked(action) else {
        return Ok(None);
    };
    let asked = MachinesScope {
        hypervisor: hypervisor.clone(),
        vmids,
        names: BTreeSet::from([name.clone()]),
    };
    let question = agents.observe_machines(host, &asked);
    let observed = bounded(host, "observe the machine", question)
        .await
        .map_err(|error| StepFailure::of(&error))?;
    if !observed.known {
        return Err(StepFailure {
            class: Class::Transient,
            message: format!("Proxmox VE could not be asked: {}", observed.reason),
            hint: String::new(),
            evidence: Vec::new(),
            operation_spent: false,
        });
    }
    let mut machines = observed.machines.into_iter();
    Ok(machines.find(|machine| machine.name == name.as_str()))
}

fn asked(action: &Action) -> Option<(&MachineName, &v1::Hypervisor, v1::VmidRange)> {
    match action {
        Action::ApplyMachine {
            name,
            hypervisor,
            machine,
        } => Some((name, hypervisor, machine.vmid_range.unwrap_or_default())),
        // Which VMIDs are taken is of no interest here: any range will do.
        Action::EnrollHost {
            name, hypervisor, ..
        } => Some((name, hypervisor, ANY)),
        Action::ApplyUnit { .. } | Action::ApplyStack { .. } | Action::ApplyClient { .. } => None,
    }
}

const ANY: v1::VmidRange = v1::VmidRange {
    first: *omni_scale_proto::machine::VMIDS.start(),
    last: *omni_scale_proto::machine::VMIDS.start(),
};

/// Why the goal of an action does not hold. Empty: it holds.
pub(super) async fn missing(
    agents: &dyn Agents,
    action: &Action,
    seen: Option<&v1::MachineObservation>,
) -> Result<Vec<String>, StepFailure> {
    match action {
        Action::ApplyMachine { machine, .. } => not_made(machine, seen),
        Action::EnrollHost { uuid, host, .. } => {
            let mut missing = first_boot(uuid, seen)?;
            missing.extend(not_serving(agents, host).await?);
            Ok(missing)
        }
        Action::ApplyUnit { .. } | Action::ApplyStack { .. } | Action::ApplyClient { .. } => {
            Ok(Vec::new())
        }
    }
}

fn not_made(
    machine: &v1::Machine,
    seen: Option<&v1::MachineObservation>,
) -> Result<Vec<String>, StepFailure> {
    let machine = CheckedMachine::try_from(machine.clone()).map_err(|error| nonsense(&error))?;
    let change = machine_difference(&machine, seen).map_err(|error| unknown(&error))?;
    check_identity(&machine.as_wire().uuid, seen)?;
    Ok(match change.action {
        MachineAction::Keep => Vec::new(),
        MachineAction::Create | MachineAction::Finish | MachineAction::Start => {
            let name = machine.identity().name();
            let reasons = change.reasons.into_iter();
            reasons.map(|reason| format!("{name}: {reason}")).collect()
        }
    })
}

fn first_boot(
    uuid: &str,
    seen: Option<&v1::MachineObservation>,
) -> Result<Vec<String>, StepFailure> {
    check_identity(uuid, seen)?;
    Ok(match seen {
        Some(seen) if seen.presence() == MachinePresence::Present => seen
            .first_boot_attached
            .then(|| "what it was first booted with is still attached".to_owned())
            .into_iter()
            .collect(),
        _ => vec!["its machine is not there".to_owned()],
    })
}

/// A host that does not answer is what the step waits for, and no failure of looking.
async fn not_serving(agents: &dyn Agents, host: &HostName) -> Result<Vec<String>, StepFailure> {
    match bounded(host, "describe", agents.describe(host)).await {
        Ok(_) => Ok(Vec::new()),
        Err(AgentError::NotEnrolled { .. }) => {
            Ok(vec![format!("the agent of host `{host}` is not enrolled")])
        }
        Err(
            error @ (AgentError::Unreachable { .. }
            | AgentError::Unavailable { .. }
            | AgentError::Unknown { .. }),
        ) => Ok(vec![chain(&error)]),
        Err(error) => Err(StepFailure::of(&error)),
    }
}

/// A machine of the same name with another UUID is another machine.
fn check_identity(uuid: &str, seen: Option<&v1::MachineObservation>) -> Result<(), StepFailure> {
    match seen {
        Some(seen) if !seen.uuid.is_empty() && seen.uuid != uuid => Err(StepFailure {
            class: Class::Refused,
            message: format!(
                "machine `{}` has the UUID {} now; the plan was made for {uuid}",
                seen.name, seen.uuid
            ),
            hint: "`omni-scale abort` this rollout, then plan again".to_owned(),
            evidence: Vec::new(),
            operation_spent: false,
        }),
        Some(_) | None => Ok(()),
    }
}
