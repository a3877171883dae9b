//! Images: what the host holds, what a registry has, and how the one becomes the other.

use std::collections::HashMap;

use async_trait::async_trait;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use omni_scale_proto::v1;
use tokio::time::timeout;

use super::fault::{engine_error, if_there};
use super::{DockerEngine, REQUEST, details};
use crate::stack::engine::{EngineError, ImageDetails, Images};

#[async_trait]
impl Images for DockerEngine {
    async fn image(&self, reference: &str) -> Result<Option<ImageDetails>, EngineError> {
        let attempt = format!("cannot inspect image `{reference}`");
        let inspected = self
            .call(&attempt, REQUEST, async |client| {
                client.inspect_image(reference).await
            })
            .await;
        Ok(if_there(inspected)?.map(details::image))
    }

    async fn registry_digest(&self, reference: &str) -> Result<String, EngineError> {
        let attempt = format!("cannot look up `{reference}` in its registry");
        let answer = self
            .call(&attempt, REQUEST, async |client| {
                client.inspect_registry_image(reference, None).await
            })
            .await?;
        answer
            .descriptor
            .digest
            .filter(|digest| digest.starts_with("sha256:"))
            .ok_or_else(|| EngineError::NotUnderstood {
                attempt,
                source: "the registry's answer has no sha256 digest".into(),
            })
    }

    async fn pull(
        &self,
        reference: &str,
        progress: &(dyn Fn(v1::PullProgress) + Send + Sync),
    ) -> Result<(), EngineError> {
        let attempt = format!("cannot pull `{reference}`");
        let options = CreateImageOptionsBuilder::new()
            .from_image(reference)
            .build();
        let client = self.client(&attempt).await?;
        let mut lines = client.create_image(Some(options), None, None);
        // Silence is bounded, not the whole: a large image on a slow line takes its time.
        loop {
            match timeout(REQUEST * 2, lines.next()).await {
                Err(_) => {
                    return Err(EngineError::TimedOut {
                        attempt,
                        seconds: REQUEST.as_secs() * 2,
                    });
                }
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return Err(engine_error(&attempt)(error)),
                Ok(Some(Ok(line))) => {
                    if let Some(message) = line
                        .error_detail
                        .as_ref()
                        .and_then(|error| error.message.clone())
                    {
                        return Err(EngineError::Failed {
                            attempt,
                            status: 0,
                            message,
                        });
                    }
                    progress(layer_progress(reference, line));
                }
            }
        }
    }

    async fn import(
        &self,
        repository: &str,
        tag: &str,
        label: &str,
        archive: Vec<u8>,
    ) -> Result<(), EngineError> {
        let attempt = format!("cannot import image `{repository}:{tag}`");
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(repository)
            .tag(tag)
            .changes(vec![format!("LABEL {label}")])
            .build();
        let archive = bollard::body_full(archive.into());
        self.call(&attempt, REQUEST, async |client| {
            client
                .create_image(Some(options), Some(archive), None)
                .try_for_each(|_| std::future::ready(Ok(())))
                .await
        })
        .await
    }

    async fn forget_image(&self, reference: &str) -> Result<(), EngineError> {
        let attempt = format!("cannot remove image `{reference}`");
        let options = RemoveImageOptionsBuilder::new().force(false).build();
        let removed = self
            .call(&attempt, REQUEST, async |client| {
                client.remove_image(reference, Some(options), None).await
            })
            .await;
        if_there(removed).map(|_| ())
    }

    async fn labelled_images(&self, label: &str) -> Result<Vec<String>, EngineError> {
        let attempt = format!("cannot list the images with label `{label}`");
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let listed = self
            .call(&attempt, REQUEST, async |client| {
                client.list_images(Some(options)).await
            })
            .await?;
        Ok(listed
            .into_iter()
            .flat_map(|image| image.repo_tags)
            .collect())
    }
}

fn layer_progress(reference: &str, line: CreateImageInfo) -> v1::PullProgress {
    let bytes = |count: Option<i64>| {
        count
            .and_then(|count| u64::try_from(count).ok())
            .unwrap_or_default()
    };
    let detail = line.progress_detail.unwrap_or_default();
    v1::PullProgress {
        image: reference.to_owned(),
        layer: line.id.unwrap_or_default(),
        status: line.status.unwrap_or_default(),
        current: bytes(detail.current),
        total: bytes(detail.total),
    }
}
