//! Where the health service takes its answers from.

use tokio::sync::watch;

/// Health of one name of the health service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Evidence is missing or lost. Never taken for healthy.
    Unknown,
    /// The product's own answer is as it should be.
    Serving,
    /// It answers otherwise, or not at all.
    NotServing,
}

/// A part of the agent that knows the health of names: `tsidp`, `omni`, `omni/SERVICE`, `provider`.
pub trait HealthSource: Send + Sync {
    /// Follows the health of a name. `None`: this source does not know the name.
    ///
    /// As long as a receiver lives, somebody watches: the source probes the product every 15 s. Without one it may
    /// rest. The first value may be `Unknown`; it becomes known within 5 s if it can be known.
    fn watch(&self, name: &str) -> Option<watch::Receiver<Health>>;
}
