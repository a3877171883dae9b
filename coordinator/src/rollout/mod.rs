//! Running a plan: written down before it is done, verified after, resumed where it stopped.

mod clock;
mod event;
mod observe;
mod result;

pub use clock::{SystemClock, WallClock};
pub use event::{
    Event, FailedCheck, Happening, Record, Refusal, RolloutEvents, Silence, StepFailure, chain,
};
pub use observe::{observe, observe_settled};
pub use result::RolloutResult;
