//! The deployment: `deployment.yaml`, read and checked.
//!
//! [`load`] reads the file and those that it names, and tells of everything that is wrong at once,
//! with file, line and column. What it returns needs no further checking. It observes nothing,
//! resolves no image, and holds no secret: secrets have names here.
//!
//! Invariants of a [`Deployment`]: every host that is named is declared with the role it needs;
//! tsidp and Omni are on different hosts; no two nodes of the tailnet have one name.

mod files;
mod host_machine;
mod hosts;
mod identity;
mod machines;
mod model;
mod omni;
mod provider;
mod proxmox;
mod read;
mod secret;
mod shared;
mod template;
mod values;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use files::{Disk, Files};
pub use machines::machine_names;
pub use model::{
    Artifact, BuiltInStack, Client, ComposeStack, Deployment, Eula, Host, HostMachine, Identity,
    MachineApiCertificate, MachineDisk, MachineGroup, MachineImage, MachineKind, MachineNetwork,
    Omni, OmniStack, PackageFile, PackageRepository, Provider, ProviderConfiguration, Proxmox,
    ProxmoxApi, ProxmoxTrust, Sidecar, StaticAddress, Tailnet, Tsidp,
};
pub use read::read;
pub use template::{TemplateValues, template};
pub use values::{
    DnsName, EmailAddress, HttpUrl, HypervisorWord, InvalidValue, Issuer, LanAddress, NodeName,
    OmniVersion, SearchDomain, Size, SubnetAddress,
};

use crate::document::Problems;

/// The file's name when none is given, in the working directory.
pub const FILE_NAME: &str = "deployment.yaml";

/// Why there is no deployment.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The deployment file itself cannot be read.
    #[error("cannot read the deployment `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file, or one that it names, is wrong.
    #[error(transparent)]
    Invalid(#[from] Problems),
}

/// Reads the deployment at `path`, and the files that it names, which are relative to it.
pub fn load(files: &dyn Files, path: &Path) -> Result<Deployment, LoadError> {
    let text = files.read(path).map_err(|source| LoadError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    Ok(read(files, path, &text)?)
}
