//! What root decides on this host, from `/etc/omni-scale/agent.toml`, and where things lie.
//!
//! Read once at the start, checked strictly, passed down by value. A host without the file has no role and allows
//! nothing. Invariant: a [`Config`] never has the roles `tsidp` and `omni` together: their tailnet nodes cannot live
//! on one machine.

mod environment;
mod fault;
mod paths;
mod read;
mod tailnet;
mod template;

use std::collections::BTreeSet;
use std::path::PathBuf;

use omni_scale_proto::role::HostRole;
use serde::Deserialize;

pub use environment::log_directives;
pub use paths::Paths;
pub use read::{ConfigError, load, parse};
pub use tailnet::{Holder, TailnetPolicy};
#[cfg(test)]
pub use template::DEFAULT;
pub use template::{Allowed, Granted, render};

/// What root decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// What this agent looks after. Empty: nothing yet.
    pub roles: BTreeSet<HostRole>,
    /// Limits on what any caller can ask.
    pub policy: Policy,
    /// Whom the tailnet may send.
    pub tailnet: TailnetPolicy,
    /// Where the daemons of this host listen.
    pub sockets: Sockets,
}

/// Where the daemons of this host listen.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sockets {
    /// tailscaled's LocalAPI.
    pub tailscaled: PathBuf,
    /// The Docker Engine's API.
    pub docker: PathBuf,
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            tailscaled: PathBuf::from("/run/tailscale/tailscaled.sock"),
            docker: PathBuf::from("/run/docker.sock"),
        }
    }
}

/// Limits on what any caller can ask, whatever their role. Empty lists allow nothing.
///
/// `privileged`, host pid/ipc/network, the Docker socket and unconfined profiles are refused
/// whatever stands here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Image repositories, without tag or digest: `ghcr.io/siderolabs/omni`. A trailing `/*`
    /// allows every repository below.
    pub image_repositories: Vec<String>,
    /// Directories below which a bind mount may begin.
    pub bind_roots: Vec<PathBuf>,
    /// Devices that a container may be given: `/dev/net/tun`.
    pub devices: BTreeSet<String>,
    /// Capabilities that a container may be given: `NET_ADMIN`.
    pub capabilities: BTreeSet<String>,
    /// URL prefixes that artifacts may come from.
    pub artifact_sources: Vec<String>,
    /// Clusters that machines may be made on: `https://pve.lan:8006`. The token's secret is sent nowhere else.
    pub hypervisors: Vec<String>,
    /// Sums of artifacts that may run, wherever they come from. When it is not empty, an
    /// artifact must have one of them.
    pub artifact_sha256: BTreeSet<String>,
}
