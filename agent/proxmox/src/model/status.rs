//! What a VM does now.

use serde::{Deserialize, Deserializer};

use crate::tolerant;

/// Whether a VM has a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PowerState {
    /// It has.
    Running,
    /// It has not.
    Stopped,
    /// Proxmox does not say.
    #[default]
    Unknown,
}

impl<'de> Deserialize<'de> for PowerState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let state: Option<String> = tolerant::optional(deserializer)?;
        Ok(match state.as_deref() {
            Some("running") => Self::Running,
            Some("stopped") => Self::Stopped,
            _ => Self::Unknown,
        })
    }
}

/// The answer to `…/status/current`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VmStatus {
    /// Whether it runs.
    #[serde(default, rename = "status")]
    pub state: PowerState,
    /// What QEMU says: `running`, `paused`, `prelaunch`, `io-error`, …
    #[serde(default, rename = "qmpstatus", deserialize_with = "tolerant::text")]
    pub detail: Option<String>,
    /// The configuration's lock, such as `backup`.
    #[serde(default, deserialize_with = "tolerant::text")]
    pub lock: Option<String>,
    /// In seconds.
    #[serde(default, deserialize_with = "tolerant::optional")]
    pub uptime: Option<u64>,
    /// Whether a guest agent is configured.
    #[serde(default, deserialize_with = "tolerant::flag")]
    pub agent: bool,
}
