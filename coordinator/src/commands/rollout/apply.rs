//! `apply`: makes a plan or takes one, shows it, asks, runs it; and when it has made hosts, the
//! same again for what comes after.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use uuid::Uuid;

use super::given::GivenSecrets;
use super::run::{RUNNING_WAIT, engine, run as run_journal, tell};
use super::session::Session;
use crate::agents::Agents as _;
use crate::arguments::{ApplyArguments, AuthorityArguments};
use crate::commands::context::desired;
use crate::commands::{Context, operator, plan};
use crate::exit::Exit;
use crate::files;
use crate::journal::{Header, Journal, JournalLock, RolloutId};
use crate::output::{Activity, Stop, date, unless_unread};
use crate::plan::{Choices, Observed, Plan, PlanError, PlanRefusal, Scope};
use crate::rollout::{
    Engine, Happening, RolloutEvents, RolloutResult, basis_refusal, observe_settled,
};

/// What a person wants of a rollout beside its plan.
pub(super) struct Wishes {
    /// Nobody is asked.
    pub(super) yes: bool,
    pub(super) choices: Choices,
    pub(super) secrets: GivenSecrets,
    pub(super) authority: AuthorityArguments,
}

/// Runs it.
pub(in crate::commands) async fn run(
    context: &Context,
    arguments: ApplyArguments,
) -> anyhow::Result<Exit> {
    let session = Session::open(context)?;
    let lock = session.lock(context)?;
    session.journals.warn_of_unreadable(context)?;
    let wishes = Wishes {
        yes: arguments.yes,
        choices: Choices {
            remove_orphans: arguments.remove_orphans,
            accept_unproven_identity: arguments.accept_unproven_identity,
        },
        secrets: match &arguments.secrets {
            Some(directory) => {
                GivenSecrets::read(&context.path(directory), &desired(&session.deployment)?)?
            }
            None => GivenSecrets::default(),
        },
        authority: arguments.authority,
    };
    if let Some(file) = &arguments.plan {
        let plan = Plan::from_json(&files::read(&context.path(file))?, session.deployment.id)?;
        // With steps it is the engine that compares, under the leases.
        if plan.is_noop() {
            let observed = observe_hosts(context, &session, plan.scope()).await?;
            if let Some(refusal) = basis_refusal(&plan, &observed) {
                let result = RolloutResult::Refused(refusal);
                tell(context, None, &result)?;
                return Ok(result.exit());
            }
        }
        return run_plan(context, &session, &wishes, plan, lock).await;
    }
    wishes.secrets.put(context, &session).await?;
    let plan = new_plan(context, &session, wishes.choices).await?;
    let makes_hosts = plan.makes_hosts();
    let exit = run_plan(context, &session, &wishes, plan, lock).await?;
    if makes_hosts && exit == Exit::Done {
        return rest(context, &session, &wishes).await;
    }
    Ok(exit)
}

/// What comes after hosts were made.
pub(super) async fn rest(
    context: &Context,
    session: &Session,
    wishes: &Wishes,
) -> anyhow::Result<Exit> {
    // Once the engine has listened for them, signals do nothing by themselves any more.
    let next = tokio::select! {
        biased;
        next = begin_rest(context, session, wishes) => next?,
        () = context.interrupts.next() => {
            let text = "stopped: the hosts are made, and nothing was begun after that; \
                        `omni-scale apply` goes on";
            context.output.say(text);
            return Ok(Exit::Held);
        }
    };
    next.run(context).await
}

async fn begin_rest(context: &Context, session: &Session, wishes: &Wishes) -> anyhow::Result<Next> {
    let lock = session.lock(context)?;
    wishes.secrets.put(context, session).await?;
    match new_plan(context, session, wishes.choices).await {
        Ok(plan) => begin(context, session, wishes, plan, lock).await,
        Err(error) => only_secrets_are_missing(context, error).map(Next::Ended),
    }
}

/// Hosts that were made just now cannot have their secrets: that is how far it can go.
fn only_secrets_are_missing(context: &Context, error: anyhow::Error) -> anyhow::Result<Exit> {
    let Some(PlanError::Refused { refusals }) = error.downcast_ref() else {
        return Err(error);
    };
    let is_secret = |refusal: &PlanRefusal| matches!(refusal, PlanRefusal::SecretMissing { .. });
    if !refusals.iter().all(is_secret) {
        return Err(error);
    }
    context
        .output
        .say("the hosts are made; set these secrets, then `omni-scale apply` goes on:");
    for refusal in refusals {
        let what = refusal.hint().unwrap_or_default();
        context.output.say(&format!("{refusal}: {what}"));
    }
    Ok(Exit::Done)
}

