//! The line that `systemctl status` shows.

use std::fmt::Write as _;
use std::sync::Arc;

use tokio::sync::watch;

use crate::identity::Identity;
use crate::notify::Notifier;
use crate::operation::{Activity, Operations};
use crate::server::listen::Listening;
use crate::tailnet::NodeView;
use crate::tailnet::condition::Severity;

/// Keeps the line current for ever.
pub(super) async fn report(
    notifier: Arc<Notifier>,
    mut listening: watch::Receiver<Listening>,
    mut node: watch::Receiver<NodeView>,
    mut identity: watch::Receiver<Arc<Identity>>,
    operations: Operations,
) {
    loop {
        let activity_changed = operations.changes();
        let enrolled = identity.borrow_and_update().enrolled.is_some();
        notifier.status(&line(
            &listening.borrow_and_update(),
            &node.borrow_and_update(),
            enrolled,
            &operations.activities(),
            operations.damage().as_deref(),
        ));
        tokio::select! {
            changed = listening.changed() => if changed.is_err() { return },
            changed = node.changed() => if changed.is_err() { return },
            changed = identity.changed() => if changed.is_err() { return },
            () = activity_changed => {}
        }
    }
}

fn line(
    listening: &Listening,
    node: &NodeView,
    enrolled: bool,
    activities: &[Activity],
    damage: Option<&str>,
) -> String {
    let mut line = match listening {
        Listening::WaitingForAddress => "waiting for a tailnet address".to_owned(),
        Listening::Failed { address, reason } => format!("cannot listen on {address}: {reason}"),
        Listening::On(address) if enrolled => format!("serving {address}"),
        Listening::On(address) => format!("not enrolled; serving only enrolment on {address}"),
    };
    if let Some(condition) = node.trouble() {
        let tailnet = match condition.severity {
            Severity::Failed => "tailnet down",
            Severity::Unknown => "tailnet unknown",
            Severity::Degraded | Severity::Note => "tailnet degraded",
        };
        // Writing to a String cannot fail.
        let _ = write!(line, ", {tailnet}: the node {}", condition.summary);
    }
    if let Some(damage) = damage {
        line = format!("DAMAGED: {damage}; {line}");
    }
    for activity in activities {
        let short: String = activity.operation.as_str().chars().take(12).collect();
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            ", {} {} (operation {short})",
            activity.action, activity.target
        );
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tailnet::condition::silent;
    use omni_scale_proto::operation::{Target, random_operation_id};

    #[test]
    fn the_line_says_what_is_served_and_done() {
        let on = Listening::On(([100, 64, 0, 3], 7443).into());
        let activity = Activity {
            target: Target::Stack("omni".parse().unwrap()),
            action: "apply".to_owned(),
            operation: random_operation_id([0xab; 32]),
        };
        assert_eq!(
            line(&on, &NodeView::default(), true, &[activity], None),
            "serving 100.64.0.3:7443, apply stack/omni (operation abababababab)"
        );
        assert_eq!(
            line(&on, &NodeView::default(), false, &[], None),
            "not enrolled; serving only enrolment on 100.64.0.3:7443"
        );
        assert_eq!(
            line(
                &Listening::WaitingForAddress,
                &NodeView::default(),
                true,
                &[],
                None
            ),
            "waiting for a tailnet address"
        );
    }

    #[test]
    fn a_tailnet_that_is_down_is_told_from_serving() {
        let on = Listening::On(([100, 64, 0, 3], 7443).into());
        let node = NodeView {
            conditions: vec![silent("no socket")],
            ..NodeView::default()
        };
        assert_eq!(
            line(&on, &node, true, &[], None),
            "serving 100.64.0.3:7443, tailnet unknown: the node is not known: no socket"
        );
    }

    #[test]
    fn an_agent_that_takes_no_change_says_so_first() {
        let on = Listening::On(([100, 64, 0, 3], 7443).into());
        assert_eq!(
            line(
                &on,
                &NodeView::default(),
                true,
                &[],
                Some("the ledger is damaged")
            ),
            "DAMAGED: the ledger is damaged; serving 100.64.0.3:7443"
        );
    }
}
