//! Images, networks, volumes, events and logs of the model.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use omni_scale_proto::v1;
use tokio_stream::wrappers::BroadcastStream;

use super::{FakeEngine, by_digest, missing};
use crate::stack::engine::{
    Activity, ContainerEvent, EngineError, ImageDetails, Images, LogOptions, LogPiece,
    NetworkDetails, NetworkSpecification, Resources, VolumeSpecification,
};
use crate::stack::labels;

#[async_trait]
impl Images for FakeEngine {
    async fn image(&self, reference: &str) -> Result<Option<ImageDetails>, EngineError> {
        let model = self.called(format!("image {reference}")).await?;
        Ok(model.held_images.get(&by_digest(reference)).cloned())
    }

    async fn registry_digest(&self, reference: &str) -> Result<String, EngineError> {
        let model = self.called(format!("resolve {reference}")).await?;
        let digest = model.tags.get(reference).cloned();
        digest.ok_or_else(|| missing("manifest", reference))
    }

    async fn pull(
        &self,
        reference: &str,
        progress: &(dyn Fn(v1::PullProgress) + Send + Sync),
    ) -> Result<(), EngineError> {
        let mut model = self.called(format!("pull {reference}")).await?;
        let key = by_digest(reference);
        let image = model
            .registry
            .get(&key)
            .cloned()
            .ok_or_else(|| missing("manifest", reference))?;
        for layer in &image.layers {
            for (status, current) in [("Downloading", 512), ("Pull complete", 1024)] {
                progress(v1::PullProgress {
                    image: reference.to_owned(),
                    layer: layer.clone(),
                    status: status.to_owned(),
                    current,
                    total: 1024,
                });
            }
        }
        let id = format!("sha256:{:064x}", model.held_images.len() + 1);
        let details = ImageDetails {
            id,
            repository_digests: vec![key.clone()],
            user: image.user,
        };
        model.held_images.insert(key, details);
        Ok(())
    }

    async fn import(
        &self,
        repository: &str,
        tag: &str,
        _label: &str,
        _archive: Vec<u8>,
    ) -> Result<(), EngineError> {
        let mut model = self.called(format!("import {repository}:{tag}")).await?;
        let details = ImageDetails {
            id: format!("sha256:{:064x}", model.held_images.len() + 1),
            repository_digests: Vec::new(),
            user: String::new(),
        };
        model
            .held_images
            .insert(format!("{repository}:{tag}"), details);
        Ok(())
    }

    async fn forget_image(&self, reference: &str) -> Result<(), EngineError> {
        let mut model = self.called(format!("forget {reference}")).await?;
        model.held_images.remove(reference);
        Ok(())
    }

    async fn labelled_images(&self, label: &str) -> Result<Vec<String>, EngineError> {
        let model = self.called(format!("images {label}")).await?;
        Ok(model
            .held_images
            .keys()
            .filter(|name| !name.contains('@'))
            .cloned()
            .collect())
    }
}

#[async_trait]
impl Resources for FakeEngine {
    async fn ensure_network(&self, network: &NetworkSpecification) -> Result<bool, EngineError> {
        let mut model = self.called(format!("network {}", network.name)).await?;
        let made = !model.networks.contains_key(&network.name);
        model
            .networks
            .entry(network.name.clone())
            .or_insert_with(|| network.clone());
        Ok(made)
    }

    async fn ensure_volume(&self, volume: &VolumeSpecification) -> Result<bool, EngineError> {
        let mut model = self.called(format!("volume {}", volume.name)).await?;
        let made = !model.volumes.contains_key(&volume.name);
        model
            .volumes
            .entry(volume.name.clone())
            .or_insert_with(|| volume.labels.clone());
        Ok(made)
    }

    async fn network_exists(&self, name: &str) -> Result<bool, EngineError> {
        Ok(self
            .called(format!("network? {name}"))
            .await?
            .networks
            .contains_key(name))
    }

    async fn volume_exists(&self, name: &str) -> Result<bool, EngineError> {
        Ok(self
            .called(format!("volume? {name}"))
            .await?
            .volumes
            .contains_key(name))
    }

    async fn project_volumes(&self, project: &str) -> Result<Vec<String>, EngineError> {
        let model = self.called(format!("volumes {project}")).await?;
        Ok(model
            .volumes
            .iter()
            .filter(|(_, labels)| labels.get(labels::PROJECT).map(String::as_str) == Some(project))
            .map(|(name, _)| name.clone())
            .collect())
    }

    async fn project_networks(&self, project: &str) -> Result<Vec<NetworkDetails>, EngineError> {
        let model = self.called(format!("networks {project}")).await?;
        let ours = |network: &&NetworkSpecification| {
            network.labels.get(labels::PROJECT).map(String::as_str) == Some(project)
        };
        let networks = model.networks.values().filter(ours);
        Ok(networks
            .map(|network| NetworkDetails {
                name: network.name.clone(),
                internal: network.internal,
            })
            .collect())
    }
}

#[async_trait]
impl Activity for FakeEngine {
    async fn version(&self) -> Result<v1::EngineVersion, EngineError> {
        drop(self.called("version".to_owned()).await?);
        Ok(v1::EngineVersion {
            version: "model".to_owned(),
            api_version: "1.45".to_owned(),
            api_version_minimum: "1.24".to_owned(),
        })
    }

    async fn events(
        &self,
        project: &str,
        since: Option<i64>,
    ) -> Result<BoxStream<'static, Result<ContainerEvent, EngineError>>, EngineError> {
        let model = self.called(format!("events {project}")).await?;
        let listener = BroadcastStream::new(self.heard.subscribe());
        let past: Vec<_> = model
            .history
            .iter()
            .filter(|event| since.is_some_and(|since| event.time_nanoseconds >= since))
            .cloned()
            .map(Ok)
            .collect();
        let coming = listener
            .take_while(|heard| std::future::ready(matches!(heard, Ok(Some(_)))))
            .filter_map(|heard| std::future::ready(heard.ok().flatten().map(Ok)));
        Ok(stream::iter(past).chain(coming).boxed())
    }

    async fn logs(
        &self,
        container: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, Result<LogPiece, EngineError>>, EngineError> {
        let model = self.called(format!("logs {container}")).await?;
        let log = &model
            .find(container)
            .ok_or_else(|| missing("container", container))?
            .log;
        // The model keeps no times of its own: from a start on, only what came last is new.
        let wanted = if options.since_seconds > 0 {
            1
        } else {
            options.lines as usize
        };
        let skipped = log.len().saturating_sub(wanted);
        let pieces: Vec<_> = log.iter().skip(skipped).cloned().map(Ok).collect();
        Ok(stream::iter(pieces).boxed())
    }
}
