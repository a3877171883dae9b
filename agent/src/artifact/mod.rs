//! Programs that come from elsewhere: fetched or uploaded, checked by their sum, kept by version.
//!
//! A program is known by the SHA-256 sum of what was fetched: a bare binary, or a gzip-compressed
//! tar archive with a member `tsidp`, as releases of tsidp are. Invariants: nothing is put in place
//! whose sum is not right; a version is there as a whole or not at all; all is world-readable
//! whatever the process's umask is, because another user runs it.
//!
//! It does not decide which program runs: [`ArtifactStore::activate`] is told.

mod download;
mod error;
mod policy;
mod program;
#[cfg(any(test, feature = "testing"))]
pub mod samples;
mod source;
mod store;
mod upload;

pub use self::download::Downloader;
pub use self::error::ArtifactError;
pub use self::policy::{ArtifactRefusal, check_download, check_sum, check_upload};
pub use self::store::ArtifactStore;
pub use self::upload::Uploads;

/// The largest artifact, in bytes, as it is fetched and as it is unpacked.
pub const LARGEST: u64 = 256 * 1024 * 1024;
