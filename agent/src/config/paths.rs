//! Where the agent's files lie: one value, so that tests put everything below a directory of their own.

use std::path::{Path, PathBuf};

use crate::unit::tsidp::STATE_DIRECTORY;

/// Every path that the agent reads or writes, sockets of other daemons apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Root's decisions.
    pub configuration: PathBuf,
    /// The agent's own directory: 0700, its user's.
    pub state: PathBuf,
    /// Operations and leases.
    pub ledger: PathBuf,
    /// One file per secret.
    pub secrets: PathBuf,
    /// Key, certificate, authority, deny list, enrolment token.
    pub identity: PathBuf,
    /// What was applied last, by stack and service.
    pub stacks: PathBuf,
    /// What is known of each machine.
    pub machines: PathBuf,
    /// The cluster that was asked last.
    pub hypervisor: PathBuf,
    /// What was applied last to the unit, and its environment files.
    pub unit: PathBuf,
    /// What is known of Omni's OIDC client.
    pub client: PathBuf,
    /// The last known address on the tailnet.
    pub tailnet: PathBuf,
    /// tsidp's artifacts by sum, and `current`: 0755, so that tsidp's user can run them.
    pub artifacts: PathBuf,
    /// tsidp's own state: the agent can see that it is there, and no more.
    pub tsidp_state: PathBuf,
    /// The static program that is run inside containers' namespaces.
    pub probe: PathBuf,
    /// The drop-in of the agent's own unit that gives it the Docker socket. Written by `setup`.
    pub docker_drop_in: PathBuf,
    /// The groups of this host.
    pub groups: PathBuf,
    /// The certificates that this host trusts, as one PEM file.
    pub host_roots: PathBuf,
    /// The machine's id.
    pub machine_id: PathBuf,
    /// The id of this boot.
    pub boot_id: PathBuf,
}

impl Paths {
    /// As the package lays them out.
    pub fn of_package() -> Self {
        Self::with_state(
            Path::new("/etc/omni-scale/agent.toml"),
            Path::new("/var/lib/omni-scale"),
            Path::new("/var/lib/omni-scale-artifacts/tsidp"),
        )
    }

    /// Everything below `directory`, except for what belongs to the machine.
    pub fn below(directory: &Path) -> Self {
        Self {
            docker_drop_in: directory.join("docker.conf"),
            groups: directory.join("group"),
            probe: directory.join("omni-scale-probe"),
            tsidp_state: directory.join("tsidp"),
            ..Self::with_state(
                &directory.join("agent.toml"),
                &directory.join("state"),
                &directory.join("artifacts"),
            )
        }
    }

    /// With the agent's files in other places than the package's.
    pub fn with_state(configuration: &Path, state: &Path, artifacts: &Path) -> Self {
        Self {
            configuration: configuration.to_owned(),
            state: state.to_owned(),
            ledger: state.join("ledger"),
            secrets: state.join("secrets"),
            identity: state.join("identity"),
            stacks: state.join("stacks"),
            machines: state.join("machines"),
            hypervisor: state.join("hypervisor.json"),
            unit: state.join("unit"),
            client: state.join("client"),
            tailnet: state.join("tailnet-address"),
            artifacts: artifacts.to_owned(),
            tsidp_state: PathBuf::from(STATE_DIRECTORY),
            probe: PathBuf::from("/usr/lib/omni-scale/omni-scale-probe"),
            docker_drop_in: PathBuf::from(
                "/etc/systemd/system/omni-scale-agent.service.d/docker.conf",
            ),
            groups: PathBuf::from("/etc/group"),
            host_roots: PathBuf::from("/etc/ssl/certs/ca-certificates.crt"),
            machine_id: PathBuf::from("/etc/machine-id"),
            boot_id: PathBuf::from("/proc/sys/kernel/random/boot_id"),
        }
    }
}
