//! Files, secrets and one-time keys.

use std::collections::BTreeMap;
use std::io::Read as _;

use omni_scale_proto::v1::FailureClass;

use super::*;
use crate::stack::testing::{FakeImage, file, image, literal, secret};

fn entries(archive: &[u8]) -> Vec<(String, u32, u64, u64, String)> {
    let mut archive = tar::Archive::new(archive);
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let header = entry.header();
            (
                format!("/{}", entry.path().unwrap().display()),
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap(),
                content,
            )
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn files_belong_to_the_user_that_the_image_names() {
    let host = StackHost::new();
    host.set_secret("client", "hunter2hunter2");
    let mut stack = testing::stack();
    stack.services[1].files = vec![
        file("/etc/omni.yaml", literal("account: 1")),
        file("/run/key", secret("client")),
    ];
    stack.services[1].files[1].group_id = Some(9);
    let passwd = b"omni:x:1000:1001::/:/bin/false\n".to_vec();
    let prepared = FakeImage {
        user: "omni".to_owned(),
        files: BTreeMap::from([("/etc/passwd".to_owned(), passwd)]),
        layers: Vec::new(),
    };
    host.apply_services(&stack, &["omni-tailscale"])
        .await
        .unwrap();
    host.engine
        .publish(&image("registry.example/omni", '1'), prepared);
    let apply = Apply {
        stack: CheckedStack::try_from(stack).unwrap(),
        services: Vec::new(),
        remove_orphans: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(60),
    };
    host.stacks.apply(&apply, &host.reporter).await.unwrap();
    let archives = host.engine.archives("omni-omni-1");
    assert_eq!(
        entries(&archives[0]),
        [
            (
                "/etc/omni.yaml".to_owned(),
                0o400,
                1000,
                1001,
                "account: 1".to_owned()
            ),
            (
                "/run/key".to_owned(),
                0o400,
                1000,
                9,
                "hunter2hunter2".to_owned()
            ),
        ]
    );
    let made = host.engine.made_from("omni-omni-1").unwrap();
    assert!(!format!("{made:?}").contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_new_value_of_a_secret_recreates_who_uses_it() {
    let host = StackHost::new();
    host.set_secret("client", "hunter2hunter2");
    let mut stack = testing::stack();
    stack.services[1].environment = vec![v1::EnvironmentVariable {
        name: "CLIENT".to_owned(),
        value: Some(secret("client")),
    }];
    host.apply(&stack).await.unwrap();
    assert_eq!(host.apply(&stack).await.unwrap().summary, "nothing to do");
    host.set_secret("client", "hunter3hunter3");
    let observed = host.observe().await;
    let changed: Vec<_> = observed
        .services
        .iter()
        .map(|service| service.changed_secrets.join(" "))
        .collect();
    assert_eq!(changed, ["client", "", ""]);
    assert_eq!(host.apply(&stack).await.unwrap().summary, "recreated omni");
    assert_eq!(host.apply(&stack).await.unwrap().summary, "nothing to do");
}

#[tokio::test(start_paused = true)]
async fn missing_secrets_are_named_before_anything_is_done() {
    let host = StackHost::new();
    let mut stack = testing::stack();
    stack.services[1].files = vec![file("/a", secret("one")), file("/b", secret("two"))];
    let failure = host.apply(&stack).await.unwrap_err();
    assert_eq!(
        failure.message,
        "these secrets are not set on this host: one, two"
    );
    assert_eq!(failure.class, FailureClass::Permanent);
    assert_eq!(host.changes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_one_time_key_is_used_once_and_then_left_out() {
    let host = StackHost::new();
    host.set_secret("auth-key", "tskey-auth-1");
    let mut stack = testing::stack();
    let mut key = file("/run/key", secret("auth-key"));
    key.one_time = true;
    stack.services[2].files = vec![key];
    host.apply(&stack).await.unwrap();
    assert_eq!(host.engine.archives("omni-omni-tailscale-1").len(), 1);
    let record = host.secrets.record(&"auth-key".parse().unwrap()).unwrap();
    assert!(record.consumed, "the node is healthy, so it has logged in");
    // Its removal changes nothing; and a new container gets along without it.
    assert_eq!(host.apply(&stack).await.unwrap().summary, "nothing to do");
    stack.services[2].image = image("registry.example/omni-tailscale", '2');
    host.apply(&stack).await.unwrap();
    assert!(host.engine.archives("omni-omni-tailscale-1").is_empty());
}
