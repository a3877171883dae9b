//! What people read of machines in a plan.

use omni_scale_proto::id::{MachineName, SecretName};
use omni_scale_proto::machine::{CheckedMachine, MachineAction, MachineChange};
use omni_scale_proto::v1::{self, segment::Part};

use crate::plan::step::{Change, SecretState, UsedSecret};

/// A machine that a step makes, finishes or starts.
pub(super) fn change(
    machine: &CheckedMachine,
    difference: &MachineChange,
    mut reasons: Vec<String>,
) -> Change {
    let wire = machine.as_wire();
    let made = difference.makes();
    if made {
        reasons.push(format!("on node {} as VMID {}", wire.node, wire.vmid));
        reasons.push(format!("UUID {}", wire.uuid));
        reasons.push(size(wire));
    }
    Change {
        subject: wire.name.clone(),
        verb: verb(difference.action).to_owned(),
        effect: difference.effect,
        reasons,
        secrets: if made { secrets(wire) } else { Vec::new() },
    }
}

const fn verb(action: MachineAction) -> &'static str {
    match action {
        MachineAction::Keep => "verify",
        MachineAction::Create => "create",
        MachineAction::Finish => "finish",
        MachineAction::Start => "start",
    }
}

fn size(machine: &v1::Machine) -> String {
    let cores = machine.cores;
    let plural = if cores == 1 { "" } else { "s" };
    let disks = machine
        .disks
        .iter()
        .map(|disk| format!("{} GiB on {}", disk.size_gibibytes, disk.storage));
    let disks = disks.collect::<Vec<_>>().join(", ");
    let memory = machine.memory_mebibytes;
    format!("{cores} core{plural}, {memory} MiB of memory, disk {disks}")
}

/// The secrets in what it is first booted with, but for the one that the agent makes itself.
fn secrets(machine: &v1::Machine) -> Vec<UsedSecret> {
    let segments = machine.user_data.iter().flat_map(|text| &text.segments);
    let names = segments.filter_map(|segment| match &segment.part {
        Some(Part::Secret(secret)) if secret.name != machine.enrollment_secret => {
            secret.name.parse::<SecretName>().ok()
        }
        Some(Part::Secret(_) | Part::Literal(_)) | None => None,
    });
    let state = if machine.kind() == v1::MachineKind::Host {
        SecretState::Once
    } else {
        SecretState::New
    };
    names.map(|name| UsedSecret { name, state }).collect()
}

/// What is other than declared, and is left so.
pub(super) fn differs(name: &MachineName, difference: &MachineChange) -> Option<String> {
    (!difference.differs.is_empty()).then(|| {
        format!(
            "machine `{name}` is other than declared and is left as it is ({}); change the \
             declaration back, or have it made anew: `omni-scale machines delete {name}`, then \
             `omni-scale apply`",
            difference.differs.join("; ")
        )
    })
}

/// Configurations that a creation left half-made.
pub(super) fn stubs(cluster: &v1::MachinesObservation) -> Vec<String> {
    let stubs = cluster.stubs.iter();
    stubs
        .map(|stub| {
            format!(
                "VMID {} on node {} is a machine that was never made to its end; clear it there: \
                 `{}`",
                stub.vmid, stub.node, stub.command
            )
        })
        .collect()
}
