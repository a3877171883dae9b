//! What root's `setup` asks of systemd about the agent's own unit. The daemon itself may do none of this.

use std::time::Duration;

use super::Systemd;
use crate::unit::error::UnitsError;
use crate::unit::job::Job;
use crate::unit::units::Units as _;

/// systemd reads its files at once, and the agent is ready within a second after its old self has
/// drained; a bus that is silent for longer is none.
const BOUND: Duration = Duration::from_secs(20);

/// Why systemd did not do it.
#[derive(Debug, thiserror::Error)]
pub enum OwnUnitError {
    /// The bus or systemd refused.
    #[error("systemd did not {action}")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// What the bus said.
        #[source]
        source: zbus::Error,
    },
    /// It began to, and the agent did not come up.
    #[error(transparent)]
    Restart(#[from] UnitsError),
    /// No answer in time.
    #[error("systemd did not answer within {} s", 2 * BOUND.as_secs())]
    TimedOut,
}

/// Has systemd read its unit files anew and restart a unit. Returns when that is up.
pub async fn reload_and_restart(unit: &str) -> Result<(), OwnUnitError> {
    let ask = async {
        let refused = |action| move |source| OwnUnitError::Refused { action, source };
        let bus = zbus::Connection::system()
            .await
            .map_err(refused("answer on the system bus"))?;
        let manager = |method| {
            (
                Some("org.freedesktop.systemd1"),
                "/org/freedesktop/systemd1",
                Some("org.freedesktop.systemd1.Manager"),
                method,
            )
        };
        let (name, path, interface, method) = manager("Reload");
        bus.call_method(name, path, interface, method, &())
            .await
            .map_err(refused("reload its unit files"))?;
        Ok(Systemd::on_system_bus()
            .run(unit, Job::Restart, BOUND)
            .await?)
    };
    tokio::time::timeout(2 * BOUND, ask)
        .await
        .map_err(|_| OwnUnitError::TimedOut)?
}
