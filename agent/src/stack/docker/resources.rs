//! Networks and volumes: made when missing, never removed.

use std::collections::HashMap;

use async_trait::async_trait;
use bollard::models::{NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::{
    InspectNetworkOptions, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
};

use super::fault::if_there;
use super::{DockerEngine, REQUEST};
use crate::stack::engine::{
    EngineError, NetworkDetails, NetworkSpecification, Resources, VolumeSpecification,
};
use crate::stack::labels;

#[async_trait]
impl Resources for DockerEngine {
    async fn ensure_network(&self, network: &NetworkSpecification) -> Result<bool, EngineError> {
        let name = &network.name;
        // Several networks may have one name at the Engine, so "create" alone is not enough.
        if self.network_exists(name).await? {
            return Ok(false);
        }
        let attempt = format!("cannot create network `{name}`");
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            internal: Some(network.internal),
            labels: Some(network.labels.clone().into_iter().collect()),
            ..NetworkCreateRequest::default()
        };
        self.call(&attempt, REQUEST, async |client| {
            client.create_network(request).await
        })
        .await?;
        Ok(true)
    }

    async fn ensure_volume(&self, volume: &VolumeSpecification) -> Result<bool, EngineError> {
        let name = &volume.name;
        if self.volume_exists(name).await? {
            return Ok(false);
        }
        let attempt = format!("cannot create volume `{name}`");
        let request = VolumeCreateRequest {
            name: Some(name.clone()),
            labels: Some(volume.labels.clone().into_iter().collect()),
            ..VolumeCreateRequest::default()
        };
        self.call(&attempt, REQUEST, async |client| {
            client.create_volume(request).await
        })
        .await?;
        Ok(true)
    }

    async fn network_exists(&self, name: &str) -> Result<bool, EngineError> {
        let attempt = format!("cannot inspect network `{name}`");
        let inspected = self
            .call(&attempt, REQUEST, async |client| {
                client
                    .inspect_network(name, None::<InspectNetworkOptions>)
                    .await
            })
            .await;
        // The Engine also finds a network by the beginning of its id.
        Ok(if_there(inspected)?.is_some_and(|network| network.name.as_deref() == Some(name)))
    }

    async fn volume_exists(&self, name: &str) -> Result<bool, EngineError> {
        let attempt = format!("cannot inspect volume `{name}`");
        let inspected = self
            .call(&attempt, REQUEST, async |client| {
                client.inspect_volume(name).await
            })
            .await;
        // What leads elsewhere in the address is not the volume of this name.
        Ok(if_there(inspected)?.is_some_and(|volume| volume.name == *name))
    }

    async fn project_volumes(&self, project: &str) -> Result<Vec<String>, EngineError> {
        let attempt = format!("cannot list the volumes of project `{project}`");
        let label = format!("{}={project}", labels::PROJECT);
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let listed = self
            .call(&attempt, REQUEST, async |client| {
                client.list_volumes(Some(options)).await
            })
            .await?;
        let mut names: Vec<String> = listed
            .volumes
            .unwrap_or_default()
            .into_iter()
            .map(|volume| volume.name)
            .collect();
        names.sort();
        Ok(names)
    }

    async fn project_networks(&self, project: &str) -> Result<Vec<NetworkDetails>, EngineError> {
        let attempt = format!("cannot list the networks of project `{project}`");
        let label = format!("{}={project}", labels::PROJECT);
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let listed = self
            .call(&attempt, REQUEST, async |client| {
                client.list_networks(Some(options)).await
            })
            .await?;
        let mut networks: Vec<NetworkDetails> = listed
            .into_iter()
            .map(|network| NetworkDetails {
                name: network.name.unwrap_or_default(),
                internal: network.internal.unwrap_or_default(),
            })
            .collect();
        networks.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(networks)
    }
}
