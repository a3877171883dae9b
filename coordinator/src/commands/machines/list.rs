//! `machines list`: what is declared, and what the agent remembers.

use omni_scale_proto::v1::{self, MachinePresence};
use serde_json::{Value, json};

use super::{Cluster, unknown};
use crate::commands::Context;
use crate::commands::status::machines::{judge, vmid_or_dash, words_or_dash};
use crate::exit::Exit;
use crate::output::{Activity, Cell, Table};

/// Runs it.
pub(in crate::commands) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let cluster = Cluster::of(context)?;
    let activity = Activity::new(&context.output);
    activity.wait("machines", "asking Proxmox VE");
    let observed = cluster.look(None).await?;
    drop(activity);
    for stub in &observed.stubs {
        context.output.warn(&format!(
            "VMID {} on node {} is a machine that was never made to its end; clear it there: `{}`",
            stub.vmid, stub.node, stub.command
        ));
    }
    for machine in &observed.machines {
        if machine.presence() == MachinePresence::Unknown {
            let text = unknown(&machine.name, &machine.status.replace('\n', "; "));
            context.output.warn(&text);
        }
    }
    if context.output.is_json() {
        let declared = cluster.wanted.scope();
        let value: Value = observed
            .machines
            .iter()
            .map(|machine| {
                let mut names = declared.names.iter();
                to_json(machine, names.any(|name| name.as_str() == machine.name))
            })
            .collect();
        context.output.json("machines", &value)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["machine", "state", "node", "vmid", "addresses", "uuid"]);
    for machine in &observed.machines {
        let (state, word) = judge(machine);
        table.row([
            Cell::plain(machine.name.as_str()),
            Cell::new(state.style(), word),
            Cell::plain(words_or_dash(&machine.node)),
            Cell::plain(vmid_or_dash(machine.vmid)),
            Cell::plain(words_or_dash(&machine.addresses.join(", "))),
            Cell::plain(words_or_dash(&machine.uuid)),
        ]);
    }
    for line in table.lines(context.output.surface().color_output) {
        context.output.data(&line)?;
    }
    Ok(Exit::Done)
}

fn to_json(machine: &v1::MachineObservation, declared: bool) -> Value {
    let presence = match machine.presence() {
        MachinePresence::Absent => "absent",
        MachinePresence::Creating => "creating",
        MachinePresence::Present => "present",
        MachinePresence::Unknown | MachinePresence::Unspecified => "unknown",
    };
    json!({
        "name": machine.name,
        "declared": declared,
        "presence": presence,
        "status": machine.status,
        "lock": machine.lock,
        "node": machine.node,
        "vmid": machine.vmid,
        "uuid": machine.uuid,
        "addresses": machine.addresses,
        "first_boot_attached": machine.first_boot_attached,
    })
}
