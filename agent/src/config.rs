//! What root allows on this host, from `/etc/omni-scale/agent.toml`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

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
    /// Sums of artifacts that may run, wherever they come from. When it is not empty, an
    /// artifact must have one of them.
    pub artifact_sha256: BTreeSet<String>,
}
