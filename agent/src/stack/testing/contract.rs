//! What every engine keeps to, real or model: run against both.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use omni_scale_proto::v1::{ContainerState, RestartPolicy};

use crate::stack::engine::{
    ContainerSpecification, EndpointSpecification, Engine, EngineError, EventKind,
    MountSpecification, NetworkAttachment, NetworkSpecification, VolumeSpecification,
};
use crate::stack::labels;

/// What an engine under test has to offer.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// A project of nobody else's.
    pub project: String,
    /// An image that it can pull, by digest.
    pub image: String,
    /// A command in it that runs until it is stopped.
    pub command: Vec<String>,
}

impl Fixture {
    fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (labels::PROJECT.to_owned(), self.project.clone()),
            (labels::SERVICE.to_owned(), "contract".to_owned()),
        ])
    }

    fn container(&self, name: &str) -> ContainerSpecification {
        ContainerSpecification {
            name: format!("{}-{name}", self.project),
            image: self.image.clone(),
            labels: self.labels(),
            command: Some(self.command.clone()),
            ..ContainerSpecification::default()
        }
    }
}

/// Holds an engine against its port. Panics where it does not keep to it.
///
/// The volume and the network that it makes stay: the port cannot remove them.
pub async fn engine_contract(engine: &dyn Engine, fixture: &Fixture) {
    images(engine, fixture).await;
    resources(engine, fixture).await;
    life_of_a_container(engine, fixture).await;
    nothing_to_be_found(engine, fixture).await;
}

async fn images(engine: &dyn Engine, fixture: &Fixture) {
    let layers = std::sync::Mutex::new(Vec::new());
    let progress = |step: omni_scale_proto::v1::PullProgress| {
        layers.lock().expect("no panic").push(step.layer);
    };
    engine
        .pull(&fixture.image, &progress)
        .await
        .expect("the image can be pulled");
    assert!(!layers.into_inner().expect("no panic").is_empty());
    let held = engine.image(&fixture.image).await.expect("an answer");
    assert!(held.expect("it is there now").id.starts_with("sha256:"));
}

async fn resources(engine: &dyn Engine, fixture: &Fixture) {
    let volume = VolumeSpecification {
        name: format!("{}_data", fixture.project),
        labels: fixture.labels(),
    };
    assert!(engine.ensure_volume(&volume).await.expect("an answer"));
    assert!(!engine.ensure_volume(&volume).await.expect("an answer"));
    assert_eq!(
        engine
            .project_volumes(&fixture.project)
            .await
            .expect("an answer"),
        [volume.name]
    );
    let network = NetworkSpecification {
        name: format!("{}_net", fixture.project),
        labels: fixture.labels(),
        internal: true,
    };
    assert!(engine.ensure_network(&network).await.expect("an answer"));
    assert!(!engine.ensure_network(&network).await.expect("an answer"));
    assert!(
        engine
            .network_exists(&network.name)
            .await
            .expect("an answer")
    );
    let listed = engine.project_networks(&fixture.project).await;
    let listed = listed.expect("an answer");
    assert_eq!((listed.len(), &listed[0].name), (1, &network.name));
    assert!(listed[0].internal);
}

