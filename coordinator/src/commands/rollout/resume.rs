//! `resume`: goes on with a rollout that stands still.

use super::journals::Journals;
use super::run::{engine, run as run_journal};
use crate::arguments::ResumeArguments;
use crate::commands::Context;
use crate::exit::Exit;
use crate::journal::Journal;

/// Runs it.
pub(in crate::commands) async fn run(
    context: &Context,
    arguments: ResumeArguments,
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
            .say("no rollout stands still: there is nothing to go on with");
        return Ok(Exit::Done);
    };
    let journal = Journal::open(lock, deployment.id, story.header.rollout)?;
    let engine = engine(context, &agents, by);
    run_journal(context, &engine, journal).await
}
