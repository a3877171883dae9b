//! What all errors of the agent have in common: a kind that the wire understands, and a chain of causes.

use std::error::Error;

use omni_scale_proto::v1;

/// What kind of refusal or fault an error is, for a caller. `server::status` turns it into a gRPC code, nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request makes no sense, whatever the state of the host.
    Invalid,
    /// This host's policy, or the caller's role, does not allow it.
    Forbidden,
    /// The request is out of date: lease, generation, deployment, enrolment.
    Stale,
    /// What is asked about is not on this host.
    NotFound,
    /// Something else is being done to it now.
    Busy,
    /// A limit was reached.
    Exhausted,
    /// The upload cannot go on from there.
    OutOfRange,
    /// A daemon or network that the answer needs does not answer; it may pass.
    Unavailable,
    /// This agent cannot do it.
    Unsupported,
    /// What is on this host's disk is damaged; a person must look.
    Damaged,
    /// A fault of the agent itself.
    Fault,
}

/// An error that can be answered to a caller.
pub trait Classified: Error {
    /// What kind of error it is.
    fn kind(&self) -> Kind;

    /// That it is about the caller's lease, and whose it is now.
    fn lease_lost(&self) -> Option<v1::LeaseLost> {
        None
    }
}

/// An error and all its causes in one line: `a: b: c`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
