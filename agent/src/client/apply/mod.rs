//! Makes the client so: observe, act on the difference, write down. Running it twice is harmless, it
//! may be killed at any instant, and in the end the issuer has one client of ours, whose id and
//! secret are the ones that are stored.
//!
//! In order: what was answered and not all stored is stored; what is in order is kept; clients of
//! ours whose secret nobody has are deleted; a new one is registered and stored; what it replaces is
//! deleted last, so that a registration that fails leaves the old one in force.

mod failures;
mod store;
mod sweep;

#[cfg(test)]
mod kills;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use omni_scale_proto::client::{CheckedClient, ClientAction, client_difference};
use omni_scale_proto::v1::{ClientObservation, ClientState, FailureClass};
use tokio::time::{Instant, timeout_at};

use super::omni_client::{OmniClient, Stored};
use super::record::Registration;
use crate::operation::{Done, Failure, Reporter};

/// What progress is about.
const SUBJECT: &str = "omni client";

impl OmniClient {
    /// Makes the client what `client` says, until the deadline at most.
    pub async fn apply(
        self: &Arc<Self>,
        client: &CheckedClient,
        deadline: Instant,
        reporter: &Reporter,
    ) -> Result<Done, Failure> {
        let reconciled = timeout_at(deadline, self.reconcile(client, reporter)).await;
        reconciled.unwrap_or_else(|_| Err(failures::late(client)))
    }

    async fn reconcile(
        self: &Arc<Self>,
        client: &CheckedClient,
        reporter: &Reporter,
    ) -> Result<Done, Failure> {
        self.finish_storing().await?;
        let observation = self.observe(client).await;
        let change = client_difference(client, &observation)
            .map_err(|unknown| Failure::from_error(FailureClass::Transient, &unknown))?;
        match change.action {
            ClientAction::Keep => self.keep(client, &observation, reporter).await,
            ClientAction::Register | ClientAction::Replace => {
                reporter.stage(SUBJECT, change.reasons.join("; "));
                let lost = observation.state() == ClientState::Lost;
                let in_force = self.in_force().filter(|_| !lost);
                self.renew(client, in_force, reporter).await
            }
        }
    }

    /// Nothing is registered. What an interrupted registration left behind is tidied up.
    async fn keep(
        self: &Arc<Self>,
        client: &CheckedClient,
        observation: &ClientObservation,
        reporter: &Reporter,
    ) -> Result<Done, Failure> {
        let record = self.records.get();
        let mut done = Done::new(format!(
            "Omni's OIDC client is as it should be: {}",
            observation.summary
        ));
        let tidy = record.attempt.is_none() && record.former.is_none() && !record.unswept;
        if tidy || observation.state() != ClientState::Registered {
            return Ok(done);
        }
        let swept = self
            .sweep(client, Some(&observation.client_id), reporter)
            .await?;
        done.warnings = swept.warnings;
        if let Some(open) = swept.closed.as_ref().and(record.attempt) {
            done.warnings.push(failures::perhaps_left(&open));
        }
        Ok(done)
    }

    /// Registers a client, and stores it.
    async fn renew(
        self: &Arc<Self>,
        client: &CheckedClient,
        in_force: Option<Registration>,
        reporter: &Reporter,
    ) -> Result<Done, Failure> {
        let kept = in_force.as_ref().map(|registration| &*registration.id);
        let swept = self.sweep(client, kept, reporter).await?;
        if let (Some(closed), Some(open)) = (&swept.closed, self.records.get().attempt) {
            // Whether there is a client of that attempt cannot be seen, and another one may not
            // come beside it.
            return Err(self.answer_lost(closed, &open).await);
        }
        let registered = self.ask_for_one(client, reporter).await?;
        let id = registered.id.clone();
        reporter.stage(SUBJECT, "storing its id and secret");
        self.store(client, registered).await?;
        let last = self.sweep(client, Some(&id), reporter).await?;
        let wire = client.as_wire();
        Ok(Done {
            summary: format!(
                "registered Omni's OIDC client `{}` at {} as `{id}`",
                wire.client_name, wire.issuer
            ),
            warnings: [swept.warnings, last.warnings].concat(),
        })
    }

    /// The registration that is stored, under the names that it had.
    fn in_force(&self) -> Option<Registration> {
        let last = self.records.get().registered?;
        let client = CheckedClient::try_from(last.client).ok()?;
        match self.stored(&client) {
            Stored::Registered { registration, .. } => Some(*registration),
            Stored::Missing { .. } | Stored::Given(_) => None,
        }
    }
}
