//! Omni's OIDC client at a tsidp of ours: what it may be, and what must be done to get there.

use serde::{Deserialize, Serialize};

use crate::effect::{Effect, UnknownState};
use crate::id::{DeploymentId, InvalidId, SecretName, Sha256};
use crate::unit::{InvalidUnit, check_issuer};
use crate::v1::{self, ClientState};

/// The longest redirect address and the longest name, in bytes.
const LONGEST: usize = 512;

/// A [`v1::Client`] that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedClient {
    wire: v1::Client,
    id: SecretName,
    secret: SecretName,
}

impl CheckedClient {
    /// The client as it travels.
    pub const fn as_wire(&self) -> &v1::Client {
        &self.wire
    }

    /// The secret of the host that holds its id.
    pub const fn id_secret(&self) -> &SecretName {
        &self.id
    }

    /// The secret of the host that holds its secret.
    pub const fn secret_secret(&self) -> &SecretName {
        &self.secret
    }
}

/// Why a [`v1::Client`] is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClient {
    /// An identifier is malformed.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The issuer has another form.
    #[error(transparent)]
    Issuer(#[from] InvalidUnit),
    /// Another field that cannot be meant.
    #[error("client field `{field}`: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// Why.
        reason: &'static str,
    },
}

impl TryFrom<v1::Client> for CheckedClient {
    type Error = InvalidClient;

    fn try_from(wire: v1::Client) -> Result<Self, InvalidClient> {
        let field = |field, reason| InvalidClient::Field { field, reason };
        check_issuer(&wire.issuer)?;
        let is_text = |text: &str| {
            let usable = text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
            usable && (1..=LONGEST).contains(&text.len()) && text.trim() == text
        };
        let redirect = &wire.redirect_uri;
        if !redirect.starts_with("https://") || redirect.contains([' ', '#']) || !is_text(redirect)
        {
            return Err(field("redirect_uri", "is no https address"));
        }
        if !is_text(&wire.client_name) {
            return Err(field("client_name", "is no name of 1 to 512 characters"));
        }
        if wire.extra_roots_pem.contains("PRIVATE KEY") {
            return Err(field("extra_roots_pem", "holds a private key"));
        }
        let id: SecretName = wire.id_secret.parse()?;
        let secret: SecretName = wire.secret_secret.parse()?;
        if id == secret {
            return Err(field("secret_secret", "is that of the id, too"));
        }
        Ok(Self { wire, id, secret })
    }
}

/// The name that clients of a deployment have at the issuer. Nobody else's has it.
pub fn client_name(deployment: DeploymentId) -> String {
    format!("omni-scale {deployment}")
}

/// The digest of what the issuer is told and of where id and secret are kept. Whom we trust while
/// asking does not count.
pub fn client_digest(client: &CheckedClient) -> Sha256 {
    use prost::Message as _;
    let mut wire = client.wire.clone();
    wire.extra_roots_pem.clear();
    Sha256::of(&wire.encode_to_vec())
}

/// What is done about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAction {
    /// It is as it should be, or somebody's own.
    Keep,
    /// There is none: one is registered.
    Register,
    /// There is another one: the right one is registered, and the other one goes.
    Replace,
}

/// The difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientChange {
    /// What is done.
    pub action: ClientAction,
    /// Why, for people; empty when nothing is done.
    pub reasons: Vec<String>,
    /// How much it disturbs.
    pub effect: Effect,
}

