//! Containers, one request of the Engine's API for each method.

use std::collections::HashMap;
use std::io::Read as _;
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{ContainerSummary, ContainerUpdateBody, NetworkConnectRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder,
    InspectContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use omni_scale_proto::v1;

use super::fault::{engine_error, if_there};
use super::{DockerEngine, REQUEST, body, details};
use crate::stack::engine::{
    CommandOutput, ContainerDetails, ContainerSpecification, Containers, EngineError,
    NetworkAttachment, OneShot,
};
use crate::stack::labels;

/// How many containers are inspected at the same time.
const PARALLEL_INSPECTIONS: usize = 8;

/// The most that is read of a container's file.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Beyond the grace of a stop: SIGKILL, and unmounting.
const STOP_MARGIN: Duration = Duration::from_secs(30);

/// Longer than any grace a container may have been created with.
const LONGEST_STOP: Duration = Duration::from_secs(15 * 60);

#[async_trait]
impl Containers for DockerEngine {
    async fn project_containers(
        &self,
        project: &str,
    ) -> Result<Vec<ContainerDetails>, EngineError> {
        let label = format!("{}={project}", labels::PROJECT);
        let listed = self.labelled_containers(&label).await?;
        let inspected: Vec<Option<ContainerDetails>> = stream::iter(listed)
            .map(|id| async move { self.container(&id).await })
            .buffered(PARALLEL_INSPECTIONS)
            .try_collect()
            .await?;
        // One that is gone meanwhile is no longer there to be listed.
        Ok(inspected.into_iter().flatten().collect())
    }

    async fn labelled_containers(&self, label: &str) -> Result<Vec<String>, EngineError> {
        let attempt = format!("cannot list the containers with label `{label}`");
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let listed: Vec<ContainerSummary> = self
            .call(&attempt, REQUEST, async |client| {
                client.list_containers(Some(options)).await
            })
            .await?;
        Ok(listed
            .into_iter()
            .filter_map(|summary| summary.id)
            .collect())
    }

    async fn container(&self, container: &str) -> Result<Option<ContainerDetails>, EngineError> {
        let attempt = format!("cannot inspect container `{container}`");
        let options = InspectContainerOptionsBuilder::new().build();
        let inspected = self
            .call(&attempt, REQUEST, async |client| {
                client.inspect_container(container, Some(options)).await
            })
            .await;
        Ok(if_there(inspected)?.map(details::container))
    }

    async fn create(&self, specification: &ContainerSpecification) -> Result<String, EngineError> {
        let name = &specification.name;
        let attempt = format!("cannot create container `{name}`");
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let request = body::container(specification);
        let created = self
            .call(&attempt, REQUEST, async |client| {
                client.create_container(Some(options), request).await
            })
            .await?;
        if let NetworkAttachment::Networks(endpoints) = &specification.network {
            for endpoint in endpoints.iter().skip(1) {
                let network = &endpoint.network;
                let attempt = format!("cannot connect container `{name}` to network `{network}`");
                let request = NetworkConnectRequest {
                    container: created.id.clone(),
                    endpoint_config: Some(body::endpoint(endpoint)),
                };
                let connected = self
                    .call(&attempt, REQUEST, async |client| {
                        client.connect_network(network, request).await
                    })
                    .await;
                if let Err(error) = connected {
                    // The caller does not learn the id: half a container must not stay.
                    let _ = self.remove(&created.id).await;
                    return Err(error);
                }
            }
        }
        Ok(created.id)
    }

    async fn put_archive(&self, container: &str, archive: Vec<u8>) -> Result<(), EngineError> {
        let attempt = format!("cannot put files into container `{container}`");
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let archive = bollard::body_full(archive.into());
        self.call(&attempt, REQUEST, async |client| {
            client
                .upload_to_container(container, Some(options), archive)
                .await
        })
        .await
    }

    async fn read_file(&self, container: &str, path: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let attempt = format!("cannot read `{path}` in container `{container}`");
        let options = DownloadFromContainerOptionsBuilder::new()
            .path(path)
            .build();
        let archive = self
            .call(&attempt, REQUEST, async |client| {
                let mut archive = Vec::new();
                let mut chunks = client.download_from_container(container, Some(options));
                while let Some(chunk) = chunks.try_next().await? {
                    archive.extend_from_slice(&chunk);
                    // The header of a tar entry, its padding and the end need little more.
                    if archive.len() as u64 > LARGEST_FILE + 64 * 1024 {
                        break;
                    }
                }
                Ok(archive)
            })
            .await;
        let Some(archive) = if_there(archive)? else {
            return Ok(None);
        };
        first_file(&archive).map_err(|error| EngineError::NotUnderstood {
            attempt,
            source: Box::new(error),
        })
    }

    async fn start(&self, container: &str) -> Result<(), EngineError> {
        let attempt = format!("cannot start container `{container}`");
        self.call(&attempt, REQUEST, async |client| {
            client
                .start_container(container, None::<StartContainerOptions>)
                .await
        })
        .await
    }

    async fn stop(&self, container: &str, grace: Option<Duration>) -> Result<(), EngineError> {
        let attempt = format!("cannot stop container `{container}`");
        let mut options = StopContainerOptionsBuilder::new();
        if let Some(grace) = grace {
            options = options.t(i32::try_from(body::whole_seconds(grace)).unwrap_or(i32::MAX));
        }
        let bound = grace.map_or(LONGEST_STOP, |grace| grace + STOP_MARGIN);
        self.call(&attempt, bound, async |client| {
            client
                .stop_container(container, Some(options.build()))
                .await
        })
        .await
    }

    async fn set_restart(
        &self,
        container: &str,
        policy: v1::RestartPolicy,
        attempts: u32,
    ) -> Result<(), EngineError> {
        let attempt = format!("cannot set the restart policy of container `{container}`");
        let update = ContainerUpdateBody {
            restart_policy: Some(body::restart_policy(policy, attempts)),
            ..ContainerUpdateBody::default()
        };
        self.call(&attempt, REQUEST, async |client| {
            client.update_container(container, update).await
        })
        .await?;
        Ok(())
    }

    async fn rename(&self, container: &str, name: &str) -> Result<(), EngineError> {
        let attempt = format!("cannot rename container `{container}` to `{name}`");
        let options = RenameContainerOptionsBuilder::new().name(name).build();
        self.call(&attempt, REQUEST, async |client| {
            client.rename_container(container, options).await
        })
        .await
    }

    async fn remove(&self, container: &str) -> Result<(), EngineError> {
        let attempt = format!("cannot remove container `{container}`");
        let options = RemoveContainerOptionsBuilder::new()
            .v(false)
            .force(false)
            .build();
        self.call(&attempt, REQUEST, async |client| {
            client.remove_container(container, Some(options)).await
        })
        .await
    }

    async fn execute(
        &self,
        container: &str,
        command: &[&str],
        bound: Duration,
    ) -> Result<CommandOutput, EngineError> {
        self.execute_inside(container, command, bound).await
    }

    async fn run_to_end(&self, one_shot: &OneShot) -> Result<CommandOutput, EngineError> {
        self.run_once(one_shot).await
    }
}

impl DockerEngine {
    /// Removes a container whatever it does. Only for those that run once.
    pub(super) async fn remove_by_force(&self, container: &str) -> Result<(), EngineError> {
        let attempt = format!("cannot remove container `{container}`");
        let options = RemoveContainerOptionsBuilder::new()
            .v(false)
            .force(true)
            .build();
        let client = self.client(&attempt).await?;
        client
            .remove_container(container, Some(options))
            .await
            .map_err(engine_error(&attempt))
    }
}

/// The Engine sends a file as a tar archive with one entry.
fn first_file(archive: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    let mut archive = tar::Archive::new(archive);
    let Some(entry) = archive.entries()?.next() else {
        return Ok(None);
    };
    let entry = entry?;
    if !entry.header().entry_type().is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    entry.take(LARGEST_FILE).read_to_end(&mut content)?;
    Ok(Some(content))
}
