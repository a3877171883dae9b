//! The cluster that was asked last: remembered over a restart, so that its health is known again without anybody
//! asking first.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use omni_scale_proto::v1;
use tracing::warn;

use super::aside::aside;
use crate::error::chain;
use crate::files;

/// The largest file that is read, in bytes: an authority's certificates may stand in it.
const LARGEST: u64 = 1024 * 1024;

/// The cluster that was asked last. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub(super) struct LastHypervisor {
    path: PathBuf,
    held: Arc<Mutex<Option<v1::Hypervisor>>>,
}

impl LastHypervisor {
    /// As an earlier run has left it. A file that cannot be read is the same as none. Blocks.
    pub(super) fn open(path: PathBuf) -> Self {
        let contents = files::read(&path, LARGEST).ok().flatten();
        let held = contents.and_then(|contents| serde_json::from_slice(&contents).ok());
        Self {
            path,
            held: Arc::new(Mutex::new(held)),
        }
    }

    /// It, if there was one.
    pub(super) fn get(&self) -> Option<v1::Hypervisor> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    /// Remembers who answered. That it cannot be written is no reason to fail what is done there.
    pub(super) async fn set(&self, hypervisor: &v1::Hypervisor) {
        if !self.replace(hypervisor) {
            return;
        }
        let contents = serde_json::to_vec_pretty(hypervisor).expect("all of it has a form in JSON");
        let path = self.path.clone();
        let write = move || {
            if let Some(directory) = path.parent() {
                files::create_directory(directory, 0o700)?;
            }
            files::write_atomically(&path, &contents, 0o600)
        };
        let written = aside(write).await;
        if let Ok(Err(error)) = written {
            warn!(error = %chain(&error), "cannot remember which cluster was asked");
        }
    }

    /// Whether it is another one.
    fn replace(&self, hypervisor: &v1::Hypervisor) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let differs = held.as_ref() != Some(hypervisor);
        if differs {
            *held = Some(hypervisor.clone());
        }
        differs
    }
}