/// What is to be done about a plan.
enum Next {
    /// Nothing more.
    Ended(Exit),
    /// It is agreed to, and written down.
    Run(Box<(Engine, Journal)>),
}

impl Next {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            Self::Ended(exit) => Ok(exit),
            Self::Run(agreed) => {
                let (engine, journal) = *agreed;
                run_journal(context, &engine, journal).await
            }
        }
    }
}

async fn run_plan(
    context: &Context,
    session: &Session,
    wishes: &Wishes,
    plan: Plan,
    lock: JournalLock,
) -> anyhow::Result<Exit> {
    let next = begin(context, session, wishes, plan, lock).await?;
    next.run(context).await
}

/// Everything before the first act of a plan.
async fn begin(
    context: &Context,
    session: &Session,
    wishes: &Wishes,
    plan: Plan,
    lock: JournalLock,
) -> anyhow::Result<Next> {
    push_deny_list(context, session).await?;
    if !context.output.is_json() {
        unless_unread(plan::show(context, &plan))?;
    }
    if plan.is_noop() {
        return nothing_to_do(context, session).map(Next::Ended);
    }
    if !wishes.yes {
        confirm(context).await?;
    }
    session.open_authority(context, &wishes.authority, plan.steps())?;
    let engine = engine(context, &session.agents, session.by.clone());
    let lock = give_up_earlier(context, &engine, session, lock).await?;
    let header = Header {
        deployment: session.deployment.id,
        rollout: RolloutId::new(Uuid::new_v4()),
        created: context.clock.now_milliseconds(),
        by: session.by.clone(),
        plan,
    };
    let journal = Journal::create(lock, header)?;
    Ok(Next::Run(Box::new((engine, journal))))
}

/// A plan without steps ends here. It replaces no earlier rollout: one that stands still is told,
/// lest its cause is taken for mended.
fn nothing_to_do(context: &Context, session: &Session) -> anyhow::Result<Exit> {
    let Some(story) = session.journals.unfinished()?.pop() else {
        if context.output.is_json() {
            tell(context, None, &RolloutResult::Done { changed: false })?;
        }
        return Ok(Exit::Done);
    };
    let rollout = story.header.rollout.to_string();
    let phase = story.state.phase().word();
    let since = story.records.last();
    let since = date(since.map_or(story.header.created, |record| record.time));
    let result = RolloutResult::Held {
        reason: format!(
            "the hosts are as the deployment says, and rollout {rollout} ({phase}) has stood still since {since}"
        ),
        advice: "`omni-scale status` shows how the parts are".to_owned(),
        failed: story.state.failed_checks().to_vec(),
    };
    tell(context, Some(&rollout), &result)?;
    Ok(result.exit())
}

async fn new_plan(context: &Context, session: &Session, choices: Choices) -> anyhow::Result<Plan> {
    let desired = desired(&session.deployment)?;
    let observed = observe_hosts(context, session, &Scope::of(&desired)).await?;
    plan::make(context, &session.deployment, &desired, &observed, choices)
}

/// What the hosts are, once nothing runs there any more.
async fn observe_hosts(
    context: &Context,
    session: &Session,
    scope: &Scope,
) -> anyhow::Result<Observed> {
    // Their coordinator is dead: we hold the lock that it would need.
    let ours: BTreeSet<String> = session
        .journals
        .unfinished()?
        .iter()
        .map(|story| story.header.rollout.to_string())
        .collect();
    let activity = Activity::new(&context.output);
    activity.wait("plan", "looking at the hosts");
    Ok(observe_settled(
        session.agents.as_ref(),
        context.clock.as_ref(),
        scope,
        &|rollout| ours.contains(rollout),
        RUNNING_WAIT,
        &Waits(&activity),
    )
    .await?)
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

async fn confirm(context: &Context) -> anyhow::Result<()> {
    let stop = match context.confirm("Apply this plan?").await? {
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
    session: &Session,
    mut lock: JournalLock,
) -> anyhow::Result<JournalLock> {
    for story in session.journals.unfinished()? {
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
async fn push_deny_list(context: &Context, session: &Session) -> anyhow::Result<()> {
    let (deployment, agents) = (&session.deployment, session.agents.as_ref());
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
