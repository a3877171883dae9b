//! `machines start`, `stop`, `restart`.

use omni_scale_proto::v1::{ControlAction, MachinePresence};
use serde_json::json;

use super::Cluster;
use crate::agents::{Agents as _, Control};
use crate::arguments::MachineArguments;
use crate::commands::Context;
use crate::commands::single::conclude;
use crate::exit::Exit;
use crate::output::Activity;

/// A guest may take its time to shut down, in seconds.
const DEADLINE: u32 = 600;

/// Runs it.
pub(in crate::commands) async fn run(
    context: &Context,
    arguments: MachineArguments,
    action: ControlAction,
) -> anyhow::Result<Exit> {
    let name = arguments.name;
    let cluster = Cluster::of(context)?;
    let found = cluster.find(&name).await?;
    if found.presence() == MachinePresence::Absent {
        return Err(cluster.no_such_machine(&name));
    }
    let host = &cluster.wanted.host;
    let control = Control::Machine {
        name: name.clone(),
        hypervisor: cluster.wanted.hypervisor.clone(),
        uuid: found.uuid,
        action,
    };
    let activity = Activity::new(&context.output);
    let outcome = cluster
        .single(&name, DEADLINE)
        .run(context, async |operation| {
            let progress = |progress| activity.progress(name.as_str(), &progress);
            let agents = &cluster.agents;
            agents.control(host, operation, &control, &progress).await
        })
        .await?;
    drop(activity);
    conclude(context, host, &outcome)?;
    if context.output.is_json() {
        let value = json!({
            "host": host,
            "target": control.target().to_string(),
            "generation": outcome.generation,
            "summary": outcome.summary,
        });
        context.output.json("done", &value)?;
    } else {
        let text = format!("{name}: {}", outcome.summary);
        context.output.data(&text)?;
    }
    Ok(Exit::Done)
}
