//! What is done to machines: which are made, where, and as what.
//!
//! A machine that is there stays as it is: what differs from the deployment is told.

mod places;
mod show;

use std::collections::BTreeSet;

use omni_scale_proto::effect::{Effect, UnknownState};
use omni_scale_proto::id::{HostName, MachineName};
use omni_scale_proto::machine::{CheckedMachine, MachineAction, machine_difference};
use omni_scale_proto::operation::Target;
use omni_scale_proto::v1::{self, MachinePresence};

use super::{Draft, facts};
use crate::agents::Action;
use crate::plan::desired::{Desired, Wave};
use crate::plan::machines::{DesiredGroup, DesiredMachines, Purpose};
use crate::plan::observed::{HostFacts, HostObservation, Observed};
use crate::plan::refusal::{DesiredError, PlanError, PlanRefusal};
use crate::plan::step::{Change, Recovery};
use places::Places;

/// An image may be gigabytes behind a slow line, and other machines wait for the same storage.
const APPLY_DEADLINE_SECONDS: u32 = 3600;
/// First boot, packages, and the first login.
const ENROLL_DEADLINE_SECONDS: u32 = 1800;

/// What is to be done to machines, and what to know of them.
#[derive(Debug, Default)]
pub(super) struct Machines {
    /// The steps, each with its wave, in order.
    pub(super) steps: Vec<(Wave, Draft)>,
    /// The machines that are made, each with its wave.
    pub(super) made: Vec<(Wave, v1::Machine)>,
    /// What to look at.
    pub(super) warnings: Vec<String>,
}

/// Hosts that do not answer because their machines are not there, not running, or were never
/// booted to their end.
pub(super) fn hosts_to_be_made(desired: &Desired, observed: &Observed) -> BTreeSet<HostName> {
    let Some(machines) = &desired.machines else {
        return BTreeSet::new();
    };
    let Some(facts) = observed.facts(&machines.host) else {
        return BTreeSet::new();
    };
    let groups = machines.groups.iter().filter_map(|group| {
        let Purpose::Host(host) = &group.purpose else {
            return None;
        };
        let seen = facts.machine(&group.machines.first()?.name)?;
        let awaited = match seen.presence() {
            MachinePresence::Absent | MachinePresence::Creating => true,
            MachinePresence::Present => seen.first_boot_attached || seen.status != "running",
            MachinePresence::Unknown | MachinePresence::Unspecified => false,
        };
        (awaited && !answers(observed, host)).then(|| host.clone())
    });
    groups.collect()
}

/// Whether the machine of a host has not come to the end of its first boot.
pub(super) fn boots_first(desired: &Desired, observed: &Observed, host: &HostName) -> bool {
    let wanted = desired.machines.as_ref();
    let seen = wanted.and_then(|wanted| {
        let machine = wanted.of_host(host)?.machines.first()?;
        observed.facts(&wanted.host)?.machine(&machine.name)
    });
    seen.is_some_and(is_at_first_boot)
}

fn is_at_first_boot(seen: &v1::MachineObservation) -> bool {
    seen.presence() != MachinePresence::Present || seen.first_boot_attached
}

fn answers(observed: &Observed, host: &HostName) -> bool {
    match observed.hosts.get(host) {
        Some(HostObservation::Reached(_) | HostObservation::Silent { .. }) => true,
        Some(HostObservation::Unreachable { .. } | HostObservation::NotEnrolled) | None => false,
    }
}

/// The wave in which a group's machines are made.
pub(super) const fn wave_of(group: &DesiredGroup) -> Wave {
    match group.purpose {
        Purpose::Host(_) => Wave::HostMachines,
        Purpose::Talos { .. } => Wave::Machines,
    }
}

/// What is to be done to the machines of the waves before `cut`.
pub(super) fn decide(
    desired: &Desired,
    observed: &Observed,
    to_be_made: &BTreeSet<HostName>,
    cut: Option<Wave>,
) -> Result<Machines, PlanError> {
    let Some(wanted) = &desired.machines else {
        return Ok(Machines::default());
    };
    let groups: Vec<&DesiredGroup> = wanted
        .groups
        .iter()
        .filter(|group| cut.is_none_or(|cut| wave_of(group) < cut))
        .collect();
    if groups.is_empty() {
        return Ok(Machines::default());
    }
    let facts = facts(observed, &wanted.host)?;
    let cluster = known_cluster(&wanted.host, facts)?;
    let places = Places::of(&groups, wanted, facts, cluster)?;
    let mut decided = Machines {
        warnings: places.warnings.clone(),
        ..Machines::default()
    };
    let mut refusals = Vec::new();
    for group in groups {
        for machine in &group.machines {
            let turn = Turn {
                desired,
                wanted,
                facts,
                observed,
                to_be_made,
                group,
            };
            match turn.decide(places.settled(machine, facts), &mut decided)? {
                None => {}
                Some(refusal) => refusals.push(refusal),
            }
        }
    }
    decided.warnings.extend(show::stubs(cluster));
    if refusals.is_empty() {
        Ok(decided)
    } else {
        Err(PlanError::Refused { refusals })
    }
}

