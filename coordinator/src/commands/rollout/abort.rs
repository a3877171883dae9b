//! `abort`: gives up a rollout that stands still.

use serde_json::json;

use super::journals::Journals;
use super::run::engine;
use crate::arguments::AbortArguments;
use crate::commands::Context;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::output::unless_unread;

/// Runs it.
pub(in crate::commands) async fn run(
    context: &Context,
    arguments: AbortArguments,
) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    let credential = context.credential(deployment.id)?;
    let agents = context.agents_of(&deployment, &credential)?;
    let by = context.holder(&credential);
    let journals = Journals::open(context, deployment.id)?;
    let lock = journals.lock(context, &by)?;
    let Some(story) = journals.find(arguments.rollout.as_deref())? else {
        context
            .output
            .say("no rollout stands still: there is nothing to give up");
        return Ok(Exit::Done);
    };
    let rollout = story.header.rollout;
    let mut journal = Journal::open(lock, deployment.id, rollout)?;
    let left = engine(context, &agents, by).abort(&mut journal).await?;
    if context.output.is_json() {
        let running: Vec<_> = left
            .iter()
            .map(|left| json!({ "step": left.step.to_string(), "host": left.host }))
            .collect();
        let value = json!({ "id": rollout.to_string(), "left_running": running });
        let printed = context.output.json("aborted", &value);
        unless_unread(printed)?;
        return Ok(Exit::Done);
    }
    for left in &left {
        context.output.warn(&format!(
            "step {} was under way on host `{}`: its agent finishes it",
            left.step, left.host
        ));
    }
    let printed = context.output.data(&format!("gave up rollout {rollout}"));
    unless_unread(printed)?;
    context
        .output
        .say("`omni-scale plan` shows what is left to do");
    Ok(Exit::Done)
}
