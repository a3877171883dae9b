//! The tailnet node that runs in a container, as its own tailscaled tells it inside of its namespace.
//!
//! The same classification as of the host's node; what to do about it is other.

use std::time::Duration;

use omni_scale_proto::id::StackName;
use omni_scale_proto::v1::{self, ContainerState, NodeConditionKind as Kind, segment::Part};

use super::Stacks;
use super::engine::EngineError;
use crate::clock;
use crate::error::chain;
use crate::tailnet::condition::{Condition, Evidence, Severity, conditions, silent, untold};
use crate::tailnet::{NodeStatus, Preferences, Warning};

/// Where containerboot puts tailscaled's socket unless `TS_SOCKET` says otherwise.
const SOCKET: &str = "/tmp/tailscaled.sock";
/// tailscaled answers at once, or not at all.
const BOUND: Duration = Duration::from_secs(10);

/// Why the node of a container is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    /// It cannot be asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It says something else than its state.
    #[error("tailscaled does not tell its state: {said}")]
    Malformed {
        /// What it says, without secrets.
        said: String,
    },
}

impl Stacks {
    /// Adds what is to be said of the tailnet nodes that run in the containers of a stack.
    pub async fn look_at_nodes(&self, observation: &mut v1::StackObservation) {
        for service in &mut observation.services {
            let Some(applied) = service.applied.clone() else {
                continue;
            };
            if service.state() != ContainerState::Running || !is_node(&applied) {
                continue;
            }
            let found = match self.node_in(&service.container_id, &applied).await {
                Ok((_, found)) => found,
                Err(error) => vec![for_container(silent(&chain(&error)))],
            };
            service.node_conditions = found.into_iter().map(Into::into).collect();
        }
    }

    /// The node in a container of this service, and what is to be said about it.
    pub(super) async fn node_in(
        &self,
        container: &str,
        service: &v1::Service,
    ) -> Result<(NodeStatus, Vec<Condition>), NodeError> {
        let socket = literal(service, "TS_SOCKET").unwrap_or_else(|| SOCKET.to_owned());
        let socket = format!("--socket={socket}");
        let command = ["tailscale", &socket, "status", "--json", "--peers=false"];
        let (output, warnings) = tokio::join!(
            self.engine.execute(container, &command, BOUND),
            self.warnings_in(container, &socket)
        );
        let output = output?;
        let Ok(status) = NodeStatus::parse(&output.stdout) else {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: String = said.trim().chars().take(300).collect();
            let said = self.secrets.mask(&said);
            return Err(NodeError::Malformed { said });
        };
        // The name that it was told to have; the rest of its preferences is as containerboot sets it.
        let preferences = literal(service, "TS_HOSTNAME").map(|hostname| Preferences {
            hostname,
            want_running: true,
            accepts_dns: true,
            ..Preferences::default()
        });
        let evidence = Evidence {
            status: &status,
            preferences: preferences.as_ref(),
            warnings: warnings.as_deref().unwrap_or_default(),
            address_present: None,
        };
        let found = conditions(evidence, clock::now_milliseconds());
        let mut found: Vec<Condition> = found.into_iter().map(for_container).collect();
        if let Err(reason) = &warnings {
            found.push(untold("what it warns of", reason));
        }
        if literal(service, "TS_USERSPACE").as_deref() != Some("false") {
            // containerboot's default, in which `tailscale serve` answers for the node.
            for condition in &mut found {
                if condition.kind == Kind::NoTun {
                    condition.severity = Severity::Note;
                }
            }
            found.sort_by_key(|condition| std::cmp::Reverse(condition.severity));
        }
        Ok((status, found))
    }

    /// What the node in a container warns of, by its codes, or why that is not told. A tailscale
    /// that does not tell them that way tells its state all the same.
    async fn warnings_in(&self, container: &str, socket: &str) -> Result<Vec<Warning>, String> {
        let command = [
            "tailscale",
            socket,
            "debug",
            "watch-ipn",
            // Without the initial state it waits until something happens.
            "--initial",
            "--initial-health",
            "--count=1",
        ];
        let output = self.engine.execute(container, &command, BOUND).await;
        let output = output.map_err(|error| chain(&error))?;
        if output.exit_code != 0 {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = self.secrets.mask(said.trim());
            let code = output.exit_code;
            let ended = format!("`tailscale debug watch-ipn` ended with {code}");
            return Err(if said.is_empty() {
                ended
            } else {
                format!("{ended}: {said}")
            });
        }
        Warning::parse(&output.stdout).map_err(|error| {
            format!("the answer of `tailscale debug watch-ipn` is not understood: {error}")
        })
    }

    /// The service as it was applied. Empty: that is not on record.
    pub(super) fn applied_service(&self, stack: &StackName, service: &str) -> v1::Service {
        let record = self.record(stack);
        let service = record.and_then(|record| record.services.get(service).cloned());
        service.unwrap_or_default()
    }
}

/// Whether containerboot runs in it.
fn is_node(service: &v1::Service) -> bool {
    let mut names = service.environment.iter().map(|variable| &variable.name);
    names.any(|name| name.starts_with("TS_"))
}

/// A variable's value, when it is a plain one.
fn literal(service: &v1::Service, name: &str) -> Option<String> {
    let mut variables = service.environment.iter();
    let variable = variables.find(|variable| variable.name == name)?;
    match variable.value.as_ref()?.segments.as_slice() {
        [
            v1::Segment {
                part: Some(Part::Literal(value)),
            },
        ] => Some(value.clone()),
        _ => None,
    }
}

/// With what is to be done about a node in a container.
fn for_container(condition: Condition) -> Condition {
    let fix = match condition.kind {
        Kind::Silent => {
            "`omni-scale logs` of the service says more; `omni-scale restart` of it may help"
        }
        Kind::LoggedOut => {
            "its auth key is missing, used up or expired; set a new one with `omni-scale secret set`, then `omni-scale apply`"
        }
        Kind::KeyExpired => {
            "set a new auth key with `omni-scale secret set`, then `omni-scale apply`; key expiry can be disabled for the device in the admin console"
        }
        Kind::KeyExpiresSoon => "disable key expiry for the device in the admin console",
        Kind::Stopped => "restart the service with `omni-scale restart`",
        Kind::NoTun => "give the service the device /dev/net/tun, and TS_USERSPACE=false",
        _ => return condition,
    };
    Condition {
        fix: fix.to_owned(),
        ..condition
    }
}
