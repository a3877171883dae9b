//! How an agent comes into a deployment: root reads a one-time token to the operator, both sides prove to each other
//! that they know its secret, and only then a certificate is asked for and taken.
//!
//! Invariants: an attempt is counted on the disk before its proof is looked at; a token is good for one enrolment, five
//! attempts and one hour, or one day when it came with a machine's first boot, which nobody watches; proofs are over the
//! certificate that this agent shows, so nobody in the middle can pass them on. The same holds for an agent that is
//! enrolled already: root's token is the only way to another deployment.

mod handshake;
mod token;

pub use handshake::{Enrollment, EnrollmentError, HostFacts, Session};
pub use token::{TokenError, TokenFile, TokenFor};
