//! The port to what an issuer knows of its clients, and to its token endpoint.
//!
//! [`Issuer`] is the port; [`TsidpEndpoints`] speaks with a tsidp, of the current kind or the older
//! one, over whatever carries its questions ([`transport::Transport`]): HTTPS from this host, or a
//! test's model of a tsidp.

mod answer;
pub mod endpoints;
mod https;
#[cfg(test)]
mod tests;
pub mod transport;

use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use omni_scale_proto::client::CheckedClient;
use zeroize::Zeroizing;

pub(super) use self::answer::one_line;
pub use self::endpoints::TsidpEndpoints;
pub use self::https::Https;
use crate::secrets::SecretValue;

/// The longest id or name of a client that is believed, in bytes. tsidp's ids have 32.
const LONGEST_ID: usize = 512;

/// A client as its registration answered. Its secret is told this once.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: SecretValue,
}

/// A client as the issuer lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedClient {
    /// Its id.
    pub id: String,
    /// Its name. Empty: it has none.
    pub name: String,
    /// Where it may send browsers back to.
    pub redirect_uris: Vec<String>,
}

/// With what a code is exchanged.
#[derive(Clone, Copy)]
pub struct Exchange<'a> {
    /// The client's id.
    pub id: &'a str,
    /// The client's secret.
    pub secret: &'a SecretValue,
    /// The code, which is gone after one try.
    pub code: &'a str,
}

impl fmt::Debug for Exchange<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Exchange")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// An ID token, as it came. `Debug` hides it, and it is wiped when dropped.
#[derive(Clone)]
pub struct IdToken(Zeroizing<String>);

impl IdToken {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text. Only for reading its claims.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("IdToken(…)")
    }
}

/// What the transport's own library said. Its type stays in the adapter.
pub type Cause = Box<dyn Error + Send + Sync>;

/// What is asked of an issuer, in words that end a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// A new client.
    Register,
    /// All clients.
    List,
    /// A client goes.
    Delete,
    /// A code becomes a token.
    Exchange,
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Register => "register a client",
            Self::List => "list its clients",
            Self::Delete => "delete a client",
            Self::Exchange => "exchange a code for a token",
        })
    }
}

/// Why an issuer did not do what was asked, or why that is not known. The issuer's text is one
/// line of at most 200 characters and holds nothing that was secret in the question.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// It does not let this node, or this client. Nothing was done.
    #[error("{issuer} does not let this node {attempt}: {text}")]
    Refused {
        /// The issuer.
        issuer: String,
        /// What was asked.
        attempt: Attempt,
        /// Status and words of the issuer.
        text: String,
    },
    /// It has no such endpoint, or no such client. Nothing was done.
    #[error("{issuer} has no place to {attempt}: {text}")]
    NotThere {
        /// The issuer.
        issuer: String,
        /// What was asked.
        attempt: Attempt,
        /// Status and words of the issuer.
        text: String,
    },
    /// It does not do it for a reason of its own. Nothing was done.
    #[error("{issuer} did not {attempt}: {text}")]
    Rejected {
        /// The issuer.
        issuer: String,
        /// What was asked.
        attempt: Attempt,
        /// Status and words of the issuer.
        text: String,
    },
    /// Nothing was sent to it, so nothing was done.
    #[error("cannot reach {issuer} to {attempt}")]
    Unreachable {
        /// The issuer.
        issuer: String,
        /// What was to be asked.
        attempt: Attempt,
        /// What the connection said.
        #[source]
        source: Cause,
    },
    /// It was asked, and its answer says nothing, was lost, or is not understood.
    #[error("asked {issuer} to {attempt}, and what became of it is unknown: {reason}")]
    Unknown {
        /// The issuer.
        issuer: String,
        /// What was asked.
        attempt: Attempt,
        /// Why it is not known.
        reason: String,
    },
}

impl IssuerError {
    /// Whether the answer was given, and is no.
    pub const fn is_no(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::NotThere { .. } | Self::Rejected { .. }
        )
    }
}

/// What an issuer can be asked about its clients. Each question is bounded in time and size.
#[async_trait]
pub trait Issuer: fmt::Debug + Send + Sync {
    /// Makes a new client, whatever clients there are. Never retried: an answer that was lost
    /// ([`IssuerError::Unknown`]) may have left a client behind.
    async fn register(&self, client: &CheckedClient) -> Result<Registered, IssuerError>;

    /// All clients of `client`'s issuer, without their secrets.
    async fn list(&self, client: &CheckedClient) -> Result<Vec<ListedClient>, IssuerError>;

    /// Deletes a client for good. One that is not there is [`IssuerError::NotThere`].
    async fn delete(&self, client: &CheckedClient, id: &str) -> Result<(), IssuerError>;

    /// Exchanges the code of a login for its ID token. The code is gone afterwards.
    async fn exchange(
        &self,
        client: &CheckedClient,
        exchange: Exchange<'_>,
    ) -> Result<IdToken, IssuerError>;
}
