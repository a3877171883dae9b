//! One look at the host's own node: its state, and what is to be said about it.

use omni_scale_proto::v1::{self, TailnetState};

use super::condition::{self, Condition, Evidence, Severity, conditions};
use super::{NodeStatus, Tailnet};
use crate::clock;
use crate::error::chain;

/// The node as it was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeView {
    /// Its state. `None`: tailscaled did not tell it.
    pub status: Option<NodeStatus>,
    /// What is to be said about it, the worst first.
    pub conditions: Vec<Condition>,
    /// Why the state is not known. Empty otherwise.
    pub reason: String,
}

impl NodeView {
    /// Asks tailscaled. What it does not tell beside its state is said to be untold.
    pub async fn of(tailnet: &dyn Tailnet) -> Self {
        let status = match tailnet.status().await {
            Ok(status) => status,
            Err(error) => {
                let reason = chain(&error);
                return Self {
                    status: None,
                    conditions: vec![condition::silent(&reason)],
                    reason,
                };
            }
        };
        let (preferences, warnings) = tokio::join!(tailnet.preferences(), tailnet.warnings());
        let untold = [
            ("its preferences", preferences.as_ref().err()),
            ("what it warns of", warnings.as_ref().err()),
        ];
        let untold: Vec<Condition> = untold
            .into_iter()
            .filter_map(|(what, error)| Some(condition::untold(what, &chain(error?))))
            .collect();
        let preferences = preferences.ok();
        let evidence = Evidence {
            status: &status,
            preferences: preferences.as_ref(),
            warnings: &warnings.unwrap_or_default(),
            address_present: status.ipv4.and_then(|address| tailnet.has_address(address)),
        };
        let mut conditions = conditions(evidence, clock::now_milliseconds());
        conditions.extend(untold);
        Self {
            status: Some(status),
            conditions,
            reason: String::new(),
        }
    }

    /// The worst that is to be said, when the node is not simply connected.
    pub fn trouble(&self) -> Option<&Condition> {
        let worst = self.conditions.first();
        worst.filter(|condition| condition.severity >= Severity::Degraded)
    }

    /// Whether the node is on the tailnet.
    pub fn runs(&self) -> bool {
        let state = self.status.as_ref().map(|status| status.state);
        state == Some(TailnetState::Running)
    }

    /// Whether the node is known not to carry a call.
    pub fn is_down(&self) -> bool {
        self.worst() == Some(Severity::Failed)
    }

    /// How bad the worst is. `None`: nothing is to be said.
    pub fn worst(&self) -> Option<Severity> {
        self.conditions.first().map(|condition| condition.severity)
    }
}

impl From<NodeView> for v1::TailnetStatus {
    fn from(view: NodeView) -> Self {
        let status = match view.status {
            Some(status) => status.into(),
            None => Self {
                state: TailnetState::Unknown.into(),
                ..Self::default()
            },
        };
        Self {
            reason: view.reason,
            conditions: view.conditions.into_iter().map(Into::into).collect(),
            ..status
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tailnet::FakeTailnet;

    #[tokio::test]
    async fn what_a_running_node_does_not_tell_is_noted_and_no_failure() {
        let node = FakeTailnet::running("omni.tail.test", [100, 64, 0, 1].into());
        assert_eq!(NodeView::of(&node).await.conditions, []);
        node.keep_warnings();
        let view = NodeView::of(&node).await;
        let said: Vec<&str> = view.conditions.iter().map(|said| &*said.summary).collect();
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with("does not tell what it warns of: "),
            "{said:?}"
        );
        assert_eq!(view.worst(), Some(Severity::Note));
        assert!(view.runs() && view.trouble().is_none());
    }
}