/// What must be done so that the client is what it should be.
pub fn client_difference(
    client: &CheckedClient,
    observed: &v1::ClientObservation,
) -> Result<ClientChange, UnknownState> {
    let register = |reason: &str| ClientChange {
        action: ClientAction::Register,
        reasons: vec![reason.to_owned()],
        effect: Effect::Start,
    };
    let keep = ClientChange {
        action: ClientAction::Keep,
        reasons: Vec::new(),
        effect: Effect::None,
    };
    match observed.state() {
        ClientState::Unspecified => Err(UnknownState {
            subject: "Omni's OIDC client".to_owned(),
            reason: observed.summary.clone(),
        }),
        ClientState::Absent => Ok(register("its id and secret are not on the host")),
        ClientState::Lost => Ok(register("the issuer does not know it any more")),
        ClientState::Given => Ok(keep),
        ClientState::Registered => {
            let before = observed.registered.clone().unwrap_or_default();
            let wanted = &client.wire;
            let fields = [
                ("issuer", &before.issuer, &wanted.issuer),
                (
                    "redirect address",
                    &before.redirect_uri,
                    &wanted.redirect_uri,
                ),
                ("name", &before.client_name, &wanted.client_name),
            ];
            let changed = fields.iter().filter(|(_, before, wanted)| before != wanted);
            let reasons: Vec<String> = changed
                .map(|(field, before, wanted)| format!("{field} `{before}` → `{wanted}`"))
                .collect();
            if reasons.is_empty() {
                return Ok(keep);
            }
            Ok(ClientChange {
                action: ClientAction::Replace,
                reasons,
                effect: Effect::Recreate,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> v1::Client {
        v1::Client {
            issuer: "https://tsidp.tail.test".to_owned(),
            redirect_uri: "https://sidero.tail.test/oidc/consume".to_owned(),
            client_name: "omni-scale 6f0e".to_owned(),
            id_secret: "omni-client-id".to_owned(),
            secret_secret: "omni-client-secret".to_owned(),
            extra_roots_pem: String::new(),
        }
    }

    fn changed(change: impl FnOnce(&mut v1::Client)) -> Result<CheckedClient, InvalidClient> {
        let mut wire = wire();
        change(&mut wire);
        CheckedClient::try_from(wire)
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(changed(|_| {}).is_ok());
        let refused: [fn(&mut v1::Client); 8] = [
            |wire| wire.issuer.push('/'),
            |wire| wire.redirect_uri = "http://sidero.tail.test/oidc/consume".to_owned(),
            |wire| wire.redirect_uri.push_str("#part"),
            |wire| wire.redirect_uri.push('\n'),
            |wire| wire.client_name.clear(),
            |wire| wire.client_name = "x".repeat(LONGEST + 1),
            |wire| wire.secret_secret.clone_from(&wire.id_secret),
            |wire| wire.extra_roots_pem = "-----BEGIN PRIVATE KEY-----".to_owned(),
        ];
        for (number, change) in refused.into_iter().enumerate() {
            assert!(changed(change).is_err(), "number {number}");
        }
    }

    #[test]
    fn each_state_has_its_change() {
        let client = changed(|_| {}).unwrap();
        let action = |state: ClientState, registered: Option<v1::Client>| {
            let observed = v1::ClientObservation {
                state: state.into(),
                registered,
                ..v1::ClientObservation::default()
            };
            client_difference(&client, &observed).map(|change| change.action)
        };
        assert!(action(ClientState::Unspecified, None).is_err());
        let register = Ok(ClientAction::Register);
        assert_eq!(action(ClientState::Absent, None), register);
        assert_eq!(action(ClientState::Lost, Some(wire())), register);
        assert_eq!(action(ClientState::Given, None), Ok(ClientAction::Keep));
        let same = v1::Client {
            extra_roots_pem: "others".to_owned(),
            ..wire()
        };
        assert_eq!(
            action(ClientState::Registered, Some(same)),
            Ok(ClientAction::Keep)
        );
        let other = v1::Client {
            redirect_uri: "https://omni.tail.test/oidc/consume".to_owned(),
            ..wire()
        };
        assert_eq!(
            action(ClientState::Registered, Some(other)),
            Ok(ClientAction::Replace)
        );
    }

    #[test]
    fn whom_we_trust_is_no_part_of_the_digest() {
        let one = client_digest(&changed(|_| {}).unwrap());
        let roots = changed(|wire| wire.extra_roots_pem = "others".to_owned());
        assert_eq!(one, client_digest(&roots.unwrap()));
        let other = changed(|wire| wire.redirect_uri.push('2'));
        assert_ne!(one, client_digest(&other.unwrap()));
    }
}
