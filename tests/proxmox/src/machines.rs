//! What a VM's power means outside of the model: in the lab, a container that boots from the very ISO it was given.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A VM whose power changed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its id.
    pub vmid: u32,
    /// The node that it is on.
    pub node: String,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
    /// The volume of the ISO in its first CD-ROM drive that has one.
    pub iso_name: Option<String>,
    /// That ISO's bytes, if they were uploaded.
    pub iso: Option<Vec<u8>>,
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // An ISO may carry a one-time key.
        formatter
            .debug_struct("Facts")
            .field("vmid", &self.vmid)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// A change of power that the outside has yet to hear of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PowerEvent {
    /// It was started.
    Started(Box<Facts>),
    /// It was stopped, in whatever way.
    Stopped(Box<Facts>),
}

/// Who is told when a VM starts and stops. After a restart of the simulator every running VM is told of again, so
/// both must be idempotent.
#[async_trait]
pub trait Machines: Send + Sync {
    /// The VM runs now.
    async fn started(&self, vm: &Facts);
    /// It runs no more.
    async fn stopped(&self, vm: &Facts);
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMachines;

#[async_trait]
impl Machines for NoMachines {
    async fn started(&self, _: &Facts) {}
    async fn stopped(&self, _: &Facts) {}
}
