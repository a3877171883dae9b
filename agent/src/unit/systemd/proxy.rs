//! The part of systemd's D-Bus interface that is used, as written in org.freedesktop.systemd1(5).

use std::collections::HashMap;

use zbus::{OwnedObjectPath, OwnedVariant};

/// All properties of one interface.
pub(super) type Properties = HashMap<String, OwnedVariant>;

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(super) trait Manager {
    /// Makes systemd send signals to this connection.
    fn subscribe(&self) -> zbus::Result<()>;

    /// Path of a unit, which is loaded when it is not yet.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;

    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;

    /// `result` is done, failed, canceled, timeout, dependency, skipped …
    #[zbus(signal)]
    fn job_removed(
        &self,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
        result: String,
    ) -> zbus::Result<()>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn version(&self) -> zbus::Result<String>;
}

/// The standard interface; zbus's own is not used because its signal cannot be built in tests.
#[zbus::proxy(
    interface = "org.freedesktop.DBus.Properties",
    default_service = "org.freedesktop.systemd1"
)]
pub(super) trait UnitProperties {
    fn get_all(&self, interface: &str) -> zbus::Result<Properties>;

    #[zbus(signal)]
    fn properties_changed(
        &self,
        interface: String,
        changed: Properties,
        invalidated: Vec<String>,
    ) -> zbus::Result<()>;
}
