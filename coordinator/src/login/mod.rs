//! The probe login: this machine goes to the issuer as a browser of its user would, and comes back
//! with a code. Only the host that has the client's secret can turn the code into a token.
//!
//! tsidp asks no question: it knows the user by the device that comes. Source: tailscale/tsidp,
//! server/authorize.go.

#[cfg(any(test, feature = "testing"))]
mod fake;
mod https;

use std::fmt;

use async_trait::async_trait;

#[cfg(any(test, feature = "testing"))]
pub use fake::{FakeIssuers, LoginTrouble};
pub use https::HttpsIssuers;

/// What the issuer is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRequest {
    /// https, no trailing slash.
    pub issuer: String,
    /// The client's id.
    pub client_id: String,
    /// Exactly as it was registered.
    pub redirect_uri: String,
    /// Comes back in the token.
    pub nonce: String,
    /// PEM certificates that are trusted beside this machine's own.
    pub extra_roots_pem: String,
}

/// What the issuer gave. It is worth nothing without the client's secret, and is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginCode(pub String);

impl fmt::Debug for LoginCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LoginCode(…)")
    }
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The issuer cannot be reached from this machine, or breaks off.
    #[error("{issuer} cannot be asked from this machine")]
    Unreachable {
        /// Who was asked.
        issuer: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The issuer has no such client, or another redirect address for it.
    #[error("{issuer} does not know Omni's client: {answer}")]
    Client {
        /// Who was asked.
        issuer: String,
        /// Its words, one line.
        answer: String,
    },
    /// The issuer answers otherwise.
    #[error("{issuer} gives no code: {answer}")]
    Refused {
        /// Who was asked.
        issuer: String,
        /// Its words, one line.
        answer: String,
    },
}

/// The issuers that this machine reaches.
#[async_trait]
pub trait Issuers: fmt::Debug + Send + Sync {
    /// Asks for a code in the name of whoever uses this machine. Bounded by the implementation.
    async fn code(&self, request: &LoginRequest) -> Result<LoginCode, LoginError>;
}
