//! A host with a model of an engine, for the tests of this crate.

use std::sync::Arc;
use std::time::Duration;

use omni_scale_proto::stack::CheckedStack;
use omni_scale_proto::v1;
use tokio::time::Instant;

use super::FakeEngine;
use crate::config::{Paths, Policy};
use crate::operation::{Done, Failure, Reporter};
use crate::secrets::{SecretValue, Secrets};
use crate::stack::{Apply, Stacks};

/// A host with a model of an engine, which allows every image of `registry.example`.
pub(crate) struct StackHost {
    pub(crate) engine: FakeEngine,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) stacks: Stacks,
    pub(crate) reporter: Reporter,
    pub(crate) directory: tempfile::TempDir,
}

/// A host on which the example stack runs.
pub(crate) async fn running_stack() -> StackHost {
    let host = StackHost::new();
    host.apply(&super::stack()).await.unwrap();
    host.engine.forget_calls();
    host
}

impl StackHost {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::below(directory.path());
        let secrets = Arc::new(Secrets::open(&paths.secrets).unwrap());
        let engine = FakeEngine::default();
        let policy = Policy {
            image_repositories: vec!["registry.example/*".to_owned()],
            devices: ["/dev/net/tun".to_owned()].into(),
            ..Policy::default()
        };
        let stacks = Stacks::new(
            Arc::new(engine.clone()),
            secrets.clone(),
            Arc::new(policy),
            &paths,
        );
        Self {
            engine,
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
        self.apply_services(stack, &[]).await
    }

    /// Publishes the stack's images and applies it.
    pub(crate) async fn apply_services(
        &self,
        stack: &v1::Stack,
        services: &[&str],
    ) -> Result<Done, Failure> {
        self.engine.publish_all(stack);
        let apply = Apply {
            stack: CheckedStack::try_from(stack.clone()).unwrap(),
            services: services.iter().map(|name| name.parse().unwrap()).collect(),
            remove_orphans: Vec::new(),
            deadline: Instant::now() + Duration::from_secs(300),
        };
        self.stacks.apply(&apply, &self.reporter).await
    }

    pub(crate) async fn observe(&self) -> v1::StackObservation {
        self.stacks.observe(&"omni".parse().unwrap(), &[]).await
    }

    /// The calls so far that change something, in order.
    pub(crate) fn changes(&self) -> Vec<String> {
        const CHANGING: [&str; 10] = [
            "create",
            "put",
            "start",
            "stop",
            "restart-policy",
            "rename",
            "remove",
            "pull",
            "network ",
            "volume ",
        ];
        let changing = |call: &String| CHANGING.iter().any(|verb| call.starts_with(verb));
        self.engine.calls().into_iter().filter(changing).collect()
    }
}
