//! `start`, `stop`, `restart`: one operation, outside of a plan.

use omni_scale_proto::operation::Target;
use omni_scale_proto::v1::ControlAction;
use serde_json::json;

use super::Context;
use super::context::desired;
use super::single::{Single, conclude};
use super::target::{Place, find};
use crate::agents::{Agents as _, Control};
use crate::arguments::ControlArguments;
use crate::exit::Exit;
use crate::output::Activity;

/// Containers get their own grace period to stop; all of them together this long, in seconds.
const DEADLINE: u32 = 300;

/// Runs it.
pub(super) async fn run(
    context: &Context,
    arguments: ControlArguments,
    action: ControlAction,
) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    let desired = desired(&deployment)?;
    let (host, target, control) = match find(&desired, &arguments.target)? {
        Place::Unit { host } => (host, Target::Unit, Control::Unit { action }),
        Place::Stack {
            host,
            name,
            services,
        } => {
            let target = Target::Stack(name.clone());
            let control = Control::Stack {
                name,
                services,
                action,
            };
            (host, target, control)
        }
    };
    let credential = context.credential(deployment.id)?;
    let agents = context.agents_of(&deployment, &credential)?;
    let single = Single {
        agents: &agents,
        deployment: deployment.id,
        holder: context.holder(&credential),
        host: &host,
        target,
        deadline_seconds: DEADLINE,
    };
    let activity = Activity::new(&context.output);
    activity.wait(
        host.as_str(),
        &format!("{} {}", word(action), single.target),
    );
    let outcome = single
        .run(context, async |operation| {
            let progress = |progress| activity.progress(host.as_str(), &progress);
            agents.control(&host, operation, &control, &progress).await
        })
        .await?;
    drop(activity);
    conclude(context, &host, &outcome)?;
    if context.output.is_json() {
        let value = json!({
            "host": host,
            "target": single.target.to_string(),
            "generation": outcome.generation,
            "summary": outcome.summary,
        });
        context.output.json("done", &value)?;
    } else {
        context
            .output
            .data(&format!("{host}: {}", outcome.summary))?;
    }
    Ok(Exit::Done)
}

const fn word(action: ControlAction) -> &'static str {
    match action {
        ControlAction::Start => "starting",
        ControlAction::Stop => "stopping",
        ControlAction::Restart => "restarting",
        ControlAction::Unspecified => "controlling",
    }
}
