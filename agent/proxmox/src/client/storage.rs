//! Calls about what lies on a storage.

use std::time::Duration;

use crate::{
    Client, Content, ContentKind, Download, Error, NodeName, StorageId, Upid, Upload, Vmid,
    VolumeId, calls, model::Contents, request::Request,
};

impl Client {
    /// What lies on a storage: of one kind, or of one VM, or all that the token may see. What has a name that is no
    /// [`VolumeId`], which nothing of ours has, is left out.
    pub async fn content(
        &self,
        node: &NodeName,
        storage: &StorageId,
        kind: Option<&ContentKind>,
        vmid: Option<Vmid>,
    ) -> Result<Vec<Content>, Error> {
        let request = Request::new(&calls::CONTENT, &[node.as_str(), storage.as_str()])
            .maybe("content", kind.map(ContentKind::as_str))
            .maybe("vmid", vmid);
        let Contents(content) = self.ask(request).await?;
        Ok(content)
    }

    /// Removes a file. Returns the task, or nothing when it was removed at once.
    pub async fn delete_content(
        &self,
        node: &NodeName,
        volume: &VolumeId,
    ) -> Result<Option<Upid>, Error> {
        let places = [node.as_str(), volume.storage(), volume.as_str()];
        self.ask(Request::new(&calls::DELETE_CONTENT, &places))
            .await
    }

    /// Lets the node fetch a file. One that is there already, with the right checksum, is a success.
    pub async fn download(
        &self,
        node: &NodeName,
        storage: &StorageId,
        download: &Download,
    ) -> Result<Upid, Error> {
        let request = Request::new(&calls::DOWNLOAD_URL, &[node.as_str(), storage.as_str()])
            .with("content", download.content.as_str())
            .with("filename", &download.file_name)
            .with("url", &download.url)
            .with("checksum", &download.checksum.hexadecimal)
            .with("checksum-algorithm", download.checksum.algorithm.as_str())
            .flag("verify-certificates", true);
        self.begin(request).await
    }

    /// Sends a file, within `limit`. An older file of the name is replaced without a word.
    pub async fn upload(
        &self,
        node: &NodeName,
        storage: &StorageId,
        upload: Upload,
        limit: Duration,
    ) -> Result<Upid, Error> {
        let mut request = Request::new(&calls::UPLOAD, &[node.as_str(), storage.as_str()])
            .with("content", upload.content.as_str())
            .with("checksum-algorithm", upload.checksum.algorithm.as_str())
            .with("checksum", &upload.checksum.hexadecimal)
            .with("filename", &upload.file_name)
            .within(limit);
        request.upload = Some(upload);
        self.begin(request).await
    }
}
