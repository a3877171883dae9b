//! Running a plan: written down before it is done, verified after, resumed where it stopped.

mod event;
mod result;

pub use event::{
    Event, FailedCheck, Happening, Record, Refusal, RolloutEvents, Silence, StepFailure, chain,
};
pub use result::{ExitStatus, RolloutResult};
