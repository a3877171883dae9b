//! What is to be done, decided before anything is done.
//!
//! [`plan()`] makes every choice and is pure: no clock, no randomness, no files, no network. The
//! rollout runs exactly what it returns, or refuses when the [`Basis`] has changed.

mod basis;
mod build;
mod desired;
mod display;
mod document;
#[cfg(any(test, feature = "testing"))]
pub mod examples;
mod machines;
mod observed;
mod parts;
mod placement;
mod refusal;
#[cfg(test)]
mod scenarios;
mod step;

pub use basis::{Basis, Deviation, HostBasis};
pub use build::{Choices, plan};
pub use desired::{
    Desired, DesiredClient, DesiredHost, DesiredIdentity, DesiredSecret, DesiredStack, Wave,
};
pub use display::{Detail, Line, LineKind, lines};
pub use document::{PLAN_FORMAT, Plan, PlanFileError};
pub use machines::{DesiredGroup, DesiredMachines, MachinesScope, Purpose};
pub use observed::{HostFacts, HostObservation, HostScope, Observed, Scope, StackScope};
pub(crate) use parts::Parts;
pub use placement::{Group, Machine, NoPlace, Node, Placement, place};
pub use refusal::{DesiredError, PlanError, PlanRefusal};
pub use step::{Change, GateCheck, PlannedWave, Recovery, SecretState, Step, StepId, UsedSecret};
