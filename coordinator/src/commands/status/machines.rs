//! Machines as rows of the table. Pure.

use omni_scale_proto::v1::{self, MachinePresence};

use super::row::{Row, State, lost, row, waiting};
use super::view::{HYPERVISOR_HEALTH, HostView, MachinesView, Seen};
use crate::agents::grpc::Health;

/// The cluster, and each machine.
pub(super) fn rows(view: &HostView, machines: &MachinesView) -> Vec<Row> {
    let names: Vec<String> = machines.scope.names.iter().map(target).collect();
    let all = |one: &dyn Fn(&str) -> Row| -> Vec<Row> {
        let names = names.iter().map(String::as_str);
        [HYPERVISOR_HEALTH]
            .into_iter()
            .chain(names)
            .map(one)
            .collect()
    };
    let observed = match &machines.observation {
        Seen::Waiting => return all(&|name| waiting(view, name)),
        Seen::Lost(reason) => return all(&|name| lost(view, name, reason)),
        Seen::Known(observed) if !observed.known => {
            let reason = observed.reason.replace('\n', "; ");
            return all(&|name| lost(view, name, &reason));
        }
        Seen::Known(observed) => observed,
    };
    let mut rows = vec![cluster(view, observed)];
    rows.extend(observed.machines.iter().map(|machine| {
        let (state, word) = judge(machine);
        Row {
            detail: detail(machine),
            ..row(view, &target(&machine.name), state, word)
        }
    }));
    rows.extend(observed.stubs.iter().map(|stub| Row {
        detail: format!("on node {}; clear it there: `{}`", stub.node, stub.command),
        ..row(
            view,
            &format!("vmid/{}", stub.vmid),
            State::Attention,
            "half-made",
        )
    }));
    rows
}

fn target(name: impl std::fmt::Display) -> String {
    format!("machine/{name}")
}

fn cluster(view: &HostView, observed: &v1::MachinesObservation) -> Row {
    let health = view.health.get(HYPERVISOR_HEALTH).copied();
    let (state, word) = match health.unwrap_or(Health::Unknown) {
        Health::Serving => (State::Good, "healthy"),
        Health::NotServing => (State::Bad, "failing"),
        Health::Unknown => (State::Attention, "not verified"),
    };
    let offline: Vec<&str> = observed
        .nodes
        .iter()
        .filter(|node| !node.online)
        .map(|node| node.name.as_str())
        .collect();
    let mut detail = vec![format!("version {}", observed.version)];
    if !offline.is_empty() {
        detail.push(format!("offline: {}", offline.join(", ")));
    }
    Row {
        detail: detail.join(", "),
        ..row(view, HYPERVISOR_HEALTH, state, word)
    }
}

/// How a machine is, and the word for it.
pub(in crate::commands) fn judge(machine: &v1::MachineObservation) -> (State, &str) {
    match machine.presence() {
        MachinePresence::Absent => (State::Bad, "absent"),
        MachinePresence::Creating => (State::Attention, "creating"),
        MachinePresence::Unknown | MachinePresence::Unspecified => (State::Unknown, "unknown"),
        MachinePresence::Present if machine.status == "running" && machine.lock.is_empty() => {
            (State::Good, "running")
        }
        MachinePresence::Present if machine.status == "running" => (State::Attention, "running"),
        MachinePresence::Present if machine.status.is_empty() => (State::Unknown, "unknown"),
        MachinePresence::Present => (State::Bad, &machine.status),
    }
}

fn detail(machine: &v1::MachineObservation) -> String {
    let mut detail = Vec::new();
    if !machine.node.is_empty() {
        detail.push(format!("node {}", machine.node));
    }
    if machine.vmid != 0 {
        detail.push(format!("VMID {}", machine.vmid));
    }
    detail.extend(machine.addresses.iter().cloned());
    if !machine.lock.is_empty() {
        detail.push(format!("locked: {}", machine.lock));
    }
    // A Talos machine reads what it was told at every boot.
    let talos = machine.applied.as_ref().map(v1::Machine::kind) == Some(v1::MachineKind::Talos);
    if machine.first_boot_attached && !talos {
        detail.push("first boot not finished".to_owned());
    }
    if machine.presence() == MachinePresence::Unknown && !machine.status.is_empty() {
        // Why it is not known.
        detail.push(machine.status.replace('\n', "; "));
    }
    detail.join(", ")
}

/// A cell that may have nothing to say.
pub(in crate::commands) fn words_or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

/// A VMID, when there is one.
pub(in crate::commands) fn vmid_or_dash(vmid: u32) -> String {
    if vmid == 0 {
        "-".to_owned()
    } else {
        vmid.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(presence: MachinePresence, status: &str, lock: &str) -> v1::MachineObservation {
        v1::MachineObservation {
            presence: presence.into(),
            status: status.to_owned(),
            lock: lock.to_owned(),
            ..v1::MachineObservation::default()
        }
    }

    #[test]
    fn only_a_machine_that_runs_unlocked_is_good() {
        use MachinePresence::{Absent, Creating, Present, Unknown};
        let cases = [
            (machine(Present, "running", ""), State::Good, "running"),
            (
                machine(Present, "running", "backup"),
                State::Attention,
                "running",
            ),
            (machine(Present, "stopped", ""), State::Bad, "stopped"),
            (machine(Present, "", ""), State::Unknown, "unknown"),
            (
                machine(Creating, "stopped", "create"),
                State::Attention,
                "creating",
            ),
            (machine(Absent, "", ""), State::Bad, "absent"),
            (machine(Unknown, "", ""), State::Unknown, "unknown"),
        ];
        for (machine, state, word) in cases {
            assert_eq!(judge(&machine), (state, word), "{machine:?}");
        }
    }

    #[test]
    fn a_row_says_why_a_machine_is_unknown() {
        let why = "VM 105 on pve1 may be it, and cannot be read: no answer came";
        let unknown = machine(MachinePresence::Unknown, why, "");
        assert_eq!(detail(&unknown), why);
        assert_eq!(detail(&machine(MachinePresence::Unknown, "", "")), "");
    }

    #[test]
    fn a_row_says_where_a_machine_is_and_what_it_waits_for() {
        let made_as = |kind: v1::MachineKind| v1::MachineObservation {
            node: "pve2".to_owned(),
            vmid: 5001,
            addresses: vec!["192.168.1.20".to_owned()],
            first_boot_attached: true,
            applied: Some(v1::Machine {
                kind: kind.into(),
                ..v1::Machine::default()
            }),
            ..machine(MachinePresence::Present, "running", "backup")
        };
        assert_eq!(
            detail(&made_as(v1::MachineKind::Host)),
            "node pve2, VMID 5001, 192.168.1.20, locked: backup, first boot not finished"
        );
        // What a Talos machine was first booted with stays in its drive.
        assert_eq!(
            detail(&made_as(v1::MachineKind::Talos)),
            "node pve2, VMID 5001, 192.168.1.20, locked: backup"
        );
    }
}
