//! The executor against the model of an engine.

mod faults;
mod files;
mod order;
mod refusals;

use std::sync::Arc;
use std::time::Duration;

use omni_scale_proto::stack::CheckedStack;
use omni_scale_proto::v1;
use tokio::time::Instant;

use super::Apply;
use crate::config::Policy;
use crate::operation::{Done, Failure, Reporter};
use crate::secrets::{SecretValue, Secrets};
use crate::stack::Stacks;
use crate::stack::applied::AppliedStacks;
use crate::stack::testing::{self, FakeEngine};

/// A host with a model of an engine.
struct Bench {
    engine: FakeEngine,
    secrets: Arc<Secrets>,
    stacks: Stacks,
    reporter: Reporter,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Arc::new(Secrets::open(&directory.path().join("secrets")).unwrap());
        let engine = FakeEngine::default();
        engine.publish_all(&testing::stack());
        let policy = Policy {
            image_repositories: vec!["registry.example/*".to_owned()],
            ..Policy::default()
        };
        let stacks = Stacks::new(
            Arc::new(engine.clone()),
            secrets.clone(),
            Arc::new(policy),
            AppliedStacks::new(directory.path().join("stacks")),
        );
        Self {
            engine,
            secrets,
            stacks,
            reporter: Reporter::default(),
            _directory: directory,
        }
    }

    fn set_secret(&self, name: &str, value: &str) {
        let value = SecretValue::new(value.as_bytes().to_vec());
        self.secrets.put(&name.parse().unwrap(), &value).unwrap();
    }

    async fn apply(&self, stack: &v1::Stack) -> Result<Done, Failure> {
        self.apply_services(stack, &[]).await
    }

    async fn apply_services(&self, stack: &v1::Stack, services: &[&str]) -> Result<Done, Failure> {
        self.engine.publish_all(stack);
        let apply = Apply {
            stack: CheckedStack::try_from(stack.clone()).unwrap(),
            services: services.iter().map(|name| name.parse().unwrap()).collect(),
            remove_orphans: Vec::new(),
            deadline: Instant::now() + Duration::from_secs(300),
        };
        self.stacks.apply(&apply, &self.reporter).await
    }

    async fn observe(&self) -> v1::StackObservation {
        self.stacks.observe(&"omni".parse().unwrap(), &[]).await
    }

    /// The calls that change something, in order.
    fn changes(&self) -> Vec<String> {
        let calls = self.engine.calls();
        let changing = [
            "create", "put", "start", "stop", "rename", "remove", "pull", "network ", "volume ",
        ];
        calls
            .into_iter()
            .filter(|call| changing.iter().any(|verb| call.starts_with(verb)))
            .collect()
    }
}

/// The example stack with another image for one service.
fn with_newer_image(service: &str) -> v1::Stack {
    let mut stack = testing::stack();
    let service = stack
        .services
        .iter_mut()
        .find(|other| other.name == service)
        .unwrap();
    service.image = testing::image(&format!("registry.example/{}", service.name), '2');
    stack
}
