//! What the daemon is made of, on this host with these roles.

use std::sync::Arc;

use omni_scale_proto::role::HostRole;
use omni_scale_proto::v1::client_service_server::ClientServiceServer;
use omni_scale_proto::v1::unit_service_server::UnitServiceServer;
use tonic::service::Routes;
use tracing::info;

use super::RunError;
use super::ports::Ports;
use crate::artifact::{ArtifactStore, Downloader, Uploads};
use crate::client::omni_client::{ClientParts, OmniClient};
use crate::config::{self, Config, Paths};
use crate::enrollment::{self, Enrollment, TokenFile};
use crate::files;
use crate::host_roots::HostRoots;
use crate::identity::IdentityStore;

use crate::lease::Leases;
use crate::ledger::Ledger;
use crate::machine::{MachineHealth, MachineParts, Machines};
use crate::operation::Operations;
use crate::secrets::Secrets;
use crate::server::gate::Gate;
use crate::service::checks::{Checks, ClientChecks, MachineChecks, StackChecks, UnitChecks};
use crate::service::client::ClientRpc;
use crate::service::health::{Health, HealthService, HealthSource};
use crate::service::host::{self, Host};
use crate::service::machine::MachineApi;
use crate::service::reflection;
use crate::service::stack::StackApi;
use crate::service::unit::UnitRpc;
use crate::service::upload::ArtifactUploads;
use crate::stack::{StackHealth, Stacks};
use crate::tailnet::{Tailnet, TailnetHealth};
use crate::unit::tsidp::{TsidpParts, TsidpUnit};
use crate::unit::watching::UnitWatch;

/// Everything that lives as long as the daemon.
pub(super) struct Parts {
    pub(super) identities: Arc<IdentityStore>,
    pub(super) tokens: TokenFile,
    pub(super) operations: Operations,
    pub(super) tailnet: Arc<dyn Tailnet>,
    config: Config,
    leases: Arc<Leases>,
    secrets: Arc<Secrets>,
    tsidp: Option<Arc<TsidpUnit>>,
    client: Option<Arc<OmniClient>>,
    /// The stacks of this host, where it has the role.
    pub(super) stacks: Option<Stacks>,
    paths: Paths,
    ports: Ports,
}

impl Parts {
    /// Reads what is on the disk. Asks no other daemon anything.
    pub(super) fn open(paths: &Paths) -> Result<Self, RunError> {
        Self::open_with(paths, Ports::of_host)
    }

    /// The same with other foreign parts.
    pub(super) fn open_with(
        paths: &Paths,
        ports: impl FnOnce(&Paths, &Config, &Arc<Secrets>) -> Ports,
    ) -> Result<Self, RunError> {
        let config = config::load(&paths.configuration)?;
        files::create_directory(&paths.state, 0o700)?;
        let identities = Arc::new(IdentityStore::open(&paths.identity)?);
        let ledger = Arc::new(Ledger::open(&paths.ledger)?);
        let secrets = Arc::new(Secrets::open(&paths.secrets)?);
        let leases = Arc::new(Leases::new(ledger.clone()));
        let operations = Operations::new(
            ledger,
            leases.clone(),
            secrets.clone(),
            identities.deployment(),
        );
        let ports = ports(paths, &config, &secrets);
        let tsidp = tsidp(paths, &config, &secrets, &ports)?;
        let stacks = stacks(paths, &config, &secrets, &ports);
        let client = client(paths, &config, &secrets, &ports)?;
        info!(roles = ?config.roles, "read agent.toml");
        Ok(Self {
            tokens: TokenFile::in_directory(&paths.identity),
            identities,
            operations,
            tailnet: ports.tailnet.clone(),
            config,
            leases,
            secrets,
            tsidp,
            client,
            stacks,
            paths: paths.clone(),
            ports,
        })
    }

    /// Who is let in.
    pub(super) fn gate(&self) -> Gate {
        Gate::new(
            self.identities.clone(),
            self.tailnet.clone(),
            self.config.tailnet.clone(),
        )
    }

