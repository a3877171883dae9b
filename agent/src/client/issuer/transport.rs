//! How a question comes to an issuer and its answer back: the seam between what tsidp is asked and
//! the library that carries it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::Cause;

/// From the beginning of a question to the end of its answer.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes: some two hundred listed clients.
pub const LARGEST_ANSWER: usize = 64 * 1024;

/// What is done to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes.
    Post,
    /// Deletes.
    Delete,
}

/// In which form a question's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}

/// One question over HTTP.
pub struct Question {
    /// What is done.
    pub method: Method,
    /// The address: `https://HOST[:PORT]/…`.
    pub url: String,
    /// What is sent along, which may be secret.
    pub content: Option<(ContentType, Zeroizing<Vec<u8>>)>,
    /// Trusted beside the host's authorities, as PEM.
    pub extra_roots_pem: String,
}

impl fmt::Debug for Question {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Question")
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// What came back.
pub struct Reply {
    /// The HTTP status code.
    pub status: u16,
    /// All of the content; or why it did not come, or not all of it.
    pub content: Result<Zeroizing<Vec<u8>>, String>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reply")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nobody was reached: no byte of the question was sent.
    #[error("there is no connection")]
    NotSent(#[source] Cause),
    /// The question was sent, at least in part, and no status came back.
    #[error("no answer came back")]
    Lost(#[source] Cause),
}

/// Carries questions, each once: nothing is retried, and no redirect is followed. Bounded by
/// [`ANSWERED_WITHIN`] and [`LARGEST_ANSWER`].
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Asks.
    async fn ask(&self, question: Question) -> Result<Reply, TransportError>;
}
