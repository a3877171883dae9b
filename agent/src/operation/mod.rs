//! What a mutation is made of, whatever it changes: progress on the way, one outcome at the end.

mod failure;
mod reporter;

pub use failure::{Done, Failure};
pub use reporter::Reporter;
