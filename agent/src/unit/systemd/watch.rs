//! Follows a unit by systemd's signals, through restarts of the bus and of systemd's connection.
//!
//! A signal only says that something has changed: the state is then read as a whole. While the
//! connection is lost the unit is [`Sighting::Lost`], never what it was before.

use futures_util::StreamExt as _;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::proxy::UnitPropertiesProxy;
use super::{Systemd, error, read_properties, subscribe};
use crate::error::chain;
use crate::unit::error::UnitsError;
use crate::unit::units::Sighting;

/// Begins to follow `unit`; ends when nobody listens any more.
pub(super) fn start(systemd: Systemd, unit: String) -> watch::Receiver<Sighting> {
    let (sender, receiver) = watch::channel(Sighting::Lost {
        reason: "systemd was not asked yet".to_owned(),
    });
    tokio::spawn(follow(systemd, unit, sender));
    receiver
}

async fn follow(systemd: Systemd, unit: String, sender: watch::Sender<Sighting>) {
    let mut failures = 0;
    loop {
        let error = tokio::select! {
            () = sender.closed() => return,
            error = session(&systemd, &unit, &sender, &mut failures) => error,
        };
        failures += 1;
        let reason = chain(&error);
        if failures == 1 {
            warn!(unit, reason, "lost sight of the unit");
        }
        sender.send_replace(Sighting::Lost { reason });
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(systemd.backoff.after(failures)) => {}
        }
    }
}

/// Follows the unit on one connection, until that ends.
async fn session(
    systemd: &Systemd,
    unit: &str,
    sender: &watch::Sender<Sighting>,
    failures: &mut u32,
) -> UnitsError {
    match try_session(systemd, unit, sender, failures).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn try_session(
    systemd: &Systemd,
    unit: &str,
    sender: &watch::Sender<Sighting>,
    failures: &mut u32,
) -> Result<std::convert::Infallible, UnitsError> {
    let failed = |error| error::classify("watch", unit, error);
    let manager = systemd.manager().await.map_err(failed)?;
    let mut owners = manager
        .inner()
        .receive_owner_changed()
        .await
        .map_err(failed)?;
    let path = manager.load_unit(unit).await.map_err(failed)?;
    let properties = UnitPropertiesProxy::builder(manager.inner().connection())
        .path(path)
        .build()
        .await
        .map_err(failed)?;
    let mut changes = properties
        .receive_properties_changed()
        .await
        .map_err(failed)?;
    loop {
        let state = read_properties(&properties, unit).await?;
        if *failures > 0 {
            debug!(unit, "the unit is in sight again");
        }
        *failures = 0;
        let sighting = Sighting::Known(Box::new(state));
        sender.send_if_modified(|last| {
            let differs = *last != sighting;
            if differs {
                *last = sighting;
            }
            differs
        });
        tokio::select! {
            change = changes.next() => {
                change.ok_or_else(|| failed(closed()))?;
            }
            owner = owners.next() => match owner.flatten() {
                // systemd has a new connection, which does not know that it is listened to.
                Some(_) => subscribe(&manager).await.map_err(failed)?,
                None => return Err(failed(closed())),
            },
            () = properties.inner().connection().closed() => return Err(failed(closed())),
        }
    }
}

fn closed() -> zbus::Error {
    zbus::Error::Failure("systemd has left the bus, or the bus has ended".to_owned())
}
