//! What `PutArtifact` asks of the store of artifacts.

use async_trait::async_trait;
use omni_scale_proto::id::Sha256;

use crate::operation::Failure;

/// How far an upload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// The store holds the whole artifact, and its sum is right.
    Complete {
        /// Bytes.
        size: u64,
        /// True when nothing had to be uploaded.
        known: bool,
    },
    /// The next chunk begins at this offset.
    Next {
        /// Bytes from the start.
        offset: u64,
    },
}

/// Takes uploads of artifacts: resumable, bounded, checked by their sum before they can be used.
#[async_trait]
pub trait ArtifactUploads: Send + Sync {
    /// Begins an upload, or says how far an earlier one has come. Refuses what `agent.toml` does not allow.
    async fn begin(&self, sha256: &Sha256, size: u64) -> Result<UploadState, Failure>;
    /// Appends a chunk at `offset`. After the last one the sum is checked and the artifact becomes usable.
    async fn append(
        &self,
        sha256: &Sha256,
        offset: u64,
        chunk: &[u8],
    ) -> Result<UploadState, Failure>;
}
