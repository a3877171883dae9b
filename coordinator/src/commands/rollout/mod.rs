//! `apply`, `resume`, `abort`: around the engine, which does the work.

mod abort;
mod apply;
mod given;
mod journals;
mod resume;
mod run;
mod session;

pub(super) use abort::run as abort;
pub(super) use apply::run as apply;
pub(super) use resume::run as resume;
