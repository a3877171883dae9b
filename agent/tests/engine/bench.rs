//! A project on the real Engine, which is swept away whatever happens to its test.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
    RemoveVolumeOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::FutureExt as _;
use omni_scale_agent::config::{Paths, Policy};
use omni_scale_agent::operation::{Done, Failure, Reporter};
use omni_scale_agent::secrets::{SecretValue, Secrets};
use omni_scale_agent::stack::docker::DockerEngine;
use omni_scale_agent::stack::engine::{Containers as _, Engine};
use omni_scale_agent::stack::{Apply, Stacks};
use omni_scale_proto::stack::CheckedStack;
use omni_scale_proto::v1;
use tokio::time::Instant;

use super::registry::Registry;

const SOCKET: &str = "/var/run/docker.sock";

/// A project of its own on the real Engine.
pub(crate) struct Bench {
    pub(crate) project: String,
    pub(crate) docker: Docker,
    pub(crate) engine: Arc<DockerEngine>,
    pub(crate) registry: Registry,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) stacks: Stacks,
    pub(crate) reporter: Reporter,
    pub(crate) directory: tempfile::TempDir,
}

/// Runs `test` on a bench and sweeps up after it.
pub(crate) async fn on_the_engine(test: impl AsyncFnOnce(&Bench)) {
    let bench = Bench::new().await;
    let ended = AssertUnwindSafe(test(&bench)).catch_unwind().await;
    bench.sweep().await;
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

impl Bench {
    async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let docker = Docker::connect_with_unix(SOCKET, 120, API_DEFAULT_VERSION)
            .expect("a Docker Engine behind /var/run/docker.sock; start `dockerd`")
            .negotiate_version()
            .await
            .expect("the Docker Engine answers");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let project = format!("ost-{}-{count}", std::process::id());
        let registry = Registry::start().await;
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::below(directory.path());
        let secrets = Arc::new(Secrets::open(&paths.secrets).unwrap());
        let engine = Arc::new(DockerEngine::new(SOCKET));
        let policy = Policy {
            image_repositories: vec![format!("{}/*", registry.address)],
            ..Policy::default()
        };
        let port: Arc<dyn Engine> = engine.clone();
        let stacks = Stacks::new(port, secrets.clone(), Arc::new(policy), &paths);
        Self {
            project,
            docker,
            engine,
            registry,
            secrets,
            stacks,
            reporter: Reporter::default(),
            directory,
        }
    }

    pub(crate) fn set_secret(&self, name: &str, value: &str) {
        let value = SecretValue::new(value.as_bytes().to_vec());
        self.secrets.put(&name.parse().unwrap(), &value).unwrap();
    }

    pub(crate) async fn apply(&self, stack: &v1::Stack) -> Result<Done, Failure> {
        let apply = Apply {
            stack: CheckedStack::try_from(stack.clone()).unwrap(),
            services: Vec::new(),
            remove_orphans: Vec::new(),
            deadline: Instant::now() + Duration::from_secs(60),
        };
        self.stacks.apply(&apply, &self.reporter).await
    }

    pub(crate) async fn observe(&self) -> v1::StackObservation {
        self.stacks
            .observe(&self.project.parse().unwrap(), &[])
            .await
    }

    /// One service as it is now.
    pub(crate) async fn service(&self, name: &str) -> v1::ServiceObservation {
        let observed = self.observe().await;
        let mut services = observed.services.into_iter();
        services
            .find(|service| service.service == name)
            .unwrap_or_else(|| panic!("service `{name}` is there"))
    }

    /// What a command prints inside of a service's container.
    pub(crate) async fn inside(&self, service: &str, command: &[&str]) -> String {
        let container = self.service(service).await.container_id;
        let output = self
            .engine
            .execute(&container, command, Duration::from_secs(10))
            .await
            .unwrap();
        assert_eq!(output.exit_code, 0, "{command:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    async fn sweep(&self) {
        let label = format!("com.docker.compose.project={}", self.project);
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        for container in self.docker.list_containers(Some(options)).await.unwrap() {
            let options = RemoveContainerOptionsBuilder::new()
                .force(true)
                .v(true)
                .build();
            let id = container.id.unwrap();
            let _ = self.docker.remove_container(&id, Some(options)).await;
        }
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let volumes = self.docker.list_volumes(Some(options)).await.unwrap();
        for volume in volumes.volumes.unwrap_or_default() {
            let _ = self
                .docker
                .remove_volume(&volume.name, None::<RemoveVolumeOptions>)
                .await;
        }
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        for network in self.docker.list_networks(Some(options)).await.unwrap() {
            let _ = self.docker.remove_network(&network.id.unwrap()).await;
        }
        let images = self
            .docker
            .list_images(None::<bollard::query_parameters::ListImagesOptions>)
            .await
            .unwrap();
        for image in images {
            let names = image.repo_digests.iter().chain(&image.repo_tags);
            if names
                .into_iter()
                .any(|name| name.starts_with(&self.registry.address))
            {
                let options = RemoveImageOptionsBuilder::new().force(true).build();
                let _ = self
                    .docker
                    .remove_image(&image.id, Some(options), None)
                    .await;
            }
        }
    }

    /// The labels of a container, by name.
    pub(crate) async fn labels(&self, container: &str) -> HashMap<String, String> {
        let inspected = self
            .docker
            .inspect_container(container, None::<InspectContainerOptions>)
            .await
            .unwrap();
        inspected.config.unwrap().labels.unwrap()
    }
}

fn words(words: &[&str]) -> v1::Arguments {
    v1::Arguments {
        values: words.iter().map(ToString::to_string).collect(),
    }
}

/// A sidecar with a state volume and a health check, Omni and the provider in its namespace.
pub(crate) async fn stack(bench: &Bench) -> v1::Stack {
    use omni_scale_agent::stack::testing;
    let mut stack = testing::stack();
    stack.name.clone_from(&bench.project);
    stack.volumes[0].engine_name = format!("{}_state", bench.project);
    stack.networks[0].engine_name = format!("{}_default", bench.project);
    let image = bench
        .registry
        .publish(&bench.docker, "omni", "omni", "first")
        .await;
    for service in &mut stack.services {
        service.image.clone_from(&image);
        service.command = Some(words(&["/bin/sh", "-c", "echo ready; exec sleep 1000"]));
        service.stop_grace_milliseconds = Some(200);
    }
    let sidecar = &mut stack.services[2];
    "0".clone_into(&mut sidecar.user);
    sidecar.command = Some(words(&[
        "/bin/sh",
        "-c",
        "touch /state/alive; exec httpd -f -p 8080 -h /",
    ]));
    sidecar.health_check = Some(v1::HealthCheck {
        test: ["CMD", "/bin/test", "-f", "/state/alive"]
            .map(str::to_owned)
            .to_vec(),
        interval_milliseconds: 500,
        timeout_milliseconds: 5_000,
        retries: 3,
        ..v1::HealthCheck::default()
    });
    stack
}
