//! The right to write journals: one at a time for all rollouts of a deployment on this machine.

use std::fmt;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::JournalFiles;

/// Whoever holds this is the only one on this machine who runs rollouts of the deployment. The
/// agents' leases keep other machines out.
pub struct JournalLock {
    pub(super) files: Arc<dyn JournalFiles>,
    _held: Box<dyn Send + Sync>,
}

/// Who holds the lock, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// `operator@machine`.
    pub by: String,
    /// Process id.
    pub process: u32,
    /// Milliseconds since the Unix epoch.
    pub since: i64,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("another omni-scale on this machine works on this deployment{}", held_by(.holder.as_ref()))]
    Held {
        /// Who. None: they have not said yet.
        holder: Option<LockHolder>,
    },
    /// The disk.
    #[error("could not lock the journals")]
    File {
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl JournalLock {
    /// Takes the lock, or says who has it.
    pub fn take(files: Arc<dyn JournalFiles>, holder: &LockHolder) -> Result<Self, LockError> {
        let failed = |source| LockError::File { source };
        let text = serde_json::to_vec(holder).expect("a holder has only text keys");
        match files.lock(&text).map_err(failed)? {
            Some(held) => Ok(Self { files, _held: held }),
            None => Err(LockError::Held {
                holder: files
                    .lock_holder()
                    .ok()
                    .and_then(|text| serde_json::from_slice(&text).ok()),
            }),
        }
    }
}

impl fmt::Debug for JournalLock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("JournalLock")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn held_by(holder: Option<&LockHolder>) -> String {
    holder
        .map(|holder| format!(": {} (process {})", holder.by, holder.process))
        .unwrap_or_default()
}
