//! What can be wrong with a secret, or with the store.

use std::path::{Path, PathBuf};

use omni_scale_proto::id::SecretName;

use super::SecretValue;
use crate::error::{Classified, Kind};
use crate::files::FileError;

/// The largest value, in bytes.
pub(super) const LARGEST: usize = 64 * 1024;
/// The most secrets on one host.
pub(super) const MOST: usize = 256;

/// What was wrong with a secret, or with the store.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The disk did not do what it should.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file in the store is none of ours.
    #[error("`{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Empty, or larger than a secret may be.
    #[error("the value of secret `{name}` has {size} bytes; 1 to {LARGEST} are allowed")]
    Size {
        /// Whose value.
        name: SecretName,
        /// Its bytes.
        size: usize,
    },
    /// Too many names.
    #[error("this host keeps {MOST} secrets already")]
    Full,
    /// There is no candidate with this digest.
    #[error("secret `{name}` has no candidate with digest `{digest}`")]
    NoCandidate {
        /// Whose candidate.
        name: SecretName,
        /// The digest that was asked for.
        digest: String,
    },
}

impl Classified for SecretError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(_) => Kind::Fault,
            Self::Damaged { .. } => Kind::Damaged,
            Self::Size { .. } => Kind::Invalid,
            Self::Full => Kind::Exhausted,
            Self::NoCandidate { .. } => Kind::Stale,
        }
    }
}

impl SecretError {
    pub(super) fn damaged(
        path: &Path,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            source: Box::new(source),
        }
    }
}

/// A value has its bounds.
pub(super) fn check_size(name: &SecretName, value: &SecretValue) -> Result<(), SecretError> {
    let size = value.expose().len();
    if (1..=LARGEST).contains(&size) {
        return Ok(());
    }
    let name = name.clone();
    Err(SecretError::Size { name, size })
}
