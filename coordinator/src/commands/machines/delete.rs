//! `machines delete`: the one command that ends a machine and its disks.

use omni_scale_proto::id::MachineName;
use omni_scale_proto::v1::{self, MachinePresence};
use serde_json::json;

use super::Cluster;
use crate::arguments::MachineDeleteArguments;
use crate::commands::Context;
use crate::commands::single::conclude;
use crate::exit::Exit;
use crate::output::{Activity, Stop};

/// Shutting down, and removing disks from a slow storage, in seconds.
const DEADLINE: u32 = 900;

/// Runs it.
pub(in crate::commands) async fn run(
    context: &Context,
    arguments: MachineDeleteArguments,
) -> anyhow::Result<Exit> {
    let name = &arguments.name;
    let cluster = Cluster::of(context)?;
    let found = cluster.find(name).await?;
    // A deletion that ended half-way may have left the first-boot data: the agent cleans up.
    let there = found.presence() != MachinePresence::Absent;
    let typed = typed_name(context, &arguments, &found).await?;
    let machine = v1::MachineIdentity {
        name: name.to_string(),
        uuid: found.uuid,
    };
    let (host, hypervisor) = (&cluster.wanted.host, &cluster.wanted.hypervisor);
    let activity = Activity::new(&context.output);
    let outcome = cluster
        .single(name, DEADLINE)
        .run(context, async |operation| {
            let progress = |progress| activity.progress(name.as_str(), &progress);
            let machine = machine.clone();
            cluster
                .agents
                .delete_machine(host, operation, hypervisor, machine, &typed, &progress)
                .await
        })
        .await?;
    drop(activity);
    conclude(context, host, &outcome)?;
    if there {
        told(context, name, &outcome.summary)
    } else {
        let text = "it is not there; cleaned what it may have left";
        told(context, name, text)
    }
}

/// The name as a person typed it. The agent compares it too.
async fn typed_name(
    context: &Context,
    arguments: &MachineDeleteArguments,
    found: &v1::MachineObservation,
) -> anyhow::Result<String> {
    let name = &arguments.name;
    let typed = if let Some(confirmed) = &arguments.confirm {
        confirmed.clone()
    } else {
        let question = if found.presence() == MachinePresence::Absent {
            format!(
                "Machine `{name}` is not there. What it may have left is deleted for good. \
                 Type its name:"
            )
        } else {
            format!(
                "Machine `{name}` (VMID {} on node {}, UUID {}) and its disks are deleted for \
                 good. Type its name:",
                found.vmid, found.node, found.uuid
            )
        };
        context.ask_line(&question).await?.ok_or_else(|| {
            let stop = Stop::new(
                Exit::Usage,
                "nobody can be asked: standard input is no terminal",
            );
            stop.hint(format!(
                "`omni-scale machines delete {name} --confirm {name}`"
            ))
        })?
    };
    if typed == name.as_str() {
        return Ok(typed);
    }
    Err(Stop::new(
        Exit::Usage,
        format!("not deleted: what was typed is not `{name}`"),
    )
    .into())
}

fn told(context: &Context, name: &MachineName, summary: &str) -> anyhow::Result<Exit> {
    if context.output.is_json() {
        let value = json!({ "machine": name, "summary": summary });
        context.output.json("deleted", &value)?;
    } else {
        context.output.data(&format!("{name}: {summary}"))?;
    }
    Ok(Exit::Done)
}
