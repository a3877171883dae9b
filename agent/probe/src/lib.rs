//! One way of asking a product from where one stands: resolve, connect, TLS, HTTP, and what the answer says.
//!
//! Used in process by the agent (the host's vantage) and as the static binary `omni-scale-probe` inside a container's
//! network namespace (the sidecar's vantage). It reads and reports; it changes nothing and retries nothing.
//! Invariants: never a panic on what a network sends; bounded in time and in what it reads; redirects not followed;
//! exactly the given roots are trusted.

mod certificate;
mod dns;
mod exchange;
mod expectation;
mod fault;
mod fetch;
mod input;
mod report;
mod request;
mod resolve;
mod run;
mod target;
mod trace;
mod trust;

pub use input::{InputError, LARGEST_INPUT};
pub use report::{Failure, FailureClass, Outcome, PeerCertificate, ProbeReport, Step, StepReport};
pub use request::{
    BodyExpectation, DEFAULT_TIMEOUT_MILLISECONDS, DISCOVERY_PATH, Expectation,
    LONGEST_TIMEOUT_MILLISECONDS, MOST_PROBES, ProbeInput, ProbeRequest, Resolver,
};
pub use run::{probe, probe_all};