    /// All services of this host.
    pub(super) fn routes(&self) -> Routes {
        let stacks = self.stacks.clone();
        let mut health: Vec<Arc<dyn HealthSource>> =
            vec![Arc::new(TailnetHealth::new(self.tailnet.clone()))];
        if let Some(stacks) = &stacks {
            health.push(Arc::new(StackHealth::new(stacks.clone())));
        }
        let machines = self.machines();
        if let Some(machines) = &machines {
            health.push(Arc::new(MachineHealth::new(machines.clone())));
        }
        let unit = self
            .tsidp
            .clone()
            .map(|tsidp| (UnitWatch::new(tsidp.clone()), tsidp));
        if let Some((watch, _)) = &unit {
            health.push(Arc::new(watch.clone()));
        }
        let agent = match self.operations.damage() {
            None => Health::Serving,
            Some(_) => Health::NotServing,
        };
        let checks = Checks {
            roots: HostRoots::in_file(self.paths.host_roots.clone()),
            vantage: self.ports.vantage.clone(),
            secrets: self.secrets.clone(),
            tailnet: self.tailnet.clone(),
            stacks: stacks
                .clone()
                .map(|stacks| Arc::new(stacks) as Arc<dyn StackChecks>),
            unit: self
                .tsidp
                .clone()
                .map(|tsidp| Arc::new(tsidp) as Arc<dyn UnitChecks>),
            machines: machines
                .clone()
                .map(|machines| Arc::new(machines) as Arc<dyn MachineChecks>),
            client: self
                .client
                .clone()
                .map(|client| Arc::new(client) as Arc<dyn ClientChecks>),
        };
        let facts = host::HostFacts::read(&self.paths, self.config.roles.clone());
        let enrollment_facts = enrollment::HostFacts {
            machine_id: facts.machine_id.clone(),
            roles: self.config.roles.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let enrollment = Enrollment::new(
            self.identities.clone(),
            self.tokens.clone(),
            enrollment_facts,
        );
        let host = Host {
            identities: self.identities.clone(),
            enrollment: Arc::new(enrollment),
            leases: self.leases.clone(),
            operations: self.operations.clone(),
            secrets: self.secrets.clone(),
            tailnet: self.tailnet.clone(),
            checks: Arc::new(checks),
            journal: self.ports.journal.clone(),
            uploads: unit.as_ref().map(|_| {
                let store = ArtifactStore::new(self.paths.artifacts.clone());
                Arc::new(Uploads::new(store, Arc::new(self.config.policy.clone())))
                    as Arc<dyn ArtifactUploads>
            }),
            facts,
        };
        let mut routes = Routes::new(reflection::server())
            .add_service(HealthService::server(agent, health))
            .add_service(host.server());
        let operations = self.operations.clone();
        if let Some((watch, tsidp)) = unit {
            let unit = UnitRpc::new(tsidp, watch, self.tailnet.clone(), operations.clone());
            routes = routes.add_service(UnitServiceServer::new(unit));
        }
        if let Some(client) = self.client.clone() {
            let client = ClientRpc::new(client, operations.clone());
            routes = routes.add_service(ClientServiceServer::new(client));
        }
        if let Some(stacks) = stacks {
            let operations = operations.clone();
            routes = routes.add_service(StackApi { stacks, operations }.server());
        }
        if let Some(machines) = machines {
            let machines = MachineApi {
                machines,
                operations,
            };
            routes = routes.add_service(machines.server());
        }
        routes
    }

    /// The machines, where this host has the role. Connects to nothing.
    fn machines(&self) -> Option<Machines> {
        if !self.config.roles.contains(&HostRole::Proxmox) {
            return None;
        }
        let parts = MachineParts {
            hypervisors: self.ports.hypervisors.clone(),
            secrets: self.secrets.clone(),
            policy: Arc::new(self.config.policy.clone()),
            deployment: self.identities.deployment(),
        };
        Some(Machines::open(parts, &self.paths))
    }
}

/// The unit, where this host has the role. Connects to nothing.
fn tsidp(
    paths: &Paths,
    config: &Config,
    secrets: &Arc<Secrets>,
    ports: &Ports,
) -> Result<Option<Arc<TsidpUnit>>, RunError> {
    if !config.roles.contains(&HostRole::Tsidp) {
        return Ok(None);
    }
    let roots = HostRoots::in_file(paths.host_roots.clone());
    let programs = ArtifactStore::new(paths.artifacts.clone());
    let unit = TsidpUnit::open(TsidpParts {
        units: ports.units.clone(),
        journal: ports.journal.clone(),
        issuer: ports.issuer.clone(),
        downloader: Downloader::new(programs.clone(), roots),
        programs,
        secrets: secrets.clone(),
        policy: Arc::new(config.policy.clone()),
        directory: paths.unit.clone(),
        state_directory: paths.tsidp_state.clone(),
    })?;
    Ok(Some(unit))
}

/// Omni's client, where this host runs Omni. Connects to nothing.
fn client(
    paths: &Paths,
    config: &Config,
    secrets: &Arc<Secrets>,
    ports: &Ports,
) -> Result<Option<Arc<OmniClient>>, RunError> {
    if !config.roles.contains(&HostRole::Omni) {
        return Ok(None);
    }
    let client = OmniClient::open(ClientParts {
        issuer: ports.clients.clone(),
        tailnet: ports.tailnet.clone(),
        secrets: secrets.clone(),
        directory: paths.client.clone(),
    })?;
    Ok(Some(client))
}

/// The stacks, where this host has the role. Connects to nothing.
fn stacks(paths: &Paths, config: &Config, secrets: &Arc<Secrets>, ports: &Ports) -> Option<Stacks> {
    config.roles.contains(&HostRole::Omni).then(|| {
        Stacks::new(
            ports.engine.clone(),
            secrets.clone(),
            Arc::new(config.policy.clone()),
            paths,
        )
    })
}
