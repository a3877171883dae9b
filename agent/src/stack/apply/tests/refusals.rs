//! What is not done, whoever asks.

use omni_scale_proto::v1::FailureClass;

use super::*;
use crate::stack::engine::{ContainerSpecification, Containers as _, Images as _};
use crate::stack::labels;
use crate::stack::testing::image;

#[tokio::test(start_paused = true)]
async fn what_agent_toml_does_not_allow_is_not_even_looked_at() {
    let host = StackHost::new();
    let mut stack = testing::stack();
    stack.services[1].privileged = true;
    stack.services[0].image = image("other.example/provider", '1');
    let failure = host.apply(&stack).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Refused);
    assert!(
        failure
            .message
            .contains("`privileged` is refused on every host"),
        "{failure}"
    );
    assert!(
        failure.message.contains("`policy.image_repositories`"),
        "{failure}"
    );
    assert_eq!(host.engine.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_network_of_another_kind_is_refused_before_anything_is_stopped() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    host.engine.forget_calls();
    let mut stack = with_newer_image("omni");
    stack.networks[0].internal = true;
    let failure = host.apply(&stack).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(failure.message.contains("`omni_default`"), "{failure}");
    assert!(failure.hint.is_some());
    assert_eq!(host.changes(), Vec::<String>::new());
}

/// Somebody else's container.
async fn foreign(host: &StackHost, name: &str) -> String {
    let reference = image("registry.example/omni", '1');
    host.engine.publish_all(&testing::stack());
    host.engine.pull(&reference, &|_| {}).await.unwrap();
    let specification = ContainerSpecification {
        name: name.to_owned(),
        image: reference,
        labels: [(labels::PROJECT.to_owned(), "omni".to_owned())].into(),
        ..ContainerSpecification::default()
    };
    let id = host.engine.create(&specification).await.unwrap();
    host.engine.start(&id).await.unwrap();
    host.engine.forget_calls();
    id
}

#[tokio::test(start_paused = true)]
async fn a_name_that_somebody_else_has_is_a_clear_failure() {
    let host = StackHost::new();
    foreign(&host, "omni-omni-1").await;
    let failure = host.apply(&testing::stack()).await.unwrap_err();
    assert!(
        failure
            .message
            .starts_with("container `omni-omni-1` has the name that service `omni` needs"),
        "{failure}"
    );
    assert_eq!(host.changes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn foreign_containers_are_told_of_and_left_alone() {
    let host = StackHost::new();
    let id = foreign(&host, "omni-helper-1").await;
    host.apply(&testing::stack()).await.unwrap();
    let observed = host.observe().await;
    assert_eq!(observed.foreign[0].container_id, id);
    assert!(host.engine.named("omni-helper-1").unwrap().is_running());
}

#[tokio::test(start_paused = true)]
async fn orphans_go_only_when_they_are_named_and_are_orphans() {
    let host = StackHost::new();
    host.apply(&testing::stack()).await.unwrap();
    let mut smaller = testing::stack();
    smaller.services.remove(0);
    let checked = CheckedStack::try_from(smaller.clone()).unwrap();
    let apply = |remove_orphans: Vec<String>| Apply {
        stack: checked.clone(),
        services: Vec::new(),
        remove_orphans,
        deadline: Instant::now() + Duration::from_secs(60),
    };
    host.stacks
        .apply(&apply(Vec::new()), &host.reporter)
        .await
        .unwrap();
    let observed = host.observe().await;
    assert_eq!(observed.orphans[0].service, "proxmox-provider");
    let helper = foreign(&host, "omni-helper-1").await;
    let omni = host.engine.named("omni-omni-1").unwrap().id;
    for not_an_orphan in [helper, omni] {
        let failure = host
            .stacks
            .apply(&apply(vec![not_an_orphan]), &host.reporter)
            .await
            .unwrap_err();
        assert_eq!(failure.class, FailureClass::Refused);
    }
    let orphan = observed.orphans[0].container_id.clone();
    for _ in 0..2 {
        host.stacks
            .apply(&apply(vec![orphan.clone()]), &host.reporter)
            .await
            .unwrap();
    }
    assert!(host.engine.named("omni-proxmox-provider-1").is_none());
    assert!(host.engine.named("omni-helper-1").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_external_volume_is_never_made() {
    let host = StackHost::new();
    let mut stack = testing::stack();
    stack.volumes[0].external = true;
    let failure = host.apply(&stack).await.unwrap_err();
    assert_eq!(failure.message, "external volume `omni_state` is not there");
}

#[tokio::test(start_paused = true)]
async fn images_outside_of_the_policy_are_not_looked_up() {
    let host = StackHost::new();
    host.engine.publish(
        "registry.example/omni:v1@sha256:1111111111111111111111111111111111111111111111111111111111111111",
        crate::stack::testing::FakeImage::default(),
    );
    let asked = [
        "registry.example/omni:v1",
        "evil.example/x:v1",
        "registry.example/gone:v1",
    ]
    .map(str::to_owned);
    let observed = host.stacks.observe(&"omni".parse().unwrap(), &asked).await;
    assert!(
        observed.images[0]
            .resolved
            .starts_with("registry.example/omni:v1@sha256:1111")
    );
    assert!(!observed.images[0].present);
    assert!(
        observed.images[1]
            .failure
            .contains("policy.image_repositories")
    );
    assert!(observed.images[2].failure.contains("cannot find manifest"));
    assert!(!host.engine.calls().iter().any(|call| call.contains("evil")));
}
