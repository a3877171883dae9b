//! From image references to digests.
//!
//! The registry is asked first: a tag is what the registry says it is. Only when it cannot be
//! asked does an image that the host holds count, and then only with a digest that a registry gave
//! it once. References outside of `agent.toml` are not looked up at all.

use futures_util::{StreamExt as _, stream};
use omni_scale_proto::stack::image_digest;
use omni_scale_proto::v1;

use super::Stacks;
use super::engine::EngineError;
use super::policy::{allows_image, repository};
use crate::error::chain;

/// How many registries are asked at the same time.
const PARALLEL: usize = 4;

impl Stacks {
    /// What each reference is, in the same order.
    pub(super) async fn resolve(&self, references: &[String]) -> Vec<v1::ImageResolution> {
        stream::iter(references.to_vec())
            .map(|reference| self.resolve_one(reference))
            .buffered(PARALLEL)
            .collect()
            .await
    }

    async fn resolve_one(&self, reference: String) -> v1::ImageResolution {
        let resolved = match self.digest_of(&reference).await {
            Ok(resolved) => resolved,
            Err(failure) => {
                return v1::ImageResolution {
                    reference,
                    failure: self.secrets.mask(&failure),
                    ..v1::ImageResolution::default()
                };
            }
        };
        let present = matches!(self.engine.image(&resolved).await, Ok(Some(_)));
        v1::ImageResolution {
            reference,
            resolved,
            failure: String::new(),
            present,
        }
    }

    async fn digest_of(&self, reference: &str) -> Result<String, String> {
        if !allows_image(&self.policy, reference) {
            let repository = repository(reference);
            return Err(format!(
                "image `{repository}` is not in `policy.image_repositories` of agent.toml"
            ));
        }
        if image_digest(reference).is_some() {
            return Ok(reference.to_owned());
        }
        let refused = match self.engine.registry_digest(reference).await {
            Ok(digest) => return Ok(format!("{reference}@{digest}")),
            Err(error) => error,
        };
        match self.held_digest(reference).await {
            Ok(Some(digest)) => Ok(format!("{reference}@{digest}")),
            Ok(None) | Err(_) => Err(chain(&refused)),
        }
    }

    /// The digest that the host's own image of this name was pulled with.
    async fn held_digest(&self, reference: &str) -> Result<Option<String>, EngineError> {
        let held = self.engine.image(reference).await?;
        let wanted = repository(reference);
        Ok(held.and_then(|image| {
            image
                .repository_digests
                .iter()
                .find(|digest| repository(digest) == wanted)
                .and_then(|digest| image_digest(digest).map(str::to_owned))
        }))
    }
}
