//! `plan`: what would be done, and why.

use omni_scale_proto::v1;

use super::Context;
use super::context::desired;
use crate::arguments::PlanArguments;
use crate::deployment::Deployment;
use crate::exit::Exit;
use crate::files::{self, Access, Existing};
use crate::output::{Activity, Style};
use crate::pki::Expiry;
use crate::plan::{
    Choices, Desired, Detail, LineKind, Observed, Plan, Scope, SecretState, lines, plan,
};
use crate::rollout::observe;
use omni_scale_proto::effect::Effect;
use time::{Duration, OffsetDateTime};

/// Runs it.
pub(super) async fn run(context: &Context, arguments: PlanArguments) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    let desired = desired(&deployment)?;
    let agents = context.agents(&deployment)?;
    let activity = Activity::new(&context.output);
    activity.wait("plan", "looking at the hosts");
    let scope = Scope::of(&desired);
    let observed = observe(agents.as_ref(), context.clock.as_ref(), &scope).await;
    drop(activity);
    let choices = Choices {
        remove_orphans: arguments.remove_orphans,
        accept_unproven_identity: arguments.accept_unproven_identity,
    };
    let plan = make(context, &deployment, &desired, &observed, choices)?;
    show(context, &plan)?;
    if let Some(file) = &arguments.file {
        let path = context.path(file);
        let json = plan.to_json().to_string();
        // A value that a user's Compose file spells out stands in it.
        files::write(&path, json.as_bytes(), Access::Private, Existing::Replace)?;
        context.output.say(&format!(
            "wrote the plan; run it with `omni-scale apply {}`",
            file.display()
        ));
    }
    Ok(Exit::Done)
}

/// Makes a plan from what was observed; tells what to know of the deployment, and of certificates
/// that end soon.
pub(super) fn make(
    context: &Context,
    deployment: &Deployment,
    desired: &Desired,
    observed: &Observed,
    choices: Choices,
) -> anyhow::Result<Plan> {
    for warning in &deployment.warnings {
        context.output.warn(warning);
    }
    for host in observed.hosts.keys() {
        if let Some(facts) = observed.facts(host) {
            warn_of_host(context, host.as_str(), &facts.describe);
        }
    }
    Ok(plan(desired, observed, choices)?)
}

/// Says when an agent's certificate ends soon.
pub(super) fn warn_of_host(context: &Context, host: &str, described: &v1::DescribeResponse) {
    let end = described.certificate_not_after_milliseconds;
    if end == 0 {
        return;
    }
    // What an agent says may be any number.
    let Some(end) = OffsetDateTime::UNIX_EPOCH.checked_add(Duration::milliseconds(end)) else {
        return;
    };
    let what = format!("the certificate of host `{host}`");
    let renew = format!("omni-scale renew {host}");
    context.warn_of_expiry(Expiry::of(end, context.now()), &what, &renew);
}

/// Prints a plan.
pub(super) fn show(context: &Context, plan: &Plan) -> anyhow::Result<()> {
    if context.output.is_json() {
        return Ok(context.output.json("plan", &plan.to_json())?);
    }
    let detail = if context.output.surface().verbosity > 0 {
        Detail::Full
    } else {
        Detail::Brief
    };
    for line in lines(plan, detail) {
        let text = context.output.paint(style(line.kind), &line.to_string());
        context.output.data(&text)?;
    }
    Ok(())
}

/// What a line of a plan means.
const fn style(kind: LineKind) -> Style {
    match kind {
        LineKind::Wave | LineKind::Summary => Style::Strong,
        LineKind::Step(effect) | LineKind::Change(effect) => match effect {
            Effect::None => Style::Faint,
            Effect::Start => Style::Good,
            Effect::Restart | Effect::Recreate => Style::Warning,
            Effect::Identity => Style::Bad,
        },
        LineKind::Warning | LineKind::Secret(SecretState::New | SecretState::Changed) => {
            Style::Warning
        }
        LineKind::Reason | LineKind::Recovery | LineKind::Gate | LineKind::Secret(_) => {
            Style::Faint
        }
        LineKind::Note => Style::Plain,
    }
}
