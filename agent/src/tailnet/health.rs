//! Health of the name `tailnet`: whether the host's own node is connected.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::condition::Severity;
use super::{NodeView, Tailnet};
use crate::service::health::{Health, HealthSource};

/// Between two questions while somebody watches.
const PERIOD: Duration = Duration::from_secs(15);

/// Asks tailscaled while somebody watches, and not otherwise.
pub struct TailnetHealth {
    tailnet: Arc<dyn Tailnet>,
}

impl TailnetHealth {
    /// Asks this node.
    pub fn new(tailnet: Arc<dyn Tailnet>) -> Self {
        Self { tailnet }
    }
}

impl HealthSource for TailnetHealth {
    fn watch(&self, name: &str) -> Option<watch::Receiver<Health>> {
        if name != "tailnet" {
            return None;
        }
        let (sender, receiver) = watch::channel(Health::Unknown);
        let tailnet = self.tailnet.clone();
        tokio::spawn(async move {
            loop {
                let health = judge(&NodeView::of(&*tailnet).await);
                sender.send_if_modified(|current| std::mem::replace(current, health) != health);
                tokio::select! {
                    () = sender.closed() => return,
                    () = tokio::time::sleep(PERIOD) => {}
                }
            }
        });
        Some(receiver)
    }
}

fn judge(view: &NodeView) -> Health {
    match view.worst() {
        Some(Severity::Unknown) => Health::Unknown,
        // What is degraded still carries calls, once it runs.
        Some(Severity::Degraded | Severity::Note) | None if view.runs() => Health::Serving,
        Some(Severity::Failed | Severity::Degraded | Severity::Note) | None => Health::NotServing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tailnet::{FakeTailnet, Warning, WarningSeverity};
    use omni_scale_proto::v1::TailnetState;

    #[tokio::test(start_paused = true)]
    async fn a_silent_tailscaled_is_unknown_and_a_stopped_node_not_serving() {
        let node = Arc::new(FakeTailnet::running(
            "omni.tail.test",
            [100, 64, 0, 1].into(),
        ));
        let running = node.status().await.unwrap();
        let source = TailnetHealth::new(node.clone());
        assert!(source.watch("tsidp").is_none());
        let mut health = source.watch("tailnet").unwrap();
        health
            .wait_for(|health| *health == Health::Serving)
            .await
            .unwrap();
        node.set(None);
        health
            .wait_for(|health| *health == Health::Unknown)
            .await
            .unwrap();
        node.set(Some(super::super::NodeStatus {
            state: TailnetState::Stopped,
            ..running.clone()
        }));
        health
            .wait_for(|health| *health == Health::NotServing)
            .await
            .unwrap();
        node.set(Some(running));
        node.warn(vec![Warning {
            code: "of-tomorrow".to_owned(),
            severity: WarningSeverity::MediumOrHigh,
            text: String::new(),
        }]);
        health
            .wait_for(|health| *health == Health::Serving)
            .await
            .unwrap();
    }
}
