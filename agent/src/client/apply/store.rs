//! From a question to a stored answer. Each step is on the disk before the next one begins: that it
//! is asked, what was answered, the secret, the id, and that all is done.

use std::sync::Arc;

use omni_scale_proto::client::CheckedClient;
use omni_scale_proto::v1::SecretUse;

use super::SUBJECT;
use crate::client::issuer::{IssuerError, Registered};
use crate::client::omni_client::OmniClient;
use crate::client::record::{Attempt, Former, Registration};
use crate::clock;
use crate::error::chain;
use crate::operation::{Failure, Reporter};
use crate::secrets::SecretValue;

impl OmniClient {
    /// Registers a client. When what became of it is unknown, the attempt stays in the record.
    pub(super) async fn ask_for_one(
        self: &Arc<Self>,
        client: &CheckedClient,
        reporter: &Reporter,
    ) -> Result<Registered, Failure> {
        let wire = client.as_wire();
        reporter.stage(SUBJECT, format!("registering it at {}", wire.issuer));
        let attempt = Attempt {
            client: wire.clone(),
            at_milliseconds: clock::now_milliseconds(),
            answer: None,
        };
        self.remember(|record| record.attempt = Some(attempt))
            .await?;
        match self.issuer.register(client).await {
            Ok(registered) => Ok(registered),
            Err(error) => {
                if !matches!(error, IssuerError::Unknown { .. })
                    && let Err(failure) = self.remember(|record| record.attempt = None).await
                {
                    // The next try then looks for a client that is not there, which is harmless.
                    tracing::warn!(error = %chain(&failure), "an attempt stays in the record");
                }
                Err(self.not_registered(client, &error).await)
            }
        }
    }

    /// Stores a client that was registered just now.
    pub(super) async fn store(
        self: &Arc<Self>,
        client: &CheckedClient,
        registered: Registered,
    ) -> Result<(), Failure> {
        let Registered { id, secret } = registered;
        let id_value = SecretValue::new(id.clone().into_bytes());
        let registration = Registration {
            client: client.as_wire().clone(),
            id_digest: self.secrets.digest_of(client.id_secret(), &id_value),
            secret_digest: self.secrets.digest_of(client.secret_secret(), &secret),
            id,
        };
        self.secrets.reveal(&registration.id);
        let answer = registration.clone();
        self.remember(|record| {
            if let Some(attempt) = &mut record.attempt {
                attempt.answer = Some(answer);
            }
        })
        .await?;
        let name = client.secret_secret().clone();
        self.blocking(move |this| {
            this.secrets
                .put_for(&name, &secret, SecretUse::OidcClientSecret)?;
            Ok(())
        })
        .await?;
        self.store_id(client, registration).await
    }

    /// Finishes what an earlier run of the agent had begun to store: its answer is on the disk, and
    /// so is the secret.
    pub(super) async fn finish_storing(self: &Arc<Self>) -> Result<(), Failure> {
        let open = self.records.get().attempt;
        let Some(answer) = open.and_then(|open| open.answer) else {
            return Ok(());
        };
        let Ok(client) = CheckedClient::try_from(answer.client.clone()) else {
            return Ok(());
        };
        let name = client.secret_secret();
        let stored = self.secrets.get(name).is_some();
        if !stored || self.secrets.keyed_digest(name).as_ref() != Some(&answer.secret_digest) {
            // It was lost with the agent. What it belongs to is deleted like any other client of
            // ours whose secret nobody has.
            return Ok(());
        }
        self.store_id(&client, answer).await
    }

    /// The last two steps.
    async fn store_id(
        self: &Arc<Self>,
        client: &CheckedClient,
        registration: Registration,
    ) -> Result<(), Failure> {
        let name = client.id_secret().clone();
        let id = SecretValue::new(registration.id.clone().into_bytes());
        self.blocking(move |this| {
            this.secrets.put_for(&name, &id, SecretUse::OidcClientId)?;
            Ok(())
        })
        .await?;
        self.remember(|record| {
            let before = record.registered.take();
            if let Some(before) = before.filter(|before| before.id != registration.id) {
                record.former = Some(Former {
                    client: before.client,
                    id: before.id,
                });
            }
            record.registered = Some(registration);
            record.attempt = None;
            record.unswept = true;
        })
        .await
    }
}
