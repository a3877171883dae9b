//! The model of Omni's client: on the host, and at the issuer.

use std::collections::{BTreeMap, BTreeSet};

use omni_scale_proto::client::{CheckedClient, ClientAction, client_difference};
use omni_scale_proto::v1::{self, ClientState};

use super::secret::SecretModel;

/// The client.
#[derive(Debug)]
pub struct ClientModel {
    /// What was registered from here, its number, and the versions of both secrets then.
    pub registered: Option<(v1::Client, u32, [u64; 2])>,
    /// Numbers of clients of ours that the issuer has.
    pub at_issuer: BTreeSet<u32>,
    /// How many were ever registered.
    pub count: u32,
    /// A login gives what Omni needs. `None`: nobody can tell.
    pub login: Option<bool>,
}

impl Default for ClientModel {
    fn default() -> Self {
        Self {
            registered: None,
            at_issuer: BTreeSet::new(),
            count: 0,
            login: Some(true),
        }
    }
}

impl ClientModel {
    fn versions(client: &v1::Client, secrets: &BTreeMap<String, SecretModel>) -> Option<[u64; 2]> {
        let version = |name: &String| {
            let secret = secrets.get(name)?;
            (!secret.consumed && !secret.candidate).then_some(secret.version)
        };
        Some([version(&client.id_secret)?, version(&client.secret_secret)?])
    }

    pub(super) fn observe(
        &self,
        client: &v1::Client,
        secrets: &BTreeMap<String, SecretModel>,
        generation: u64,
    ) -> v1::ClientObservation {
        let versions = Self::versions(client, secrets);
        let registered = self.registered.as_ref();
        let ours = registered.filter(|(_, _, stored)| versions == Some(*stored));
        let (state, id) = match (versions, ours) {
            (None, _) => (ClientState::Absent, String::new()),
            (Some(_), None) => (ClientState::Given, "given".to_owned()),
            (Some(_), Some((_, number, _))) if self.at_issuer.contains(number) => {
                (ClientState::Registered, format!("client-{number}"))
            }
            (Some(_), Some((_, number, _))) => (ClientState::Lost, format!("client-{number}")),
        };
        v1::ClientObservation {
            state: state.into(),
            client_id: id,
            registered: ours.map(|(client, ..)| client.clone()),
            generation,
            ..v1::ClientObservation::default()
        }
    }

    /// Registers what is missing. `half_way`: the issuer has it, and nobody has its secret.
    pub(super) fn apply(
        &mut self,
        client: &v1::Client,
        secrets: &mut BTreeMap<String, SecretModel>,
        half_way: bool,
    ) -> Result<(), String> {
        let checked = CheckedClient::try_from(client.clone()).map_err(|error| error.to_string())?;
        let observed = self.observe(client, secrets, 0);
        let change = client_difference(&checked, &observed).map_err(|error| error.to_string())?;
        if change.action == ClientAction::Keep {
            return Ok(());
        }
        self.count += 1;
        self.at_issuer.insert(self.count);
        if half_way {
            return Ok(());
        }
        for name in [&client.id_secret, &client.secret_secret] {
            let secret = secrets.entry(name.clone()).or_default();
            secret.version += 1;
            secret.candidate = false;
            secret.consumed = false;
        }
        let versions = Self::versions(client, secrets).ok_or("both were set")?;
        self.registered = Some((client.clone(), self.count, versions));
        self.at_issuer = [self.count].into();
        Ok(())
    }
}
