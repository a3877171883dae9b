//! Takes artifacts that an operator uploads, in chunks, across broken connections.
//!
//! What has come lies in a file: its length is where the next chunk begins, also after a restart of
//! the agent. One artifact at a time: beginning another one lets go of what came of the first.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use omni_scale_proto::id::Sha256;
use omni_scale_proto::v1::FailureClass;
use sha2::Digest as _;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Mutex;

use super::LARGEST;
use super::error::ArtifactError;
use super::policy::check_upload;
use super::store::{ArtifactStore, finished};
use crate::config::Policy;
use crate::files::{self, FileError};
use crate::operation::Failure;
use crate::service::upload::{ArtifactUploads, UploadState};

/// The endings of files that hold what has come.
const ENDING: &str = "upload";

/// Uploads into a store.
#[derive(Debug)]
pub struct Uploads {
    store: ArtifactStore,
    policy: Arc<Policy>,
    /// The upload that goes on, and its size. One chunk at a time.
    begun: Mutex<Option<(Sha256, u64)>>,
}

impl Uploads {
    /// Uploads that this policy allows.
    pub fn new(store: ArtifactStore, policy: Arc<Policy>) -> Self {
        Self {
            store,
            policy,
            begun: Mutex::default(),
        }
    }

    fn path(&self, sum: &Sha256) -> Result<PathBuf, ArtifactError> {
        Ok(self.store.incoming()?.join(format!("{sum}.{ENDING}")))
    }

    /// Removes what has come of other artifacts.
    fn let_go_of_others(&self, sum: &Sha256) -> Result<(), ArtifactError> {
        let incoming = self.store.incoming()?;
        let ours = self.path(sum)?;
        let entries = std::fs::read_dir(&incoming).map_err(FileError::new("list", &incoming))?;
        for entry in entries {
            let path = entry.map_err(FileError::new("list", &incoming))?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) && path != ours {
                files::remove(&path)?;
            }
        }
        Ok(())
    }

    /// Checks and installs what has come. What has another sum is removed: it cannot become right.
    async fn finish(&self, sum: &Sha256) -> Result<(), ArtifactError> {
        let path = self.path(sum)?;
        let found = sum_of_synced(&path).await?;
        if found != *sum {
            files::remove(&path)?;
            let wanted = sum.clone();
            return Err(ArtifactError::SumDiffers { wanted, found });
        }
        let (store, sum) = (self.store.clone(), sum.clone());
        tokio::task::spawn_blocking(move || store.install(&path, &sum))
            .await
            .expect("installing does not panic and is not cancelled")
    }
}

async fn held(path: &std::path::Path) -> u64 {
    tokio::fs::metadata(path)
        .await
        .map_or(0, |metadata| metadata.len())
}

async fn sum_of_synced(path: &std::path::Path) -> Result<Sha256, FileError> {
    let mut file = File::open(path)
        .await
        .map_err(FileError::new("open", path))?;
    file.sync_all()
        .await
        .map_err(FileError::new("write", path))?;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = file
            .read(&mut buffer)
            .await
            .map_err(FileError::new("read", path))?;
        if read == 0 {
            return Ok(finished(hash));
        }
        hash.update(&buffer[..read]);
    }
}

#[async_trait]
impl ArtifactUploads for Uploads {
    async fn begin(&self, sha256: &Sha256, size: u64) -> Result<UploadState, Failure> {
        check_upload(&self.policy, sha256)?;
        if size == 0 || size > LARGEST {
            return Err(ArtifactError::TooLarge.into());
        }
        let mut begun = self.begun.lock().await;
        if self.store.holds(sha256)? {
            return Ok(UploadState::Complete { size, known: true });
        }
        self.let_go_of_others(sha256)?;
        *begun = Some((sha256.clone(), size));
        let path = self.path(sha256)?;
        let mut offset = held(&path).await;
        if offset > size {
            files::remove(&path).map_err(ArtifactError::from)?;
            offset = 0;
        }
        if offset == size {
            // The agent stopped between the last chunk and the check.
            self.finish(sha256).await?;
            return Ok(UploadState::Complete { size, known: false });
        }
        Ok(UploadState::Next { offset })
    }

