//! What must be done to a machine so that it is there and runs.
//!
//! Pure, and used on both sides. A machine is never changed once it is made: what differs from
//! the deployment is told, and stays until a person deletes the machine or changes it back.

use serde::{Deserialize, Serialize};

use super::{CheckedMachine, machine_digest};
use crate::effect::{Effect, UnknownState};
use crate::v1::{self, MachinePresence};

/// What is done to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineAction {
    /// It is there and runs.
    Keep,
    /// There is none: it is created and started.
    Create,
    /// It was begun by us, and not brought to its end: it is.
    Finish,
    /// It is there and does not run.
    Start,
}

/// One machine's part of the difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineChange {
    /// What is done.
    pub action: MachineAction,
    /// Why, for people; empty when nothing is done.
    pub reasons: Vec<String>,
    /// How much it disturbs.
    pub effect: Effect,
    /// What is other than declared, and is left so.
    pub differs: Vec<String>,
}

impl MachineChange {
    /// Whether it takes from the cluster, and from its secrets, what a new machine needs.
    pub fn makes(&self) -> bool {
        match self.action {
            MachineAction::Create => true,
            // One that runs has all of it.
            MachineAction::Finish => self.effect > Effect::None,
            MachineAction::Keep | MachineAction::Start => false,
        }
    }
}

/// What must be done to this machine. `observed` is its own observation: `None` means that the
/// cluster was not asked about it.
pub fn machine_difference(
    machine: &CheckedMachine,
    observed: Option<&v1::MachineObservation>,
) -> Result<MachineChange, UnknownState> {
    let unknown = |reason: &str| UnknownState {
        subject: format!("machine `{}`", machine.identity().name()),
        reason: reason.to_owned(),
    };
    let observed = observed.ok_or_else(|| unknown("the hypervisor was not asked about it"))?;
    let change = |action, reason: &str, effect| MachineChange {
        action,
        reasons: vec![reason.to_owned()],
        effect,
        differs: Vec::new(),
    };
    let differs = differences(machine, observed);
    let change = match observed.presence() {
        // The agent says why, where it knows.
        MachinePresence::Unknown if !observed.status.is_empty() => {
            return Err(unknown(&observed.status));
        }
        MachinePresence::Unspecified | MachinePresence::Unknown => {
            return Err(unknown("the hypervisor does not tell whether it is there"));
        }
        MachinePresence::Absent => change(
            MachineAction::Create,
            "there is no machine with its UUID",
            Effect::Start,
        ),
        MachinePresence::Creating => change(
            MachineAction::Finish,
            "its creation has begun and not ended",
            Effect::Start,
        ),
        MachinePresence::Present if observed.status == "running" && observed.applied.is_none() => {
            change(
                MachineAction::Finish,
                "it was never brought to its end",
                // It runs, and goes on.
                Effect::None,
            )
        }
        MachinePresence::Present if observed.status == "running" => MachineChange {
            action: MachineAction::Keep,
            reasons: Vec::new(),
            effect: Effect::None,
            differs,
        },
        MachinePresence::Present => MachineChange {
            differs,
            ..change(
                MachineAction::Start,
                &format!("it is {}", observed.status),
                Effect::Start,
            )
        },
    };
    Ok(change)
}

fn differences(machine: &CheckedMachine, observed: &v1::MachineObservation) -> Vec<String> {
    let Some(applied) = &observed.applied else {
        return Vec::new();
    };
    let wanted = machine.as_wire();
    if machine_digest(applied) == machine_digest(wanted) {
        return Vec::new();
    }
    let numbers = [
        ("cores", applied.cores, wanted.cores),
        (
            "memory in MiB",
            applied.memory_mebibytes,
            wanted.memory_mebibytes,
        ),
    ];
    let mut differs: Vec<String> = numbers
        .iter()
        .filter(|(_, was, is)| was != is)
        .map(|(what, was, is)| format!("{what}: {was}, declared {is}"))
        .collect();
    let parts = [
        ("disks", applied.disks != wanted.disks),
        ("networks", applied.networks != wanted.networks),
        ("image", applied.image != wanted.image),
        ("cpu", applied.cpu != wanted.cpu),
    ];
    differs.extend(
        parts
            .iter()
            .filter(|(_, other)| *other)
            .map(|(what, _)| format!("{what}: other than declared")),
    );
    if differs.is_empty() {
        differs.push("what it was first booted with is other than declared".to_owned());
    }
    differs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::examples;

    fn observed(presence: MachinePresence, status: &str) -> v1::MachineObservation {
        v1::MachineObservation {
            presence: presence.into(),
            status: status.to_owned(),
            applied: Some(examples::talos("cp-1")),
            ..v1::MachineObservation::default()
        }
    }

    fn action(observed: &v1::MachineObservation) -> MachineAction {
        let machine = CheckedMachine::try_from(examples::talos("cp-1")).unwrap();
        machine_difference(&machine, Some(observed)).unwrap().action
    }

    #[test]
    fn a_machine_is_made_finished_started_or_kept() {
        use MachinePresence::{Absent, Creating, Present};
        assert_eq!(action(&observed(Absent, "")), MachineAction::Create);
        assert_eq!(action(&observed(Creating, "")), MachineAction::Finish);
        assert_eq!(action(&observed(Present, "stopped")), MachineAction::Start);
        assert_eq!(action(&observed(Present, "running")), MachineAction::Keep);
    }

    #[test]
    fn a_machine_that_runs_and_was_never_brought_to_its_end_is_finished() {
        let machine = CheckedMachine::try_from(examples::talos("cp-1")).unwrap();
        let started_by_others = v1::MachineObservation {
            applied: None,
            ..observed(MachinePresence::Present, "running")
        };
        let change = machine_difference(&machine, Some(&started_by_others)).unwrap();
        assert_eq!(change.action, MachineAction::Finish);
        assert_eq!(change.effect, Effect::None);
        assert_eq!(change.reasons, ["it was never brought to its end"]);
        assert!(!change.makes());
    }

    #[test]
    fn unknown_is_not_absent() {
        let machine = CheckedMachine::try_from(examples::talos("cp-1")).unwrap();
        let unknown = observed(MachinePresence::Unknown, "");
        let untold = machine_difference(&machine, Some(&unknown)).unwrap_err();
        assert!(untold.reason.contains("does not tell"), "{untold}");
        let why = "VM 105 on pve1 may be it, and cannot be read";
        let unknown = observed(MachinePresence::Unknown, why);
        let told = machine_difference(&machine, Some(&unknown)).unwrap_err();
        assert_eq!(told.reason, why);
        assert!(machine_difference(&machine, None).is_err());
    }

    #[test]
    fn a_machine_that_runs_is_told_about_and_left_as_it_is() {
        let larger = v1::Machine {
            cores: 8,
            ..examples::talos("cp-1")
        };
        let machine = CheckedMachine::try_from(larger).unwrap();
        let there = observed(MachinePresence::Present, "running");
        let change = machine_difference(&machine, Some(&there)).unwrap();
        assert_eq!(change.action, MachineAction::Keep);
        assert_eq!(change.differs, ["cores: 4, declared 8"]);
    }
}
