//! The image: fetched by the node itself, held against its sum, and kept for the next machine.

use omni_scale_proto::v1::MachineImageKind;
use omni_scale_proxmox::{
    Checksum, ChecksumAlgorithm, ContentKind, Download, NodeName, StorageId, VolumeId,
};

use super::Making;
use crate::machine::settings::{image_file, image_volume};
use crate::machine::trouble::Trouble;
use crate::machine::work::{Work, unspeakable};

impl Making<'_> {
    /// Sees to it that the node has the image.
    pub(super) async fn bring_image(&self, node: &NodeName) -> Result<(), Trouble> {
        let image = self.machine.image();
        let volume = image_volume(image).map_err(|error| unspeakable(&error))?;
        let storage: StorageId = image.storage.parse().map_err(|error| unspeakable(&error))?;
        let kind = match image.kind() {
            MachineImageKind::Iso => ContentKind::Iso,
            MachineImageKind::Disk | MachineImageKind::Unspecified => ContentKind::Import,
        };
        if is_there(&self.work, node, &storage, &kind, &volume).await? {
            return Ok(());
        }
        let _passage = self.work.enter(node, [image.storage.as_str()]).await?;
        // Somebody else may have brought it while this waited.
        if is_there(&self.work, node, &storage, &kind, &volume).await? {
            return Ok(());
        }
        self.work
            .stage(format!("{node} fetches the image from {}", image.url));
        let download = Download {
            content: kind,
            file_name: image_file(image),
            url: image.url.clone(),
            checksum: Checksum {
                algorithm: ChecksumAlgorithm::Sha256,
                hexadecimal: image.sha256.clone(),
            },
        };
        let task = self.work.client.download(node, &storage, &download).await?;
        self.work.wait(&task).await?;
        Ok(())
    }
}

/// Whether a file lies on a storage.
pub(super) async fn is_there(
    work: &Work<'_>,
    node: &NodeName,
    storage: &StorageId,
    kind: &ContentKind,
    volume: &VolumeId,
) -> Result<bool, Trouble> {
    let content = work.client.content(node, storage, Some(kind), None).await?;
    Ok(content.iter().any(|file| file.volume == *volume))
}