    async fn append(
        &self,
        sha256: &Sha256,
        offset: u64,
        chunk: &[u8],
    ) -> Result<UploadState, Failure> {
        let begun = self.begun.lock().await;
        let Some((_, size)) = begun.as_ref().filter(|(sum, _)| sum == sha256) else {
            return Err(Failure::new(
                FailureClass::Transient,
                "another upload has taken the place of this one",
            ));
        };
        let path = self.path(sha256)?;
        let held = held(&path).await;
        if held != offset {
            return Ok(UploadState::Next { offset: held });
        }
        let end = held + u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if end > *size {
            let text = format!("the upload has more than the {size} bytes that it announced");
            return Err(Failure::new(FailureClass::Permanent, text));
        }
        append(&path, chunk).await.map_err(ArtifactError::from)?;
        if end < *size {
            return Ok(UploadState::Next { offset: end });
        }
        self.finish(sha256).await?;
        Ok(UploadState::Complete {
            size: *size,
            known: false,
        })
    }
}

async fn append(path: &std::path::Path, chunk: &[u8]) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .await
        .map_err(FileError::new("write", path))?;
    file.write_all(chunk)
        .await
        .map_err(FileError::new("write", path))?;
    // tokio writes in the background: an error would be lost with the handle.
    file.flush().await.map_err(FileError::new("write", path))
}

#[cfg(test)]
mod tests {
    use super::super::samples::binary;
    use super::*;

    struct Rig {
        directory: tempfile::TempDir,
        allowed: Sha256,
        store: ArtifactStore,
    }

    impl Rig {
        fn new(artifact: &[u8]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            Self {
                store: ArtifactStore::new(directory.path().join("programs")),
                allowed: Sha256::of(artifact),
                directory,
            }
        }

        /// The agent, started anew.
        fn uploads(&self) -> Uploads {
            let policy = Policy {
                artifact_sha256: [self.allowed.to_string()].into(),
                ..Policy::default()
            };
            Uploads::new(self.store.clone(), Arc::new(policy))
        }
    }

    const START: UploadState = UploadState::Next { offset: 0 };

    #[tokio::test]
    async fn an_upload_goes_on_after_a_restart() {
        let artifact = binary("uploaded");
        let size = u64::try_from(artifact.len()).unwrap();
        let rig = Rig::new(&artifact);
        let sum = rig.allowed.clone();
        let first = rig.uploads();
        assert_eq!(first.begin(&sum, size).await.unwrap(), START);
        let next = UploadState::Next { offset: 10 };
        assert_eq!(first.append(&sum, 0, &artifact[..10]).await.unwrap(), next);
        let second = rig.uploads();
        assert_eq!(second.begin(&sum, size).await.unwrap(), next);
        // A chunk that does not fit is not written.
        assert_eq!(second.append(&sum, 0, &artifact).await.unwrap(), next);
        let done = second.append(&sum, 10, &artifact[10..]).await.unwrap();
        assert_eq!(done, UploadState::Complete { size, known: false });
        let again = second.begin(&sum, size).await.unwrap();
        assert_eq!(again, UploadState::Complete { size, known: true });
        rig.store.activate(&sum).unwrap();
        assert!(rig.directory.path().join("programs/current/tsidp").exists());
    }

    #[tokio::test]
    async fn what_arrived_whole_before_a_crash_is_installed_after_it() {
        let artifact = binary("uploaded");
        let size = u64::try_from(artifact.len()).unwrap();
        let rig = Rig::new(&artifact);
        let sum = rig.allowed.clone();
        let path = rig.uploads().path(&sum).unwrap();
        append(&path, &artifact).await.unwrap();
        let state = rig.uploads().begin(&sum, size).await.unwrap();
        assert_eq!(state, UploadState::Complete { size, known: false });
    }

    #[tokio::test]
    async fn another_sum_begins_again_from_nothing() {
        let artifact = binary("uploaded");
        let size = u64::try_from(artifact.len()).unwrap();
        let rig = Rig::new(&artifact);
        let sum = rig.allowed.clone();
        let uploads = rig.uploads();
        uploads.begin(&sum, size).await.unwrap();
        let failure = uploads
            .append(&sum, 0, &binary("replaced"))
            .await
            .unwrap_err();
        assert_eq!(failure.class, FailureClass::Permanent);
        assert_eq!(uploads.begin(&sum, size).await.unwrap(), START);
    }

    #[tokio::test]
    async fn what_root_did_not_list_is_refused() {
        let rig = Rig::new(&binary("uploaded"));
        let other = Sha256::of(b"other");
        let failure = rig.uploads().begin(&other, 10).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Refused);
        assert!(
            rig.uploads()
                .begin(&rig.allowed, LARGEST + 1)
                .await
                .is_err()
        );
    }
}
