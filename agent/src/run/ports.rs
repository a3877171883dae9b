//! The foreign parts of a host: every daemon and network that the agent asks.

use std::sync::Arc;

use crate::client::issuer::{Issuer, TsidpEndpoints};
use crate::config::{Config, Paths};
use crate::host_roots::HostRoots;
use crate::journal::{Journal, JournalChild};
use crate::machine::{Hypervisors, ProxmoxHypervisors};
use crate::secrets::Secrets;
use crate::service::checks::{HostNetwork, HostVantage};
use crate::stack::docker::DockerEngine;
use crate::stack::engine::Engine;
use crate::tailnet::{LocalApi, Tailnet};
use crate::unit::issuer::{HttpsProbe, IssuerProbe};
use crate::unit::systemd::Systemd;
use crate::unit::units::Units;

/// One of each; a host without a role never asks what the role needs.
#[derive(Clone)]
pub struct Ports {
    /// The host's own node.
    pub tailnet: Arc<dyn Tailnet>,
    /// The container engine.
    pub engine: Arc<dyn Engine>,
    /// The service manager.
    pub units: Arc<dyn Units>,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// Who asks tsidp.
    pub issuer: Arc<dyn IssuerProbe>,
    /// Who asks tsidp about its clients.
    pub clients: Arc<dyn Issuer>,
    /// Products as this host sees them.
    pub vantage: Arc<dyn HostVantage>,
    /// Who makes clients of clusters.
    pub hypervisors: Arc<dyn Hypervisors>,
}

impl Ports {
    /// Those of this host. Connects to nothing.
    pub(super) fn of_host(paths: &Paths, config: &Config, secrets: &Arc<Secrets>) -> Self {
        let roots = HostRoots::in_file(paths.host_roots.clone());
        Self {
            tailnet: Arc::new(LocalApi::new(&config.sockets.tailscaled)),
            engine: Arc::new(DockerEngine::new(&config.sockets.docker)),
            units: Arc::new(Systemd::on_system_bus()),
            journal: Arc::new(JournalChild::new(secrets.clone())),
            issuer: Arc::new(HttpsProbe::new(roots.clone())),
            clients: Arc::new(TsidpEndpoints::over_https(roots)),
            vantage: Arc::new(HostNetwork),
            hypervisors: Arc::new(ProxmoxHypervisors),
        }
    }
}
