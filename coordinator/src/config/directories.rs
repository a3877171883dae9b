//! Where the files of one deployment are on the operator's machine.

use std::path::{Path, PathBuf};

use omni_scale_proto::id::DeploymentId;

use super::Environment;

/// The directories of one deployment. They need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// Certificates and keys: `$XDG_CONFIG_HOME/omni-scale/ID`.
    pub config: PathBuf,
    /// Journals and what is remembered between runs: `$XDG_STATE_HOME/omni-scale/ID`.
    pub state: PathBuf,
}

/// Neither the XDG variables nor `HOME` say where files belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no place is known for keys and journals: `HOME` is not set")]
pub struct NoHome;

impl Directories {
    /// The directories of a deployment.
    pub fn of(environment: &Environment, deployment: DeploymentId) -> Result<Self, NoHome> {
        let below = |home: &Option<PathBuf>| {
            home.as_deref()
                .map(|home: &Path| home.join("omni-scale").join(deployment.to_string()))
                .ok_or(NoHome)
        };
        Ok(Self {
            config: below(&environment.config_home)?,
            state: below(&environment.state_home)?,
        })
    }
}
