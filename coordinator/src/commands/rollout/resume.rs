//! `resume`: goes on with a rollout that stands still.

use super::apply::{Wishes, rest};
use super::given::GivenSecrets;
use super::run::{engine, run as run_journal};
use super::session::Session;
use crate::arguments::ResumeArguments;
use crate::commands::Context;
use crate::commands::context::desired;
use crate::exit::Exit;
use crate::journal::{Journal, Story};
use crate::plan::{Choices, Step};
use crate::rollout::StepState;

/// Runs it.
pub(in crate::commands) async fn run(
    context: &Context,
    arguments: ResumeArguments,
) -> anyhow::Result<Exit> {
    let session = Session::open(context)?;
    let lock = session.lock(context)?;
    let wishes = Wishes {
        yes: arguments.yes,
        choices: Choices::default(),
        secrets: match &arguments.secrets {
            Some(directory) => {
                GivenSecrets::read(&context.path(directory), &desired(&session.deployment)?)?
            }
            None => GivenSecrets::default(),
        },
        authority: arguments.authority,
    };
    let Some(story) = session.journals.find(arguments.rollout.as_deref())? else {
        if session.journals.rest_was_never_begun()? {
            drop(lock);
            return rest(context, &session, &wishes).await;
        }
        context
            .output
            .say("no rollout stands still: there is nothing to go on with");
        return Ok(Exit::Done);
    };
    session.open_authority(context, &wishes.authority, steps_left(&story))?;
    let journal = Journal::open(lock, session.deployment.id, story.header.rollout)?;
    let engine = engine(context, &session.agents, session.by.clone());
    let exit = run_journal(context, &engine, journal).await?;
    if story.header.plan.makes_hosts() && exit == Exit::Done {
        return rest(context, &session, &wishes).await;
    }
    Ok(exit)
}

fn steps_left(story: &Story) -> impl Iterator<Item = &Step> {
    story.header.plan.steps().filter(|step| {
        let progress = story.state.step(step.id);
        !matches!(
            progress.map(|progress| &progress.state),
            Some(StepState::Succeeded { .. } | StepState::Adopted)
        )
    })
}
