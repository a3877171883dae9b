//! `apply`: makes a plan or takes one, shows it, asks, runs it.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use uuid::Uuid;

use super::journals::Journals;
use super::run::{RUNNING_WAIT, engine, run as run_journal, tell};
use crate::agents::Agents as _;
use crate::agents::grpc::GrpcAgents;
use crate::arguments::ApplyArguments;
use crate::commands::context::desired;
use crate::commands::{Context, operator, plan};
use crate::deployment::Deployment;
use crate::exit::Exit;
use crate::files;
use crate::journal::{Header, Journal, JournalLock, RolloutId};
use crate::output::{Activity, Stop};
use crate::plan::{Choices, Plan, Scope};
use crate::rollout::{Engine, Happening, RolloutEvents, RolloutResult, observe_settled};

/// Runs it.
pub(in crate::commands) async fn run(
    context: &Context,
    arguments: ApplyArguments,
) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    let credential = context.credential(deployment.id)?;
    let agents = context.agents_of(&deployment, &credential)?;
    let by = context.holder(&credential);
    let journals = Journals::open(context, deployment.id)?;
    let lock = journals.lock(context, &by)?;
    let plan = if let Some(file) = &arguments.plan {
        Plan::from_json(&files::read(&context.path(file))?, deployment.id)?
    } else {
        let remove_orphans = arguments.remove_orphans;
        new_plan(context, &deployment, &agents, &journals, remove_orphans).await?
    };
    push_deny_list(context, &deployment, &agents).await?;
    if !context.output.is_json() {
        plan::show(context, &plan)?;
    }
    if plan.is_noop() {
        if context.output.is_json() {
            tell(context, None, &RolloutResult::Done { changed: false })?;
        }
        return Ok(Exit::Done);
    }
    if !arguments.yes {
        confirm(context)?;
    }
    let engine = engine(context, &agents, by.clone());
    let lock = give_up_earlier(context, &engine, &journals, lock).await?;
    let header = Header {
        deployment: deployment.id,
        rollout: RolloutId::new(Uuid::new_v4()),
        created: context.clock.now_milliseconds(),
        by,
        plan,
    };
    run_journal(context, &engine, Journal::create(lock, header)?).await
}

async fn new_plan(
    context: &Context,
    deployment: &Deployment,
    agents: &Arc<GrpcAgents>,
    journals: &Journals,
    remove_orphans: bool,
) -> anyhow::Result<Plan> {
    let desired = desired(deployment)?;
    // Their coordinator is dead: we hold the lock that it would need.
    let ours: BTreeSet<String> = journals
        .unfinished()?
        .iter()
        .map(|story| story.header.rollout.to_string())
        .collect();
    let activity = Activity::new(&context.output);
    activity.wait("plan", "looking at the hosts");
    let scope = Scope::of(&desired);
    let observed = observe_settled(
        agents.as_ref(),
        context.clock.as_ref(),
        &scope,
        &|rollout| ours.contains(rollout),
        RUNNING_WAIT,
        &Waits(&activity),
    )
    .await?;
    drop(activity);
    let choices = Choices { remove_orphans };
    plan::make(context, deployment, &desired, &observed, choices)
}

/// Shows what planning waits for.
struct Waits<'a>(&'a Activity<'a>);

impl RolloutEvents for Waits<'_> {
    fn tell(&self, happening: Happening) {
        if let Happening::Waiting { what, .. } = happening {
            self.0.wait("plan", &format!("waiting for {what}"));
        }
    }
}

fn confirm(context: &Context) -> anyhow::Result<()> {
    let stop = match context.confirm("Apply this plan?")? {
        Some(true) => return Ok(()),
        Some(false) => Stop::new(Exit::Usage, "not applied; nothing was changed"),
        None => Stop::new(
            Exit::Usage,
            "nobody can be asked: standard input is no terminal",
        )
        .hint("look at `omni-scale plan`, then run `omni-scale apply --yes`"),
    };
    Err(stop.into())
}

/// A new plan is made from what the hosts are, so an earlier rollout that stands still has
/// nothing left to say.
async fn give_up_earlier(
    context: &Context,
    engine: &Engine,
    journals: &Journals,
    mut lock: JournalLock,
) -> anyhow::Result<JournalLock> {
    for story in journals.unfinished()? {
        let (rollout, phase) = (story.header.rollout, story.state.phase().word());
        context.output.say(&format!(
            "rollout {rollout} ({phase}) is given up: this one goes on from what the hosts are"
        ));
        let mut journal = Journal::open(lock, story.header.deployment, rollout)?;
        engine.abort(&mut journal).await?;
        lock = journal.into_lock();
    }
    Ok(lock)
}

/// Hosts that did not answer when somebody was revoked learn of it now.
async fn push_deny_list(
    context: &Context,
    deployment: &Deployment,
    agents: &GrpcAgents,
) -> anyhow::Result<()> {
    let register = context.store(deployment.id, None)?.register()?;
    let version = register.deny_list_version();
    if version == 0 {
        return Ok(());
    }
    let pushed = join_all(deployment.hosts.keys().map(|host| async move {
        let described = agents.describe(host).await.ok()?;
        (described.deny_list_version < version).then_some(host)
    }))
    .await;
    for host in pushed.into_iter().flatten() {
        match operator::push(agents, host, &register, context.now()).await {
            Ok(()) => context
                .output
                .say(&format!("host `{host}` has the deny list now")),
            Err(error) => {
                let text = crate::rollout::chain(&error);
                context
                    .output
                    .warn(&format!("an older deny list stays in force: {text}"));
            }
        }
    }
    Ok(())
}
