//! bollard's errors in the port's words.

use bollard::errors::Error;

use crate::stack::engine::EngineError;

/// Says what was tried when the Engine says no.
pub(super) fn engine_error(attempt: &str) -> impl FnOnce(Error) -> EngineError {
    let attempt = attempt.to_owned();
    move |error| match error {
        Error::DockerResponseServerError {
            status_code,
            message,
        } => answered(attempt, status_code, &message),
        Error::DockerStreamError { error } | Error::DockerContainerWaitError { error, .. } => {
            EngineError::Failed {
                attempt,
                status: 0,
                message: error,
            }
        }
        error @ (Error::IOError { .. }
        | Error::HyperResponseError { .. }
        | Error::HyperLegacyError { .. }
        | Error::SocketNotFoundError(_)) => EngineError::Unreachable {
            attempt,
            source: Box::new(error),
        },
        Error::RequestTimeoutError => EngineError::Unreachable {
            attempt,
            source: "the bound of the request has passed".into(),
        },
        other => EngineError::NotUnderstood {
            attempt,
            source: Box::new(other),
        },
    }
}

fn answered(attempt: String, status: u16, message: &str) -> EngineError {
    let message = message.trim().to_owned();
    match status {
        404 => EngineError::NotFound { attempt, message },
        409 => EngineError::Conflict { attempt, message },
        _ => EngineError::Failed {
            attempt,
            status,
            message,
        },
    }
}

/// Turns "it is not there" into an answer.
pub(super) fn if_there<T>(answer: Result<T, EngineError>) -> Result<Option<T>, EngineError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(EngineError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
