//! What is done about Omni's client at the issuer.

use omni_scale_proto::client::{CheckedClient, ClientAction, client_difference};
use omni_scale_proto::operation::Target;
use omni_scale_proto::v1::{self, check::Kind};

use super::stack::OUTCOME_UNKNOWN;
use super::{Context, Draft, gates};
use crate::agents::Action;
use crate::plan::desired::{DesiredClient, Wave};
use crate::plan::refusal::{DesiredError, PlanError, PlanRefusal};
use crate::plan::step::{Change, GateCheck, Recovery, SecretState, UsedSecret};

/// One request, and another one when a reply was lost.
const DEADLINE_SECONDS: u32 = 180;

/// The step, when there is something to do.
pub(super) fn step(context: &Context<'_>) -> Result<Option<Draft>, PlanError> {
    let Some(wanted) = &context.desired.client else {
        return Ok(None);
    };
    let host = &context.desired.stack.host;
    let unknown = |reason: String| PlanError::Refused {
        refusals: vec![PlanRefusal::StateUnknown {
            host: host.clone(),
            what: "the state of Omni's OIDC client is not known".to_owned(),
            reason,
        }],
    };
    let client = CheckedClient::try_from(wanted.client.clone()).map_err(DesiredError::from)?;
    let Some(observed) = &context.stack_facts.client else {
        return Err(unknown("it was not asked".to_owned()));
    };
    let difference = client_difference(&client, observed).map_err(|error| unknown(error.reason))?;
    let mut reasons = difference.reasons;
    if context
        .stack_facts
        .target(&Target::Client)
        .is_some_and(|target| target.outcome_unknown)
    {
        reasons.push(OUTCOME_UNKNOWN.to_owned());
    }
    if difference.action == ClientAction::Keep && reasons.is_empty() {
        return Ok(None);
    }
    let state = match difference.action {
        ClientAction::Keep => SecretState::Unchanged,
        ClientAction::Register | ClientAction::Replace => SecretState::New,
    };
    let secrets = [client.id_secret(), client.secret_secret()].map(|name| UsedSecret {
        name: name.clone(),
        state,
    });
    Ok(Some(Draft {
        host: host.clone(),
        generation: context.stack_facts.generation(&Target::Client) + 1,
        deadline_seconds: DEADLINE_SECONDS,
        recovery: Recovery::Hold {
            advice: "put right what it says, then `omni-scale resume`".to_owned(),
        },
        changes: vec![Change {
            subject: "omni client".to_owned(),
            verb: match difference.action {
                ClientAction::Keep => "verify",
                ClientAction::Register => "register",
                ClientAction::Replace => "replace",
            }
            .to_owned(),
            effect: difference.effect,
            reasons,
            secrets: secrets.into(),
        }],
        action: Action::ApplyClient {
            client: wanted.client.clone(),
        },
    }))
}

/// The secrets that a step of the plan gives new values, so that what uses them is made anew.
pub(super) fn renewed(step: Option<&Draft>) -> Vec<String> {
    // A client that is only looked at keeps its values.
    let used = step.into_iter().flat_map(|step| &step.changes);
    used.flat_map(|change| &change.secrets)
        .filter(|secret| secret.state == SecretState::New)
        .map(|secret| secret.name.to_string())
        .collect()
}

/// A login with it must give what Omni needs.
pub(super) fn login(context: &Context<'_>, wanted: &DesiredClient) -> GateCheck {
    let check = gates::check(
        Wave::Client,
        &context.desired.stack.host,
        "login",
        format!("a login at {} gives what Omni needs", wanted.client.issuer),
        0,
        Kind::Login(v1::LoginCheck {
            client: Some(wanted.client.clone()),
            expected_emails: wanted.expected_emails.clone(),
            unverified_email_accepted: wanted.unverified_email_accepted,
            ..v1::LoginCheck::default()
        }),
    );
    GateCheck {
        unknown_will_do: context.choices.accept_unproven_identity,
        ..check
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::fake::FakeAgents;
    use crate::plan::{Choices, Desired, Plan, Scope, examples, plan};
    use crate::rollout::{SystemClock, observe};

    async fn planned(desired: &Desired, agents: &FakeAgents) -> Plan {
        let scope = Scope::of(desired);
        agents.world().skew_to(&SystemClock);
        let observed = observe(&agents.seat(), &SystemClock, &scope).await;
        plan(desired, &observed, Choices::default()).unwrap()
    }

    /// `verb subject` of every change, with its wave.
    fn changes(plan: &Plan) -> Vec<String> {
        let steps = plan.steps().flat_map(|step| {
            let changes = step.changes.iter();
            changes
                .map(move |change| format!("{} {} {}", step.id.wave, change.verb, change.subject))
        });
        steps.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_registration_brings_is_not_missing() {
        let desired = examples::with_client();
        let agents = FakeAgents::new(&desired);
        let plan = planned(&desired, &agents).await;
        assert_eq!(plan.ends_before(), None);
        assert!(changes(&plan).contains(&"3 register omni client".to_owned()));
        let wave = plan.wave(Wave::Client).unwrap();
        let login = |check: &&GateCheck| matches!(check.check.kind, Some(Kind::Login(_)));
        assert_eq!(wave.gate.iter().filter(login).count(), 1);
        assert_eq!(wave.gate.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_somebody_set_is_left_alone_and_still_has_to_log_in() {
        let desired = examples::with_client();
        let agents = FakeAgents::new(&desired);
        let client = &desired.client.as_ref().unwrap().client;
        for secret in [&client.id_secret, &client.secret_secret] {
            agents.world().host("omni").set_secret(secret);
        }
        let plan = planned(&desired, &agents).await;
        assert!(plan.wave(Wave::Client).unwrap().steps.is_empty());
        assert_eq!(plan.wave(Wave::Client).unwrap().gate.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_whose_operation_has_no_known_end_is_only_looked_at() {
        let desired = examples::with_client();
        let agents = FakeAgents::new(&desired);
        agents.converge(&desired);
        {
            let mut world = agents.world();
            let targets = &mut world.host("omni").targets;
            let target = targets.entry(Target::Client.to_string()).or_default();
            target.pretend_running();
            target.interrupt();
        }
        let plan = planned(&desired, &agents).await;
        assert_eq!(changes(&plan), ["3 verify omni client"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_or_another_client_is_registered_and_omni_made_anew() {
        let mut desired = examples::with_client();
        let agents = FakeAgents::new(&desired);
        agents.converge(&desired);
        assert!(planned(&desired, &agents).await.is_noop());

        agents.world().host("omni").client.at_issuer.clear();
        let lost = planned(&desired, &agents).await;
        let expected = ["3 register omni client", "5 recreate omni"];
        assert_eq!(changes(&lost), expected);
        agents.carry_out(&lost);
        assert!(planned(&desired, &agents).await.is_noop());

        let client = &mut desired.client.as_mut().unwrap().client;
        client.redirect_uri = "https://other.tail.example.net/oidc/consume".to_owned();
        let other = planned(&desired, &agents).await;
        assert_eq!(
            changes(&other),
            ["3 replace omni client", "5 recreate omni"]
        );
        agents.carry_out(&other);
        assert!(planned(&desired, &agents).await.is_noop());
        assert_eq!(agents.world().host("omni").client.at_issuer.len(), 1);
    }
}
