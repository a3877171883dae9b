//! Running a plan: written down before it is done, verified after, resumed where it stopped.

mod clock;
mod engine;
mod event;
mod gate;
mod leases;
mod login;
mod observe;
mod prepare;
mod recorder;
mod result;
mod retry;
mod run;
mod state;
mod step;
mod stop;
mod target;
#[cfg(test)]
mod tests;
mod waves;

pub use clock::{SystemClock, WallClock};
pub use engine::{Engine, EngineError, LeftRunning, Settings};
pub use event::{
    Event, FailedCheck, Happening, Record, Refusal, RolloutEvents, Silence, StepFailure, chain,
};
pub use observe::{observe, observe_settled};
pub use prepare::basis_refusal;
pub use result::RolloutResult;
pub use state::{IllegalEvent, InFlight, Phase, RolloutState, StepProgress, StepState};
pub use stop::{StopSignal, Stopper};
