//! Whether the sidecar's node has exactly the name that was declared.
//!
//! A node that finds its name taken gets another one, `omni-1`, and everything that points at the
//! name goes elsewhere: most often an old device is still registered after its state was lost.

use omni_scale_proto::id::StackName;
use omni_scale_proto::v1::{self, NodeConditionKind as Kind, TailnetState};

use super::super::Stacks;
use super::super::node::NodeError;
use super::absent;
use crate::service::checks::Finding;
use crate::tailnet::NodeStatus;
use crate::tailnet::condition::{Condition, Severity, is_suffixed, suffixed};

impl Stacks {
    pub(super) async fn check_sidecar_name(&self, check: &v1::SidecarNameCheck) -> Finding {
        let stack: StackName = match check.stack.parse() {
            Ok(stack) => stack,
            Err(error) => return Finding::failed(format!("{error}")).finally(),
        };
        let container = match self.running(&stack, &check.service).await {
            Ok(container) => container,
            Err(finding) => return finding,
        };
        let service = self.applied_service(&stack, &check.service);
        match self.node_in(&container.id, &service).await {
            Ok((status, conditions)) => judge(&check.dns_name, &status, &conditions),
            Err(NodeError::Engine(error)) => absent(&error),
            Err(error @ NodeError::Malformed { .. }) => {
                Finding::unknown(format!("in `{}`, {error}", check.service))
            }
        }
    }
}

fn judge(wanted: &str, status: &NodeStatus, conditions: &[Condition]) -> Finding {
    let told = conditions
        .iter()
        .map(|condition| format!("the node {}", condition.summary));
    let evidence: Vec<String> = told.chain(status.health.iter().cloned()).collect();
    let worst = conditions.first();
    if let Some(condition) = worst.filter(|condition| {
        condition.severity >= Severity::Unknown || status.state != TailnetState::Running
    }) {
        return Finding::failed(format!("the sidecar's node {}", condition.summary))
            .with_hint(condition.fix.clone())
            .with_evidence(evidence);
    }
    let name = status.dns_name.as_str();
    if name.eq_ignore_ascii_case(wanted) {
        let mut finding = Finding::passed(format!("the sidecar's node is {name}"));
        let degraded = worst.filter(|condition| condition.severity == Severity::Degraded);
        if let Some(condition) = degraded.filter(|condition| condition.kind != Kind::NameSuffixed) {
            finding = Finding::new(
                v1::CheckStatus::Warning,
                format!("the sidecar's node is {name}, and {}", condition.summary),
            )
            .with_hint(condition.fix.clone());
        }
        return finding.with_evidence(evidence);
    }
    let finding = Finding::failed(format!("the sidecar's node is `{name}`, not `{wanted}`"));
    let (label, domain) = name.split_once('.').unwrap_or((name, ""));
    let (wanted_label, wanted_domain) = wanted.split_once('.').unwrap_or((wanted, ""));
    if domain.eq_ignore_ascii_case(wanted_domain) && is_suffixed(label, wanted_label) {
        let condition = suffixed(label, wanted_label);
        finding.with_hint(format!("it {}: {}", condition.summary, condition.fix))
    } else {
        finding
    }
    .with_evidence(evidence)
    .finally()
}

#[cfg(test)]
mod tests {
    use omni_scale_proto::v1::CheckStatus;

    use super::*;
    use crate::tailnet::condition::{Evidence, conditions};

    fn judged(json: &str) -> Finding {
        let status = NodeStatus::parse(json.as_bytes()).unwrap();
        let evidence = Evidence {
            status: &status,
            preferences: None,
            warnings: &[],
            address_present: None,
        };
        judge("omni.tail.ts.net", &status, &conditions(evidence, 0))
    }

    #[test]
    fn the_exact_name_passes_with_or_without_the_last_dot() {
        for name in ["omni.tail.ts.net.", "omni.tail.ts.net", "Omni.tail.ts.net."] {
            let finding = judged(&format!(
                r#"{{"BackendState":"Running","TUN":true,"Self":{{"DNSName":"{name}"}},"Peer":null,"Health":null}}"#
            ));
            assert_eq!(finding.status, CheckStatus::Passed, "{name}");
        }
    }

    #[test]
    fn a_suffixed_name_is_final_and_explained() {
        let finding = judged(
            r#"{"BackendState":"Running","TUN":true,"Self":{"DNSName":"omni-1.tail.ts.net."}}"#,
        );
        assert_eq!(finding.status, CheckStatus::Failed);
        assert!(!finding.may_change);
        assert!(
            finding.hint.contains("another device has the name `omni`"),
            "{}",
            finding.hint
        );
    }

    #[test]
    fn a_node_on_its_way_may_still_arrive() {
        let finding = judged(r#"{"BackendState":"NeedsLogin","Health":["logged out"]}"#);
        assert!(finding.may_change);
        assert_eq!(finding.summary, "the sidecar's node is logged out");
        assert_eq!(finding.evidence, ["the node is logged out", "logged out"]);
        assert!(judged("{}").may_change);
    }
}
