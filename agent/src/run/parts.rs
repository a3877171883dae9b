//! What the daemon is made of, on this host with these roles.

use std::sync::Arc;

use omni_scale_proto::role::HostRole;
use tonic::service::Routes;
use tracing::info;

use super::RunError;
use crate::config::{self, Config, Paths};
use crate::enrollment::{self, Enrollment, TokenFile};
use crate::files;
use crate::host_roots::HostRoots;
use crate::identity::IdentityStore;
use crate::lease::Leases;
use crate::ledger::Ledger;
use crate::operation::Operations;
use crate::secrets::Secrets;
use crate::service::checks::{Checks, StackChecks};
use crate::service::health::{HealthService, HealthSource};
use crate::service::host::{self, Host};
use crate::service::stack::StackApi;
use crate::stack::docker::DockerEngine;
use crate::stack::{StackHealth, Stacks};
use crate::tailnet::{LocalApi, Tailnet, TailnetHealth};

/// Everything that lives as long as the daemon.
pub(super) struct Parts {
    pub(super) identities: Arc<IdentityStore>,
    pub(super) tokens: TokenFile,
    pub(super) operations: Operations,
    pub(super) tailnet: Arc<dyn Tailnet>,
    config: Config,
    leases: Arc<Leases>,
    secrets: Arc<Secrets>,
    paths: Paths,
}

impl Parts {
    /// Reads what is on the disk. Asks no other daemon anything.
    pub(super) fn open(paths: &Paths) -> Result<Self, RunError> {
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
        let tailnet: Arc<dyn Tailnet> = Arc::new(LocalApi::new(&config.sockets.tailscaled));
        info!(roles = ?config.roles, "read agent.toml");
        Ok(Self {
            tokens: TokenFile::in_directory(&paths.identity),
            identities,
            operations,
            tailnet,
            config,
            leases,
            secrets,
            paths: paths.clone(),
        })
    }

    /// All services of this host.
    pub(super) fn routes(&self) -> Routes {
        let stacks = self.stacks();
        let mut health: Vec<Arc<dyn HealthSource>> =
            vec![Arc::new(TailnetHealth::new(self.tailnet.clone()))];
        if let Some(stacks) = &stacks {
            health.push(Arc::new(StackHealth::new(stacks.clone())));
        }
        let checks = Checks {
            roots: HostRoots::in_file(self.paths.host_roots.clone()),
            secrets: self.secrets.clone(),
            tailnet: self.tailnet.clone(),
            stacks: stacks
                .clone()
                .map(|stacks| Arc::new(stacks) as Arc<dyn StackChecks>),
            unit: None,
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
            uploads: None,
            facts,
        };
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(omni_scale_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .expect("the checked-in descriptors are sound");
        let routes = Routes::new(reflection)
            .add_service(HealthService::server(health))
            .add_service(host.server());
        match stacks {
            Some(stacks) => {
                let operations = self.operations.clone();
                routes.add_service(StackApi { stacks, operations }.server())
            }
            None => routes,
        }
    }
    /// The stacks, where this host has the role. Connects to nothing.
    fn stacks(&self) -> Option<Stacks> {
        if !self.config.roles.contains(&HostRole::Omni) {
            return None;
        }
        let engine = DockerEngine::new(&self.config.sockets.docker);
        Some(Stacks::new(
            Arc::new(engine),
            self.secrets.clone(),
            Arc::new(self.config.policy.clone()),
            &self.paths,
        ))
    }
}
