//! One host: models of its foreign parts, and its agent, which can be killed and started again.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use omni_scale::agents::grpc::memory::MemoryNetwork;
use omni_scale_agent::client::fake::FakeTsidp;
use omni_scale_agent::config::Paths;
use omni_scale_agent::journal::FakeJournal;
use omni_scale_agent::machine::ProxmoxHypervisors;
use omni_scale_agent::run::Ports;
use omni_scale_agent::run::testing::Daemon;
use omni_scale_agent::service::checks::HostVantage;
use omni_scale_agent::stack::testing::FakeEngine;
use omni_scale_agent::tailnet::{Device, FakeTailnet, Named};
use omni_scale_agent::unit::fake::{FakeIssuer, FakeUnits};
use omni_scale_agent::unit::units::TSIDP_UNIT;
use omni_scale_probe::{FailureClass, Outcome, ProbeReport, ProbeRequest, Step, StepReport};
use omni_scale_proto::id::HostName;
use omni_scale_proxmox_simulator::Simulator;

use crate::cluster::Simulated;

/// What tsidp is known as.
pub(crate) const ISSUER: &str = "https://idp.tail.test";

/// A host.
pub(crate) struct Host {
    pub(crate) name: HostName,
    pub(crate) engine: FakeEngine,
    pub(crate) units: FakeUnits,
    paths: Paths,
    ports: Ports,
    network: MemoryNetwork,
    daemon: Mutex<Option<Daemon>>,
}

impl Host {
    /// A host with its files below a directory. Its agent does not run yet.
    ///
    /// `products` is the service manager of the host of tsidp: its program answers while its unit
    /// runs.
    pub(crate) fn new(
        name: &str,
        number: u8,
        agent_toml: &str,
        directory: &Path,
        products: &FakeUnits,
        network: &MemoryNetwork,
    ) -> Self {
        let directory = directory.join(name);
        std::fs::create_dir_all(directory.join("tsidp")).unwrap();
        let write = |file: &str, contents: &[u8]| {
            omni_scale_agent::files::write_atomically(&directory.join(file), contents, 0o644)
                .unwrap();
        };
        write("agent.toml", agent_toml.as_bytes());
        write("omni-scale-probe", b"\x7fELF");
        write("machine-id", format!("{number:032x}\n").as_bytes());
        let paths = Paths {
            machine_id: directory.join("machine-id"),
            host_roots: directory.join("no-roots"),
            ..Paths::below(&directory)
        };
        let engine = FakeEngine::default();
        let units = products.clone();
        let dns_name = format!("{name}.tail.test");
        let tailnet = FakeTailnet::running(&dns_name, [100, 64, 0, number].into());
        // tsidp's own node.
        let device = Device {
            dns_name: ISSUER.trim_start_matches("https://").to_owned(),
            online: true,
            ..Device::default()
        };
        let named = Named {
            device: Some(device.clone()),
            ..Named::default()
        };
        tailnet.set_named(&device.dns_name, named);
        let ports = Ports {
            tailnet: Arc::new(tailnet),
            engine: Arc::new(engine.clone()),
            units: Arc::new(units.clone()),
            journal: Arc::new(FakeJournal::default()),
            issuer: Arc::new(FakeIssuer::new(units.clone(), ISSUER)),
            clients: FakeTsidp::granted(ISSUER).issuer(),
            vantage: Arc::new(Products(products.clone())),
            hypervisors: Arc::new(ProxmoxHypervisors),
        };
        Self {
            name: name.parse().unwrap(),
            engine,
            units,
            paths,
            ports,
            network: network.clone(),
            daemon: Mutex::new(None),
        }
    }

    /// Its agent reaches this cluster.
    pub(crate) fn reaching(mut self, cluster: &Arc<Simulator>) -> Self {
        self.ports.hypervisors = Arc::new(Simulated(Arc::clone(cluster)));
        self
    }

    /// systemd as it is after the installation of the package.
    pub(crate) fn systemd() -> FakeUnits {
        FakeUnits::new(TSIDP_UNIT)
    }

    /// Starts the agent, on the files that an earlier one left.
    pub(crate) async fn start(&self) {
        let incoming = self.network.listen(&self.name);
        let daemon = Daemon::start(&self.paths, &self.ports, incoming).await;
        *self.daemon.lock().unwrap() = Some(daemon.unwrap());
    }

    /// Kills the agent; whoever waits for it loses the connection.
    pub(crate) fn kill(&self) {
        let daemon = self.daemon.lock().unwrap().take();
        if let Some(daemon) = daemon {
            daemon.kill();
        }
        self.network.leave(&self.name);
    }

    /// Cuts its connections.
    pub(crate) fn cut(&self) {
        self.network.cut(&self.name);
    }

    /// What root reads out.
    pub(crate) fn token(&self) -> String {
        self.daemon.lock().unwrap().as_ref().unwrap().token()
    }
}

/// tsidp as other hosts see it.
struct Products(FakeUnits);

#[async_trait]
impl HostVantage for Products {
    async fn probe(&self, request: ProbeRequest) -> ProbeReport {
        let answers = self.0.state().is_running();
        let outcome = if answers {
            Outcome::Ok
        } else {
            Outcome::Failed {
                class: FailureClass::ConnectionRefused,
                message: "connection refused".to_owned(),
            }
        };
        ProbeReport {
            met: answers,
            steps: vec![StepReport {
                step: Step::Connect,
                outcome,
                elapsed_milliseconds: 1,
            }],
            ..report(&request.url)
        }
    }
}

/// A probe that found everything as it should be.
pub(crate) fn report(url: &str) -> ProbeReport {
    ProbeReport {
        url: url.to_owned(),
        met: true,
        steps: Vec::new(),
        nameservers: Vec::new(),
        addresses: Vec::new(),
        peer: None,
        certificate: None,
        http_status: None,
        issuer: None,
        elapsed_milliseconds: 1,
    }
}
