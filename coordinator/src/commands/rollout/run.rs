//! Running the engine while a person watches, and may ask it to stop.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::agents::grpc::GrpcAgents;
use crate::commands::Context;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::output::{RolloutDisplay, explain, result_json, unless_unread};
use crate::rollout::{Engine, EngineError, RolloutResult, Settings, Stopper};

/// Whoever holds a lease keeps it: waiting would only hide that somebody is at work.
const LEASE_WAIT: Duration = Duration::ZERO;
/// An operation of a lost coordinator ends by its own deadline, which is shorter.
pub(super) const RUNNING_WAIT: Duration = Duration::from_secs(1800);

/// An engine for these agents.
pub(super) fn engine(context: &Context, agents: &Arc<GrpcAgents>, by: String) -> Engine {
    let agents = Arc::clone(agents);
    let settings = Settings {
        by,
        lease_wait: LEASE_WAIT,
        running_wait: RUNNING_WAIT,
    };
    Engine::new(
        agents,
        Arc::clone(&context.issuers),
        Arc::clone(&context.clock),
        settings,
    )
}

/// Runs the rollout of a journal to its end, or until it stands still.
pub(super) async fn run(
    context: &Context,
    engine: &Engine,
    journal: Journal,
) -> anyhow::Result<Exit> {
    let rollout = journal.header().rollout.to_string();
    let plan = journal.header().plan.clone();
    context.output.detail(&format!("rollout {rollout}"));
    let display = RolloutDisplay::new(&context.output, &plan);
    let Some(result) = until_stopped(context, engine, journal, &display).await? else {
        context
            .output
            .say("left at once; `omni-scale resume` goes on");
        return Ok(Exit::Held);
    };
    drop(display);
    tell(context, Some(&rollout), &result)?;
    if let (RolloutResult::Done { .. }, Some(wave)) = (&result, plan.ends_before()) {
        context.output.say(&if plan.makes_hosts() {
            "the hosts are made: what comes after can be planned now".to_owned()
        } else {
            format!("it ends before {wave}: see the notes of the plan")
        });
    }
    Ok(result.exit())
}

/// Runs the engine. Ctrl-C asks it to stop; once more, and there is no result.
async fn until_stopped(
    context: &Context,
    engine: &Engine,
    journal: Journal,
    display: &RolloutDisplay<'_>,
) -> Result<Option<RolloutResult>, EngineError> {
    let (stopper, stop) = Stopper::new();
    let mut running = pin!(engine.run(journal, display, &stop));
    let mut asked = false;
    loop {
        tokio::select! {
            result = &mut running => return result.map(Some),
            () = context.interrupts.next() => {
                if asked {
                    return Ok(None);
                }
                asked = true;
                stopper.stop("somebody asked it to stop");
                let text = "stopping after the act that runs; Ctrl-C again leaves at once";
                context.output.say(text);
            }
        }
    }
}

/// Says how a rollout ended.
pub(super) fn tell(
    context: &Context,
    rollout: Option<&str>,
    result: &RolloutResult,
) -> anyhow::Result<()> {
    if context.output.is_json() {
        let value = result_json(rollout, result);
        let printed = context.output.json("rollout", &value);
        return unless_unread(printed);
    }
    match explain(result) {
        None => unless_unread(context.output.data("done")),
        Some(explanation) => {
            context.output.explain(&explanation);
            Ok(())
        }
    }
}
