//! The one who looks after the tsidp unit: everything it needs, in one place.
//!
//! What it does stands in [`super::apply`], [`super::control`] and [`super::observe`].

use std::path::PathBuf;
use std::sync::Arc;

use super::configuration::ConfigurationFiles;
use super::issuer::IssuerProbe;
use super::record::{FILE, Records};
use super::units::Units;
use super::verification::Verifications;
use crate::artifact::{ArtifactStore, Downloader};
use crate::config::Policy;
use crate::journal::Journal;
use crate::operation::Failure;
use crate::record::RecordError;
use crate::secrets::Secrets;
use omni_scale_proto::v1::FailureClass;

/// What a [`TsidpUnit`] is made of.
#[derive(Debug)]
pub struct TsidpParts {
    /// The service manager.
    pub units: Arc<dyn Units>,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// Who asks the product.
    pub issuer: Arc<dyn IssuerProbe>,
    /// The programs on this host.
    pub programs: ArtifactStore,
    /// Who fetches programs.
    pub downloader: Downloader,
    /// The secrets of this host.
    pub secrets: Arc<Secrets>,
    /// What root allows.
    pub policy: Arc<Policy>,
    /// The agent's directory for the unit.
    pub directory: PathBuf,
    /// tsidp's own state: the agent can see that it is there, and no more.
    pub state_directory: PathBuf,
}

/// tsidp's state directory, as its unit file has it.
pub const STATE_DIRECTORY: &str = "/var/lib/tsidp";

/// Looks after the tsidp unit.
#[derive(Debug)]
pub struct TsidpUnit {
    pub(super) units: Arc<dyn Units>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) issuer: Arc<dyn IssuerProbe>,
    pub(super) programs: ArtifactStore,
    pub(super) downloader: Downloader,
    pub(super) secrets: Arc<Secrets>,
    pub(super) policy: Arc<Policy>,
    pub(super) files: ConfigurationFiles,
    pub(super) records: Records,
    pub(super) state_directory: PathBuf,
    pub(super) verifications: Verifications,
}

impl TsidpUnit {
    /// Reads what is remembered of the unit. Blocks.
    pub fn open(parts: TsidpParts) -> Result<Arc<Self>, RecordError> {
        Ok(Arc::new(Self {
            files: ConfigurationFiles::in_directory(&parts.directory),
            records: Records::open(&parts.directory, FILE)?,
            units: parts.units,
            journal: parts.journal,
            issuer: parts.issuer,
            programs: parts.programs,
            downloader: parts.downloader,
            secrets: parts.secrets,
            policy: parts.policy,
            state_directory: parts.state_directory,
            verifications: Verifications::default(),
        }))
    }

    /// The journal of this unit's host.
    pub fn journal(&self) -> &dyn Journal {
        &*self.journal
    }

    /// Does work on files without holding up others. It is finished even when the caller goes away.
    pub(super) async fn blocking<Out, Work>(self: &Arc<Self>, work: Work) -> Result<Out, Failure>
    where
        Out: Send + 'static,
        Work: FnOnce(&Self) -> Result<Out, Failure> + Send + 'static,
    {
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&this))
            .await
            .unwrap_or_else(|error| {
                let text = format!("work on files broke off: {error}");
                Err(Failure::new(FailureClass::Bug, text))
            })
    }
}
