//! Looking at a target: does what an action is for hold, and what has its agent done to it?

mod machine;

use omni_scale_proto::client::{CheckedClient, client_difference};
use omni_scale_proto::difference::{ServiceAction, stack_difference};
use omni_scale_proto::effect::UnknownState;
use omni_scale_proto::id::HostName;
use omni_scale_proto::stack::CheckedStack;
use omni_scale_proto::unit::{CheckedUnit, UnitAction, unit_difference};
use omni_scale_proto::v1;

use super::event::StepFailure;
use super::observe::bounded;
use crate::agents::{Action, Agents, Class};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// Why the goal does not hold. Empty: it holds.
    pub(super) missing: Vec<String>,
    /// The target's generation.
    pub(super) generation: u64,
    /// The operation that runs. Empty: none.
    pub(super) running: String,
    /// An operation began and its end is not known.
    pub(super) outcome_unknown: bool,
}

impl View {
    /// The goal holds, and nothing is under way that could change it.
    pub(super) const fn is_settled(&self) -> bool {
        self.missing.is_empty() && self.running.is_empty() && !self.outcome_unknown
    }
}

/// Looks at the target of an action.
pub(super) async fn look(
    agents: &dyn Agents,
    host: &HostName,
    action: &Action,
) -> Result<View, StepFailure> {
    let failed = |error| StepFailure::of(&error);
    // First what runs, then what is there: an operation that ends in between is seen as running,
    // and looked at again.
    let described = bounded(host, "describe", agents.describe(host))
        .await
        .map_err(failed)?;
    let (missing, generation) = match action {
        Action::ApplyUnit { configuration } => {
            let question = agents.observe_unit(host);
            let observed = bounded(host, "observe the unit", question)
                .await
                .map_err(failed)?;
            (unit_missing(configuration, &observed)?, observed.generation)
        }
        Action::ApplyStack { name, .. } => {
            let question = agents.observe_stack(host, name, &[]);
            let observed = bounded(host, "observe the stack", question)
                .await
                .map_err(failed)?;
            (stack_missing(action, &observed)?, observed.generation)
        }
        Action::ApplyClient { client } => {
            let question = agents.observe_client(host, client);
            let observed = bounded(host, "observe Omni's client", question)
                .await
                .map_err(failed)?;
            (client_missing(client, &observed)?, observed.generation)
        }
        Action::ApplyMachine { .. } | Action::EnrollHost { .. } => {
            let seen = machine::see(agents, host, action).await?;
            let generation = seen.as_ref().map_or(0, |seen| seen.generation);
            (
                machine::missing(agents, action, seen.as_ref()).await?,
                generation,
            )
        }
    };
    let target = action.target().to_string();
    let status = described
        .targets
        .into_iter()
        .find(|status| status.target == target)
        .unwrap_or_default();
    Ok(View {
        missing,
        generation: generation.max(status.generation),
        running: status.running_operation_id,
        outcome_unknown: status.outcome_unknown,
    })
}

fn unit_missing(
    configuration: &v1::UnitConfiguration,
    observed: &v1::UnitObservation,
) -> Result<Vec<String>, StepFailure> {
    let unit = CheckedUnit::try_from(configuration.clone()).map_err(|error| nonsense(&error))?;
    let change = unit_difference(&unit, observed).map_err(|error| unknown(&error))?;
    Ok(match change.action {
        UnitAction::Keep => Vec::new(),
        UnitAction::Verify | UnitAction::Start | UnitAction::Install | UnitAction::Reconfigure => {
            change
                .reasons
                .into_iter()
                .map(|reason| format!("tsidp: {reason}"))
                .collect()
        }
    })
}

fn client_missing(
    client: &v1::Client,
    observed: &v1::ClientObservation,
) -> Result<Vec<String>, StepFailure> {
    let client = CheckedClient::try_from(client.clone()).map_err(|error| nonsense(&error))?;
    let change = client_difference(&client, observed).map_err(|error| unknown(&error))?;
    let reasons = change.reasons.into_iter();
    Ok(reasons
        .map(|reason| format!("omni client: {reason}"))
        .collect())
}

fn stack_missing(
    action: &Action,
    observed: &v1::StackObservation,
) -> Result<Vec<String>, StepFailure> {
    let Action::ApplyStack {
        stack,
        services,
        remove_orphans,
        ..
    } = action
    else {
        return Ok(Vec::new());
    };
    let stack = CheckedStack::try_from(stack.clone()).map_err(|error| nonsense(&error))?;
    let changes = stack_difference(&stack, services, observed).map_err(|error| unknown(&error))?;
    let different = changes
        .into_iter()
        .filter(|change| change.action != ServiceAction::Keep)
        .map(|change| format!("{}: {}", change.service, change.reasons.join(", ")));
    let containers = observed
        .services
        .iter()
        .map(|service| &service.container_id);
    let orphans = observed.orphans.iter().map(|orphan| &orphan.container_id);
    let left = containers
        .chain(orphans)
        .filter(|id| remove_orphans.contains(id))
        .map(|id| format!("container {id} is still there"));
    Ok(different.chain(left).collect())
}

pub(super) fn unknown(error: &UnknownState) -> StepFailure {
    failure(Class::Transient, error)
}

/// A plan was checked when it was made, so this is our own fault.
pub(super) fn nonsense(error: &dyn std::error::Error) -> StepFailure {
    failure(Class::Bug, error)
}

pub(super) fn failure(class: Class, error: &dyn std::error::Error) -> StepFailure {
    StepFailure {
        class,
        message: super::event::chain(error),
        hint: String::new(),
        evidence: Vec::new(),
        operation_spent: false,
    }
}
