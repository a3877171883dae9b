//! The one who looks after Omni's client: everything it needs, in one place.
//!
//! What it does stands in [`super::apply`], [`super::observe`] and [`super::login`].

use std::path::PathBuf;
use std::sync::Arc;

use omni_scale_proto::client::CheckedClient;
use omni_scale_proto::id::SecretName;
use omni_scale_proto::v1::{FailureClass, SecretUse};

use super::aside::aside;
use super::issuer::Issuer;
use super::record::{ClientRecord, ClientRecords, FILE, Registration};
use crate::operation::Failure;
use crate::record::RecordError;
use crate::secrets::{SecretRecord, SecretValue, Secrets};
use crate::tailnet::Tailnet;

/// What an [`OmniClient`] is made of.
pub struct ClientParts {
    /// Who asks tsidp.
    pub issuer: Arc<dyn Issuer>,
    /// The host's own node, for the address in a grant.
    pub tailnet: Arc<dyn Tailnet>,
    /// The secrets of this host.
    pub secrets: Arc<Secrets>,
    /// The agent's directory for the client.
    pub directory: PathBuf,
}

/// Looks after Omni's client.
pub struct OmniClient {
    pub(super) issuer: Arc<dyn Issuer>,
    pub(super) tailnet: Arc<dyn Tailnet>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) records: ClientRecords,
}

impl std::fmt::Debug for OmniClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OmniClient")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl OmniClient {
    /// Reads what is remembered of the client. Blocks.
    pub fn open(parts: ClientParts) -> Result<Arc<Self>, RecordError> {
        let records = ClientRecords::open(&parts.directory, FILE)?;
        for id in records.get().ids() {
            parts.secrets.reveal(id);
        }
        Ok(Arc::new(Self {
            records,
            issuer: parts.issuer,
            tailnet: parts.tailnet,
            secrets: parts.secrets,
        }))
    }

    /// What is stored under the names of `client`, and by whom.
    pub(super) fn stored(&self, client: &CheckedClient) -> Stored {
        let value = |name: &SecretName| {
            let value = self.secrets.get(name)?;
            let record = self.secrets.record(name)?;
            Some((value, record))
        };
        let id = value(client.id_secret());
        let secret = value(client.secret_secret());
        Stored::judge(&self.records.get(), id, secret)
    }

    /// Does work on files without holding up others. It is finished even when the caller goes away.
    pub(super) async fn blocking<Out, Work>(self: &Arc<Self>, work: Work) -> Result<Out, Failure>
    where
        Out: Send + 'static,
        Work: FnOnce(&Self) -> Result<Out, Failure> + Send + 'static,
    {
        let this = Arc::clone(self);
        aside(move || work(&this)).await.unwrap_or_else(|error| {
            let text = format!("work on files broke off: {error}");
            Err(Failure::new(FailureClass::Bug, text))
        })
    }

    /// Changes the record.
    pub(super) async fn remember(
        self: &Arc<Self>,
        change: impl FnOnce(&mut ClientRecord) + Send + 'static,
    ) -> Result<(), Failure> {
        self.blocking(move |this| {
            // A disk that is full can be emptied, and asking again goes on from here.
            let kept = this.records.update(change);
            kept.map_err(|error| Failure::from_error(FailureClass::Transient, &error))
        })
        .await
    }
}

/// An id and a secret that are stored.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    /// Without the white space around it: a line break that came with the value is no part of it.
    pub(super) id: String,
    pub(super) secret: SecretValue,
    /// Who set them has said that they are a client's. A caller names the secrets of this host that
    /// they are taken from: what nobody has called so is shown to nobody, and sent to nobody.
    pub(super) are_a_clients: bool,
}

/// What is stored, and by whom.
#[derive(Debug, Clone)]
pub(super) enum Stored {
    /// Neither, or one of them; or the secret of the registration that was answered last, and
    /// another id than its, because the agent died in between.
    Missing {
        /// Which is missing, for people.
        reason: &'static str,
    },
    /// Both, as somebody set them.
    Given(Credentials),
    /// Both, as this agent registered them.
    Registered {
        credentials: Credentials,
        registration: Box<Registration>,
    },
}

type Value = (SecretValue, SecretRecord);

impl Stored {
    fn judge(record: &ClientRecord, id: Option<Value>, secret: Option<Value>) -> Self {
        let text = |value: &SecretValue| {
            let text = String::from_utf8_lossy(value.expose());
            text.trim().to_owned()
        };
        let missing = |reason| Self::Missing { reason };
        let ((id, id_record), (secret, secret_record)) = match (id, secret) {
            (Some(id), Some(secret)) => (id, secret),
            (None, None) => return missing("neither its id nor its secret is stored here"),
            (None, Some(_)) => return missing("its secret is stored here, its id is not"),
            (Some(_), None) => return missing("its id is stored here, its secret is not"),
        };
        let credentials = Credentials {
            id: text(&id),
            secret: SecretValue::new(secret.expose().trim_ascii().to_vec()),
            are_a_clients: id_record.usage == SecretUse::OidcClientId
                && secret_record.usage == SecretUse::OidcClientSecret,
        };
        let (id_digest, secret_digest) = (id_record.keyed_digest, secret_record.keyed_digest);
        let open = record.attempt.as_ref();
        let answer = open.and_then(|open| open.answer.as_ref());
        let matching =
            |one: &&Registration| one.id_digest == id_digest && one.secret_digest == secret_digest;
        let known = [answer, record.registered.as_ref()];
        if let Some(registration) = known.into_iter().flatten().find(matching) {
            return Self::Registered {
                credentials,
                registration: Box::new(registration.clone()),
            };
        }
        if answer.is_some_and(|answer| answer.secret_digest == secret_digest) {
            return missing("its secret is stored here, and beside it the id of another one");
        }
        Self::Given(credentials)
    }

    /// The id that is stored, where it is known to be one.
    pub(super) fn shown_id(&self) -> Option<&str> {
        match self {
            Self::Missing { .. } => None,
            Self::Given(credentials) => credentials.are_a_clients.then_some(&*credentials.id),
            Self::Registered { registration, .. } => Some(&registration.id),
        }
    }
}
