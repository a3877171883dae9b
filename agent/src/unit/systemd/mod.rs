//! The adapter of [`Units`] to systemd over the system bus. zbus's types do not leave this folder.
//!
//! One connection serves all calls and is replaced when it breaks; each watcher sees the break as
//! [`Sighting::Lost`] and goes on when systemd answers again.

mod backoff;
mod error;
mod job;
mod own;
mod properties;
mod proxy;
#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tests;
mod watch;

pub use own::{OwnUnitError, reload_and_restart};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use zbus::Connection;

use self::backoff::Backoff;
use self::proxy::{ManagerProxy, UnitPropertiesProxy};
use super::error::UnitsError;
use super::job::Job;
use super::state::UnitState;
use super::units::{Sighting, Units};

/// Bound on one answer of the bus. systemd answers in milliseconds; polkit may have to be started.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

type Connect = dyn Fn() -> BoxFuture<'static, zbus::Result<Connection>> + Send + Sync;

/// systemd, over D-Bus. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Systemd {
    connect: Arc<Connect>,
    connection: Arc<Mutex<Option<Connection>>>,
    backoff: Backoff,
}

impl Systemd {
    /// systemd on the system bus. Connects when it is first asked.
    pub fn on_system_bus() -> Self {
        Self::with_connect(Arc::new(|| {
            Box::pin(
                zbus::connection::Builder::system()
                    .method_timeout(ANSWER_WITHIN)
                    .build(),
            )
        }))
    }

    fn with_connect(connect: Arc<Connect>) -> Self {
        Self {
            connect,
            connection: Arc::default(),
            backoff: Backoff::default(),
        }
    }

    /// The connection that stands, or a new one.
    async fn connection(&self) -> zbus::Result<Connection> {
        let standing = self.connection.lock().await.clone();
        if let Some(connection) = standing.filter(|connection| !connection.is_closed()) {
            return Ok(connection);
        }
        // Not under the lock: two callers may both connect, and the later one's connection stays.
        let connection = tokio::time::timeout(ANSWER_WITHIN, (self.connect)())
            .await
            .map_err(|_| zbus::Error::Failure("the bus does not answer".to_owned()))??;
        *self.connection.lock().await = Some(connection.clone());
        Ok(connection)
    }

    /// systemd, on a connection that stands and that it sends signals to.
    ///
    /// A connection may have ended without a sign: asking for signals shows it, and then a new one
    /// is tried once.
    async fn manager(&self) -> zbus::Result<ManagerProxy<'static>> {
        let manager = ManagerProxy::new(&self.connection().await?).await?;
        match subscribe(&manager).await {
            Err(zbus::Error::InputOutput(_)) => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(manager),
        }
        self.connection.lock().await.take();
        let manager = ManagerProxy::new(&self.connection().await?).await?;
        subscribe(&manager).await?;
        Ok(manager)
    }
}

/// Makes systemd send signals to this connection. Asking again changes nothing.
async fn subscribe(manager: &ManagerProxy<'_>) -> zbus::Result<()> {
    match manager.subscribe().await {
        Err(zbus::Error::MethodError(name, ..))
            if name.as_str() == "org.freedesktop.systemd1.AlreadySubscribed" =>
        {
            Ok(())
        }
        done => done,
    }
}

/// The state of a unit, read on this manager's connection.
async fn read_state(manager: &ManagerProxy<'static>, unit: &str) -> Result<UnitState, UnitsError> {
    let failed = |error| error::classify("observe", unit, error);
    let path = manager.load_unit(unit).await.map_err(failed)?;
    let unit_properties = UnitPropertiesProxy::builder(manager.inner().connection())
        .path(path)
        .build()
        .await
        .map_err(failed)?;
    read_properties(&unit_properties, unit).await
}

async fn read_properties(
    proxy: &UnitPropertiesProxy<'static>,
    unit: &str,
) -> Result<UnitState, UnitsError> {
    let failed = |error| error::classify("observe", unit, error);
    let of_unit = proxy
        .get_all("org.freedesktop.systemd1.Unit")
        .await
        .map_err(failed)?;
    let of_service = proxy
        .get_all("org.freedesktop.systemd1.Service")
        .await
        .map_err(failed)?;
    properties::read(&of_unit, Some(&of_service)).map_err(|error| UnitsError::Unreadable {
        unit: unit.to_owned(),
        what: error.to_string(),
    })
}

#[async_trait]
impl Units for Systemd {
    async fn observe(&self, unit: &str) -> Result<UnitState, UnitsError> {
        let failed = |error| error::classify("observe", unit, error);
        let manager = self.manager().await.map_err(failed)?;
        read_state(&manager, unit).await
    }

    async fn run(&self, unit: &str, job: Job, bound: Duration) -> Result<(), UnitsError> {
        job::run(self, unit, job, bound).await
    }

    async fn reset_failed(&self, unit: &str) -> Result<(), UnitsError> {
        let failed = |error| error::classify("reset-failed", unit, error);
        let manager = self.manager().await.map_err(failed)?;
        manager.reset_failed_unit(unit).await.map_err(failed)
    }

    fn watch(&self, unit: &str) -> tokio::sync::watch::Receiver<Sighting> {
        watch::start(self.clone(), unit.to_owned())
    }

    async fn version(&self) -> Result<String, UnitsError> {
        let failed = |error| error::classify("ask for the version of", "systemd", error);
        let manager = self.manager().await.map_err(failed)?;
        manager.version().await.map_err(failed)
    }
}

impl fmt::Debug for Systemd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Systemd").finish_non_exhaustive()
    }
}
