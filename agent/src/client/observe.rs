//! The client as a whole: what is stored and by whom, and whether the issuer still has it.

use std::time::Duration;

use omni_scale_proto::client::CheckedClient;
use omni_scale_proto::v1::{ClientObservation, ClientState};
use tokio::time::timeout;

use super::omni_client::{OmniClient, Stored};
use super::record::Registration;

/// The longest that an observation waits for a list. A list that does not come speaks against
/// nothing.
const LISTED_WITHIN: Duration = Duration::from_secs(5);

impl OmniClient {
    /// Looks at everything now. The caller adds the generation.
    pub async fn observe(&self, client: &CheckedClient) -> ClientObservation {
        let stored = self.stored(client);
        let mut observation = ClientObservation {
            client_id: stored.shown_id().unwrap_or_default().to_owned(),
            ..ClientObservation::default()
        };
        let state = match stored {
            Stored::Missing { reason, .. } => {
                reason.clone_into(&mut observation.summary);
                ClientState::Absent
            }
            Stored::Given(_) => {
                "its id and secret were set by somebody, and are left alone"
                    .clone_into(&mut observation.summary);
                ClientState::Given
            }
            Stored::Registered { registration, .. } => {
                let (state, summary) = self.look_for(client, &registration).await;
                observation.summary = summary;
                observation.registered = Some(registration.client);
                state
            }
        };
        observation.set_state(state);
        let proven = self.records.get().proven;
        let proven = proven.filter(|proof| {
            !observation.client_id.is_empty() && proof.client_id == observation.client_id
        });
        if let Some(proof) = proven {
            observation.proven_at_milliseconds = proof.at_milliseconds;
            observation.proven_email = proof.email;
        }
        observation
    }

    /// Whether the issuer still has what was registered.
    async fn look_for(
        &self,
        client: &CheckedClient,
        registration: &Registration,
    ) -> (ClientState, String) {
        let (issuer, id) = (&registration.client.issuer, &registration.id);
        let registered = format!("registered at {issuer} as `{id}`");
        if *issuer != client.as_wire().issuer {
            // Another one is wanted: what the former one says of it changes nothing.
            return (ClientState::Registered, registered);
        }
        let listed = timeout(LISTED_WITHIN, self.issuer.list(client)).await;
        let doubt = match listed {
            Ok(Ok(listed)) if listed.iter().any(|client| client.id == *id) => {
                return (
                    ClientState::Registered,
                    format!("{registered}, which lists it"),
                );
            }
            Ok(Ok(_)) => {
                let summary = format!("{registered}, which does not have it any more");
                return (ClientState::Lost, summary);
            }
            Ok(Err(error)) if error.is_no() => "which does not list its clients to this host",
            Ok(Err(_)) | Err(_) => "which was not there to be asked",
        };
        (ClientState::Registered, format!("{registered}, {doubt}"))
    }
}