async fn life_of_a_container(engine: &dyn Engine, fixture: &Fixture) {
    let mut events = engine
        .events(&fixture.project, None)
        .await
        .expect("events can be followed");
    let mut seen = Vec::new();
    // The first look connects; what happens from here on is heard.
    let first = tokio::time::timeout(Duration::from_millis(500), events.next()).await;
    assert!(first.is_err(), "nothing has happened yet: {first:?}");

    let mut specification = fixture.container("one");
    specification.mounts = vec![MountSpecification::Volume {
        name: format!("{}_data", fixture.project),
        target: "/data".to_owned(),
        read_only: false,
    }];
    let network = format!("{}_net", fixture.project);
    specification.network = NetworkAttachment::Networks(vec![EndpointSpecification {
        network: network.clone(),
        aliases: Vec::new(),
    }]);
    let id = engine.create(&specification).await.expect("it is created");
    let taken = engine.create(&specification).await;
    assert!(
        matches!(taken, Err(EngineError::Conflict { .. })),
        "{taken:?}"
    );
    let details = engine
        .container(&id)
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(details.state, ContainerState::Created);
    assert_eq!(details.started_at_milliseconds, 0);
    assert_eq!(details.volumes[0].target, "/data");
    assert_eq!(details.networks, [network]);

    engine.start(&id).await.expect("it starts");
    engine.start(&id).await.expect("twice is harmless");
    let details = engine
        .container(&id)
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(details.state, ContainerState::Running);
    assert!(details.started_at_milliseconds > 0);
    let refused = engine.remove(&id).await;
    assert!(
        matches!(refused, Err(EngineError::Conflict { .. })),
        "{refused:?}"
    );

    engine
        .stop(&id, Some(Duration::from_secs(1)))
        .await
        .expect("it stops");
    engine.stop(&id, None).await.expect("twice is harmless");
    let restart = async || {
        let details = engine.container(&id).await.expect("an answer");
        details.expect("it is there").restart
    };
    assert_eq!(restart().await, RestartPolicy::No);
    for policy in [RestartPolicy::Always, RestartPolicy::No] {
        let set = engine.set_restart(&id, policy, 0).await;
        set.expect("the policy is set");
        assert_eq!(restart().await, policy);
    }
    let name = format!("{}-two", fixture.project);
    engine.rename(&id, &name).await.expect("it is renamed");
    let details = engine
        .container(&name)
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(
        (details.id.as_str(), details.state),
        (id.as_str(), ContainerState::Exited)
    );
    engine.remove(&id).await.expect("it is removed");
    assert!(engine.container(&id).await.expect("an answer").is_none());
    assert!(
        engine
            .volume_exists(&format!("{}_data", fixture.project))
            .await
            .expect("an answer")
    );

    while seen.last() != Some(&EventKind::Destroyed) {
        let event = tokio::time::timeout(Duration::from_secs(10), events.next())
            .await
            .expect("the events of a life come")
            .expect("the connection holds")
            .expect("events are understood");
        assert_eq!(
            (event.container.as_str(), event.service.as_str()),
            (id.as_str(), "contract")
        );
        seen.push(event.kind);
    }
    assert_eq!(seen[..2], [EventKind::Created, EventKind::Started]);
    assert!(
        seen.iter()
            .any(|kind| matches!(kind, EventKind::Died { .. }))
    );
}

async fn nothing_to_be_found(engine: &dyn Engine, fixture: &Fixture) {
    let nobody = format!("{}-nobody", fixture.project);
    assert!(
        engine
            .container(&nobody)
            .await
            .expect("an answer")
            .is_none()
    );
    assert!(
        engine
            .project_containers(&nobody)
            .await
            .expect("an answer")
            .is_empty()
    );
    assert!(!engine.volume_exists(&nobody).await.expect("an answer"));
    for ended in [
        engine.start(&nobody).await,
        engine.stop(&nobody, None).await,
        engine.remove(&nobody).await,
        engine.put_archive(&nobody, Vec::new()).await,
        engine.set_restart(&nobody, RestartPolicy::No, 0).await,
    ] {
        assert!(
            matches!(ended, Err(EngineError::NotFound { .. })),
            "{ended:?}"
        );
    }
    let mut missing = fixture.container("three");
    missing.image = super::image("localhost/nobody", 'f');
    let created = engine.create(&missing).await;
    assert!(
        matches!(created, Err(EngineError::NotFound { .. })),
        "{created:?}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::testing::{FakeEngine, FakeImage, image};

    #[tokio::test(start_paused = true)]
    async fn the_model_keeps_the_contract() {
        let engine = FakeEngine::default();
        let fixture = Fixture {
            project: "contract".to_owned(),
            image: image("registry.example/contract", '1'),
            command: vec!["sleep".to_owned()],
        };
        let layers = vec!["a1".to_owned()];
        engine.publish(
            &fixture.image,
            FakeImage {
                layers,
                ..FakeImage::default()
            },
        );
        engine_contract(&engine, &fixture).await;
    }
}
