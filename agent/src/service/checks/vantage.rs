//! The port to products from where the host itself stands: what its other programs see.

use async_trait::async_trait;
use omni_scale_probe::{ProbeReport, ProbeRequest, Resolver, probe};

/// Asks a product once, bounded by the request.
#[async_trait]
pub trait HostVantage: Send + Sync {
    /// Takes the probe. Every failure is in the report.
    async fn probe(&self, request: ProbeRequest) -> ProbeReport;
}

/// The host's network, with its own resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostNetwork;

#[async_trait]
impl HostVantage for HostNetwork {
    async fn probe(&self, request: ProbeRequest) -> ProbeReport {
        probe(&request.with_resolver(Resolver::System)).await
    }
}
