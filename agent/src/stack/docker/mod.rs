//! The Docker Engine, over its unix socket, with bollard. No type of bollard leaves this folder.
//!
//! A connection is made for each request; what is kept is the negotiated API version, and that
//! is thrown away as soon as the Engine is not there, since another one may come back.
//!
//! bollard writes request and response bodies, secrets included, to the `log` crate at debug
//! level: nothing may ever forward that crate's records to our own log.

mod activity;
mod body;
mod containers;
mod details;
mod execution;
mod fault;
mod images;
mod resources;
mod time;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use tokio::time::timeout;

use super::engine::EngineError;
use fault::engine_error;

/// How long an ordinary request may take. The Engine answers slowly while it pulls or prunes.
const REQUEST: Duration = Duration::from_secs(60);

/// The oldest API that has all we use: Engine 20.10, Debian 12's.
const OLDEST: ClientVersion = ClientVersion {
    major_version: 1,
    minor_version: 41,
};

/// A Docker Engine behind a unix socket. It need not be there yet.
#[derive(Debug)]
pub struct DockerEngine {
    socket: PathBuf,
    negotiated: Mutex<Option<Docker>>,
    left: execution::LeftCommands,
}

impl DockerEngine {
    /// The Engine that listens on `socket`. Connects to nothing.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            negotiated: Mutex::new(None),
            left: execution::LeftCommands::default(),
        }
    }

    /// Makes one request within `bound`.
    async fn call<T, F>(
        &self,
        attempt: &str,
        bound: Duration,
        request: impl FnOnce(Docker) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let client = self.client(attempt).await?;
        // The header of an answer comes late when the request itself takes long.
        let client = client.with_timeout(bound);
        let answer = match timeout(bound, request(client)).await {
            Ok(answer) => answer.map_err(engine_error(attempt)),
            Err(_) => Err(EngineError::TimedOut {
                attempt: attempt.to_owned(),
                seconds: bound.as_secs(),
            }),
        };
        if let Err(EngineError::Unreachable { .. }) = answer {
            self.forget();
        }
        answer
    }

    /// The client, with a version that this Engine accepts.
    async fn client(&self, attempt: &str) -> Result<Docker, EngineError> {
        if let Some(client) = self.kept() {
            return Ok(client);
        }
        let connect = async {
            let path = self.socket.to_string_lossy();
            let client = Docker::connect_with_unix(&path, REQUEST.as_secs(), API_DEFAULT_VERSION)?
                .negotiate_version()
                .await?;
            let version = client.version().await?;
            Ok((client, version))
        };
        let (client, version) = match timeout(REQUEST, connect).await {
            Ok(connected) => connected.map_err(engine_error(attempt))?,
            Err(_) => {
                return Err(EngineError::TimedOut {
                    attempt: attempt.to_owned(),
                    seconds: REQUEST.as_secs(),
                });
            }
        };
        check_versions(
            version.api_version.as_deref().unwrap_or_default(),
            version.min_api_version.as_deref().unwrap_or_default(),
        )?;
        *self.lock() = Some(client.clone());
        Ok(client)
    }

    fn kept(&self) -> Option<Docker> {
        self.lock().clone()
    }

    fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Docker>> {
        self.negotiated
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// bollard only ever lowers its version, and never looks at the oldest one the Engine accepts.
fn check_versions(newest: &str, oldest: &str) -> Result<(), EngineError> {
    if parsed(newest).is_some_and(|newest| newest < OLDEST) {
        return Err(EngineError::TooOld {
            newest: newest.to_owned(),
            needed: OLDEST.to_string(),
        });
    }
    if parsed(oldest).is_some_and(|oldest| oldest > *API_DEFAULT_VERSION) {
        return Err(EngineError::VersionRefused {
            minimum: oldest.to_owned(),
            spoken: API_DEFAULT_VERSION.to_string(),
        });
    }
    Ok(())
}

fn parsed(version: &str) -> Option<ClientVersion> {
    let (major, minor) = version.split_once('.')?;
    Some(ClientVersion {
        major_version: major.parse().ok()?,
        minor_version: minor.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_refused_by_both_ends_of_its_version_range() {
        assert!(check_versions("1.41", "1.12").is_ok());
        assert!(check_versions("1.99", "1.44").is_ok());
        assert!(matches!(
            check_versions("1.40", "1.12"),
            Err(EngineError::TooOld { .. })
        ));
        assert!(matches!(
            check_versions("2.1", "2.0"),
            Err(EngineError::VersionRefused { .. })
        ));
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_an_absence() {
        let engine = DockerEngine::new("/nonexistent/docker.sock");
        let error = engine.client("cannot look").await.unwrap_err();
        assert!(error.is_absence(), "{error}");
    }
}