fn known_cluster<'a>(
    host: &HostName,
    facts: &'a HostFacts,
) -> Result<&'a v1::MachinesObservation, PlanError> {
    let unknown = |reason: &str| PlanError::Refused {
        refusals: vec![PlanRefusal::StateUnknown {
            host: host.clone(),
            what: "the state of the machines is not known".to_owned(),
            reason: reason.to_owned(),
        }],
    };
    match &facts.machines {
        None => Err(unknown("its agent was not asked")),
        // The agent's advice stands on a line of its own.
        Some(cluster) if !cluster.known => Err(unknown(&cluster.reason.replace('\n', "; "))),
        Some(cluster) => Ok(cluster),
    }
}

/// One machine's turn.
struct Turn<'a> {
    desired: &'a Desired,
    wanted: &'a DesiredMachines,
    facts: &'a HostFacts,
    observed: &'a Observed,
    to_be_made: &'a BTreeSet<HostName>,
    group: &'a DesiredGroup,
}

impl Turn<'_> {
    fn decide(
        &self,
        machine: v1::Machine,
        decided: &mut Machines,
    ) -> Result<Option<PlanRefusal>, PlanError> {
        let seen = self.facts.machine(&machine.name);
        let checked = CheckedMachine::try_from(machine).map_err(DesiredError::from)?;
        let name = checked.identity().name();
        let difference = match machine_difference(&checked, seen) {
            Ok(difference) => difference,
            Err(unknown) => return Ok(Some(self.unknown(&unknown))),
        };
        if difference.action == MachineAction::Create
            && let Purpose::Host(host) = &self.group.purpose
            && answers(self.observed, host)
        {
            return Ok(Some(PlanRefusal::HostElsewhere { host: host.clone() }));
        }
        decided.warnings.extend(show::differs(name, &difference));
        let wave = wave_of(self.group);
        let mut reasons = difference.reasons.clone();
        let target = Target::Machine(name.clone());
        if self
            .facts
            .target(&target)
            .is_some_and(|status| status.outcome_unknown)
        {
            reasons.push(super::stack::OUTCOME_UNKNOWN.to_owned());
        }
        let mut generation = self.facts.generation(&target);
        if !reasons.is_empty() {
            generation += 1;
            let change = show::change(&checked, &difference, reasons);
            let draft = self.apply(name, &checked, generation, change);
            decided.steps.push((wave, draft));
        }
        if difference.makes() {
            decided.made.push((wave, checked.as_wire().clone()));
        }
        if let Purpose::Host(host) = &self.group.purpose
            && let Some(seen) = seen
        {
            let first_boot = is_at_first_boot(seen);
            if first_boot || self.to_be_made.contains(host) {
                let draft = self.enroll(name, &checked, host, generation + 1, first_boot);
                decided.steps.push((wave, draft));
            }
        }
        Ok(None)
    }

    fn unknown(&self, unknown: &UnknownState) -> PlanRefusal {
        PlanRefusal::StateUnknown {
            host: self.wanted.host.clone(),
            what: format!("the state of {} is not known", unknown.subject),
            reason: unknown.reason.clone(),
        }
    }

    fn apply(
        &self,
        name: &MachineName,
        machine: &CheckedMachine,
        generation: u64,
        change: Change,
    ) -> Draft {
        Draft {
            host: self.wanted.host.clone(),
            action: Action::ApplyMachine {
                name: name.clone(),
                hypervisor: self.wanted.hypervisor.clone(),
                machine: Box::new(machine.as_wire().clone()),
            },
            generation,
            deadline_seconds: APPLY_DEADLINE_SECONDS,
            recovery: Recovery::Hold {
                advice: "look at `omni-scale machines list`, put right what it says, then \
                         `omni-scale resume`"
                    .to_owned(),
            },
            changes: vec![change],
        }
    }

    fn enroll(
        &self,
        name: &MachineName,
        machine: &CheckedMachine,
        host: &HostName,
        generation: u64,
        first_boot: bool,
    ) -> Draft {
        let roles = self.desired.hosts.get(host).map(|wanted| &wanted.roles);
        let roles = roles.into_iter().flatten().map(ToString::to_string);
        let reason = if first_boot {
            "its certificate is made, and what it was first booted with deleted"
        } else {
            "its agent does not answer yet"
        };
        Draft {
            host: self.wanted.host.clone(),
            action: Action::EnrollHost {
                name: name.clone(),
                hypervisor: self.wanted.hypervisor.clone(),
                uuid: machine.as_wire().uuid.clone(),
                host: host.clone(),
                roles: roles.collect(),
                certificate: first_boot && self.to_be_made.contains(host),
            },
            generation,
            deadline_seconds: ENROLL_DEADLINE_SECONDS,
            recovery: Recovery::Hold {
                advice: format!(
                    "look at the console of machine `{name}` in Proxmox VE, which says how far its \
                     first boot is; if the tailnet still has an older node of its name, delete \
                     that node; then `omni-scale resume`"
                ),
            },
            changes: vec![Change {
                subject: format!("host {host}"),
                verb: if first_boot { "enrol" } else { "wait for" }.to_owned(),
                effect: Effect::Start,
                reasons: vec![reason.to_owned()],
                secrets: Vec::new(),
            }],
        }
    }
}
