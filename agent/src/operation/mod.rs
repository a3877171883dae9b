//! The one way of every mutation, whatever it changes: admitted, written down, run to one outcome, told to listeners.
//!
//! The work itself is given by who owns the target. Invariants: one mutation per target at a time; what runs was
//! written down before it began; an outcome is told only after it was written down; an unknown end is never success.

mod admission;
mod conclude;
mod error;
mod failure;
mod operations;
mod reporter;
mod running;

pub use error::OperationError;
pub use failure::{Done, Failure};
pub use operations::{Activity, Operations};
pub use reporter::Reporter;
pub use running::{Event, Running};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
