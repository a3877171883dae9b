//! How a call to the Engine fails.

use std::error::Error;

use omni_scale_proto::v1::FailureClass;

/// A call to the Engine that failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The socket is not there, refuses, or broke off.
    #[error("{attempt}: the Docker Engine does not answer")]
    Unreachable {
        /// What was tried, e.g. "cannot start container `omni-omni-1`".
        attempt: String,
        /// The connection's own error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The Engine took longer than the call is given.
    #[error("{attempt}: the Docker Engine gave no answer within {seconds} s")]
    TimedOut {
        /// What was tried.
        attempt: String,
        /// The bound.
        seconds: u64,
    },
    /// The container, image, network or volume is not there (404).
    #[error("{attempt}: {message}")]
    NotFound {
        /// What was tried.
        attempt: String,
        /// The Engine's words.
        message: String,
    },
    /// A name is taken, or the thing is in use (409).
    #[error("{attempt}: {message}")]
    Conflict {
        /// What was tried.
        attempt: String,
        /// The Engine's words.
        message: String,
    },
    /// The Engine tried and failed, or would not try (every other status).
    #[error("{attempt}: {message}")]
    Failed {
        /// What was tried.
        attempt: String,
        /// The HTTP status, or 0 for an error inside of a stream.
        status: u16,
        /// The Engine's words.
        message: String,
    },
    /// The Engine does not accept the API version that we speak.
    #[error("the Docker Engine accepts API versions from {minimum}; this agent speaks {spoken}")]
    VersionRefused {
        /// The oldest version that the Engine accepts.
        minimum: String,
        /// The newest version that we speak.
        spoken: String,
    },
    /// The Engine is older than what we need.
    #[error("the Docker Engine speaks API versions up to {newest}; this agent needs {needed}")]
    TooOld {
        /// The newest version that the Engine speaks.
        newest: String,
        /// The oldest version that we can do with.
        needed: String,
    },
    /// The answer is not one that the Engine's API describes.
    #[error("{attempt}: the Docker Engine's answer is not understood")]
    NotUnderstood {
        /// What was tried.
        attempt: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// What registries, networks, and an Engine that has just begun say when it may go better a little
/// later.
const PASSING: [&str; 13] = [
    // Its own restart is still bringing back the owner of the namespace.
    "cannot join network of a non running container",
    "connection refused",
    "connection reset",
    "i/o timeout",
    "TLS handshake timeout",
    "Client.Timeout exceeded",
    "context deadline exceeded",
    "no such host",
    "network is unreachable",
    "no route to host",
    "Temporary failure in name resolution",
    "server misbehaving",
    "toomanyrequests",
];

impl EngineError {
    /// Whether it may pass by itself.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => FailureClass::Transient,
            Self::Failed { message, .. }
            | Self::NotFound { message, .. }
            | Self::Conflict { message, .. } => {
                if PASSING.iter().any(|text| message.contains(text)) {
                    FailureClass::Transient
                } else {
                    FailureClass::Permanent
                }
            }
            Self::VersionRefused { .. } | Self::TooOld { .. } | Self::NotUnderstood { .. } => {
                FailureClass::Permanent
            }
        }
    }

    /// Whether the Engine itself was not there to answer.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_is_away_may_come_back() {
        let failed = |message: &str| EngineError::Failed {
            attempt: "cannot pull `x`".to_owned(),
            status: 500,
            message: message.to_owned(),
        };
        assert_eq!(
            failed("dial tcp 127.0.0.1:5000: connect: connection refused").class(),
            FailureClass::Transient
        );
        assert_eq!(failed("manifest unknown").class(), FailureClass::Permanent);
    }

    #[test]
    fn the_owner_of_a_namespace_may_be_started_yet() {
        let conflict = |message: &str| EngineError::Conflict {
            attempt: "cannot start container `x`".to_owned(),
            message: message.to_owned(),
        };
        assert_eq!(
            conflict("cannot join network of a non running container: 74a8").class(),
            FailureClass::Transient
        );
        assert_eq!(
            conflict("the name is taken").class(),
            FailureClass::Permanent
        );
    }
}
