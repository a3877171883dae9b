//! One way of asking a product from where one stands: resolve, connect, TLS, HTTP, and what the answer says.
//!
//! Used in process by the agent (the host's vantage) and as the static binary `omni-scale-probe` inside a container's
//! network namespace (the sidecar's vantage). It reads and reports; it changes nothing and retries nothing.
//! Invariants: never a panic on what a network sends; bounded in time and in what it reads; redirects not followed;
//! exactly the given roots are trusted.

mod report;
mod request;

pub use report::{Failure, FailureClass, Outcome, PeerCertificate, ProbeReport, Step, StepReport};
pub use request::{
    BodyExpectation, DEFAULT_TIMEOUT_MILLISECONDS, DISCOVERY_PATH, Expectation,
    LONGEST_TIMEOUT_MILLISECONDS, MOST_PROBES, ProbeInput, ProbeRequest, Resolver,
};

/// Takes every step of one probe and says what it found. Ends within the request's timeout.
pub async fn probe(request: &ProbeRequest) -> ProbeReport {
    let _ = request;
    std::future::ready(ProbeReport {
        url: request.url.clone(),
        met: false,
        steps: Vec::new(),
        nameservers: Vec::new(),
        addresses: Vec::new(),
        peer: None,
        certificate: None,
        http_status: None,
        elapsed_milliseconds: 0,
    })
    .await
}
