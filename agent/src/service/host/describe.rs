//! `Describe`: what is to be known of a host before anything is planned for it.

use std::collections::BTreeSet;

use omni_scale_proto::role::HostRole;
use omni_scale_proto::{API_VERSION_MAXIMUM, API_VERSION_MINIMUM, v1};

use super::Host;
use crate::clock;
use crate::config::Paths;
use crate::error::chain;
use crate::files;
use crate::tailnet::NodeView;

/// What does not change while the agent runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Contents of /etc/machine-id. Empty: it cannot be read.
    pub machine_id: String,
    /// The id of this boot. Empty: it cannot be read.
    pub boot_id: String,
    /// What this agent looks after.
    pub roles: BTreeSet<HostRole>,
}

impl HostFacts {
    /// Reads them. Blocks.
    pub fn read(paths: &Paths, roles: BTreeSet<HostRole>) -> Self {
        let line = |path| {
            let contents = files::read(path, 256).unwrap_or_else(|error| {
                tracing::warn!(error = chain(&error), "a fact about this host is unknown");
                None
            });
            String::from_utf8_lossy(&contents.unwrap_or_default())
                .trim()
                .to_owned()
        };
        Self {
            machine_id: line(&paths.machine_id),
            boot_id: line(&paths.boot_id),
            roles,
        }
    }
}

/// The version of this agent.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Bounded by what it asks: tailscaled, the bus and the Engine each bound their own answers.
pub(super) async fn describe(host: &Host) -> v1::DescribeResponse {
    let (tailnet, systemd_version, engine) = tokio::join!(
        NodeView::of(&*host.tailnet),
        host.checks.systemd_version(),
        host.checks.engine_version(),
    );
    let identity = host.identities.current();
    let enrolled = identity.enrolled.as_ref();
    v1::DescribeResponse {
        agent_version: VERSION.to_owned(),
        api_version_minimum: API_VERSION_MINIMUM,
        api_version_maximum: API_VERSION_MAXIMUM,
        machine_id: host.facts.machine_id.clone(),
        boot_id: host.facts.boot_id.clone(),
        host_name: enrolled.map_or(String::new(), |enrolled| enrolled.host.to_string()),
        roles: host.facts.roles.iter().map(ToString::to_string).collect(),
        tailnet: Some(tailnet.into()),
        clock_milliseconds: clock::now_milliseconds(),
        systemd_version,
        engine,
        lease: host.leases.holder(),
        deployment_id: enrolled.map(|enrolled| enrolled.deployment.to_string()),
        certificate_not_after_milliseconds: enrolled.map_or(0, |_| identity.not_after_milliseconds),
        targets: host.operations.targets(),
        deny_list_version: identity.deny_list.version,
        damage: host.operations.damage().unwrap_or_default(),
    }
}
