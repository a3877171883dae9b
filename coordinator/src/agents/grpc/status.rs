//! What a failed call means: the one translation of gRPC and transport errors to the port's.
//!
//! An error with a cause in this process comes from the transport, one without is the agent's
//! own word. Of the first kind, only a failed dial and a refused certificate are known to have
//! had no effect.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use omni_scale_proto::id::HostName;
use omni_scale_proto::lease;
use omni_scale_proto::role::HostRole;
use tokio::time::timeout;
use tonic::{Code, Response, Status};

use super::dial::{CertificateRefusal, DialError, Unconnected};
use crate::agents::{AgentError, Holder};

/// What separates an agent's words from its advice in the message of a status.
const HINT: &str = "\nhint: ";

/// A call to an agent, as its errors name it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) host: HostName,
    /// Completes "could not …".
    pub(super) tried: String,
    /// The role whose service is asked. None: every agent has the service.
    pub(super) role: Option<HostRole>,
}

impl Call {
    /// The same call, of a service that only agents with this role have.
    pub(super) fn of_role(self, role: HostRole) -> Self {
        let role = Some(role);
        Self { role, ..self }
    }

    /// What a status means.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(super) fn error(&self, status: Status) -> AgentError {
        let (host, tried) = (self.host.clone(), self.tried.clone());
        if status.source().is_some() {
            return self.transport_error(&status);
        }
        if let Some(lost) = lease::from_details(status.details()) {
            return AgentError::LeaseLost {
                host,
                tried,
                holder: lost.holder.map(Holder::from),
            };
        }
        let (message, hint) = words(status.message());
        match status.code() {
            Code::Unavailable | Code::ResourceExhausted | Code::Aborted => {
                AgentError::Unavailable {
                    host,
                    tried,
                    message,
                }
            }
            Code::Cancelled | Code::DeadlineExceeded => AgentError::Unknown {
                host,
                tried,
                source: message.into(),
            },
            // The server itself says this, without words, of services that it does not have.
            Code::Unimplemented if message.is_empty() => self.not_served(),
            Code::Ok | Code::Internal | Code::Unknown | Code::DataLoss | Code::Unimplemented => {
                AgentError::Faulty {
                    host,
                    tried,
                    message,
                }
            }
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unauthenticated => AgentError::Refused {
                host,
                tried,
                message,
                hint,
            },
        }
    }

    fn transport_error(&self, status: &Status) -> AgentError {
        let (host, tried) = (self.host.clone(), self.tried.clone());
        if let Some(refusal) = CertificateRefusal::find(status) {
            return AgentError::Refused {
                host,
                tried,
                message: format!("its agent {}", refusal.words()),
                hint: refusal.hint().to_owned(),
            };
        }
        match unconnected(status).cloned() {
            Some(Unconnected(error)) if matches!(*error, DialError::NotEnrolled) => {
                AgentError::NotEnrolled { host, tried }
            }
            Some(unconnected) => AgentError::Unreachable {
                host,
                tried,
                source: Box::new(unconnected),
            },
            None => AgentError::Unknown {
                host,
                tried,
                source: broken(status).into(),
            },
        }
    }

    /// The agent does not serve what was asked.
    fn not_served(&self) -> AgentError {
        let (message, hint) = match self.role {
            Some(role) => (
                format!("this agent has no role `{role}`"),
                format!(
                    "add `{role}` to `roles` in /etc/omni-scale/agent.toml on that host, then \
                     `sudo omni-scale-agent setup`"
                ),
            ),
            None => (
                "this agent does not know the request".to_owned(),
                "upgrade the agent's package on that host".to_owned(),
            ),
        };
        AgentError::Refused {
            host: self.host.clone(),
            tried: self.tried.clone(),
            message,
            hint,
        }
    }

    /// Nobody was reached.
    pub(super) fn unconnected(&self, error: DialError) -> AgentError {
        AgentError::Unreachable {
            host: self.host.clone(),
            tried: self.tried.clone(),
            source: Box::new(Unconnected(Arc::new(error))),
        }
    }

    /// The answer was not what the contract says.
    pub(super) fn faulty(&self, message: impl Into<String>) -> AgentError {
        AgentError::Faulty {
            host: self.host.clone(),
            tried: self.tried.clone(),
            message: message.into(),
        }
    }

    /// The bound has passed.
    pub(super) fn no_answer(&self, bound: Duration) -> AgentError {
        AgentError::Unknown {
            host: self.host.clone(),
            tried: self.tried.clone(),
            source: format!("no answer within {} s", bound.as_secs()).into(),
        }
    }

    /// The stream has ended before its last message.
    pub(super) fn cut_short(&self) -> AgentError {
        AgentError::Unknown {
            host: self.host.clone(),
            tried: self.tried.clone(),
            source: "the stream ended without an outcome".into(),
        }
    }

    /// The stream was ended before its last message, by the agent or on the way.
    pub(super) fn broken_off(&self, status: &Status) -> AgentError {
        let why = if status.source().is_some() {
            broken(status)
        } else {
            let (message, _) = words(status.message());
            format!("the agent ended the stream: {message}")
        };
        AgentError::Unknown {
            host: self.host.clone(),
            tried: self.tried.clone(),
            source: why.into(),
        }
    }

    /// The error of the call that proves a connection: what was really asked for was never sent.
    pub(super) fn unsent(error: AgentError) -> AgentError {
        match error {
            AgentError::Unknown {
                host,
                tried,
                source,
            } => AgentError::Unreachable {
                host,
                tried,
                source,
            },
            error => error,
        }
    }
}

/// The dial that failed, without the layers of tonic and hyper around it, which say nothing.
fn unconnected(status: &Status) -> Option<&Unconnected> {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<Unconnected>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// Why a connection broke, in the words of the lowest layer that says something.
fn broken(status: &Status) -> String {
    let mut lowest = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        lowest = error.to_string();
        cause = error.source();
    }
    // What rustls says of a stream that just ends, with a link for programmers.
    if lowest.contains("close_notify") {
        "it was closed at the other end".clone_into(&mut lowest);
    }
    format!("the connection broke: {lowest}")
}

fn words(message: &str) -> (String, String) {
    let (message, hint) = message.split_once(HINT).unwrap_or((message, ""));
    (message.to_owned(), hint.to_owned())
}

/// Waits for one answer.
pub(super) async fn within<T>(
    call: &Call,
    bound: Duration,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, AgentError> {
    match timeout(bound, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(call.error(status)),
        Err(_) => Err(call.no_answer(bound)),
    }
}
