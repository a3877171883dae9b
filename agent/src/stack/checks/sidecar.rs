//! Whether the sidecar's node has exactly the name that was declared.
//!
//! A node that finds its name taken gets another one, `omni-1`, and everything that points at the
//! name goes elsewhere: most often an old device is still registered after its state was lost.

use std::time::Duration;

use omni_scale_proto::id::StackName;
use omni_scale_proto::v1::{self, segment::Part};
use serde::Deserialize;

use super::super::Stacks;
use super::absent;
use crate::service::checks::Finding;

/// Where containerboot puts tailscaled's socket unless `TS_SOCKET` says otherwise.
const SOCKET: &str = "/tmp/tailscaled.sock";
/// tailscaled answers at once, or not at all.
const BOUND: Duration = Duration::from_secs(10);

/// What is read of `tailscale status --json`; all of it may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Status {
    backend_state: String,
    #[serde(rename = "Self")]
    node: Option<Node>,
    health: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    #[serde(rename = "DNSName")]
    dns_name: String,
}

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
        let socket = format!("--socket={}", self.socket_of(&stack, &check.service));
        let command = ["tailscale", &socket, "status", "--json", "--peers=false"];
        let output = match self.engine.execute(&container.id, &command, BOUND).await {
            Ok(output) => output,
            Err(error) => return absent(&error),
        };
        if let Ok(status) = serde_json::from_slice::<Status>(&output.stdout) {
            return judge(&check.dns_name, status);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(300).collect();
        Finding::unknown(format!(
            "tailscaled in `{}` does not tell its state: {}",
            check.service,
            self.secrets.mask(&said)
        ))
    }

    /// As the service was configured.
    fn socket_of(&self, stack: &StackName, service: &str) -> String {
        let record = self.record(stack);
        let service = record
            .as_ref()
            .and_then(|record| record.services.get(service));
        let variable = service.and_then(|service| {
            let mut variables = service.environment.iter();
            variables.find(|variable| variable.name == "TS_SOCKET")
        });
        let literal = variable
            .and_then(|variable| variable.value.as_ref())
            .and_then(|text| match text.segments.as_slice() {
                [
                    v1::Segment {
                        part: Some(Part::Literal(socket)),
                    },
                ] => Some(socket.clone()),
                _ => None,
            });
        literal.unwrap_or_else(|| SOCKET.to_owned())
    }
}

fn judge(wanted: &str, status: Status) -> Finding {
    let evidence = status.health.unwrap_or_default();
    let state = status.backend_state.as_str();
    let node = status.node.unwrap_or_default();
    let name = node.dns_name.trim_end_matches('.');
    if state != "Running" {
        let finding = Finding::failed(format!("the sidecar's node is {}", spoken(state)));
        return match state {
            "NeedsLogin" => finding.with_hint(
                "its auth key is missing, used up or expired; set a new one with `omni-scale secret set`",
            ),
            "NeedsMachineAuth" => finding.with_hint("approve the device in the tailnet's admin console"),
            _ => finding,
        }
        .with_evidence(evidence);
    }
    if name.eq_ignore_ascii_case(wanted) {
        return Finding::passed(format!("the sidecar's node is {name}")).with_evidence(evidence);
    }
    let finding = Finding::failed(format!("the sidecar's node is `{name}`, not `{wanted}`"));
    if is_suffixed(name, wanted) {
        finding.with_hint(format!(
            "another device has the name `{}`: remove the old one in the tailnet's admin console, then rename this one",
            wanted.split('.').next().unwrap_or(wanted)
        ))
    } else {
        finding
    }
    .with_evidence(evidence)
    .finally()
}

fn spoken(state: &str) -> &str {
    match state {
        "NeedsLogin" => "not logged in",
        "NeedsMachineAuth" => "waiting for approval",
        "Stopped" => "stopped",
        "Starting" => "still connecting",
        "" | "NoState" => "in no state yet",
        other => other,
    }
}

/// `omni-1.tail.ts.net` for `omni.tail.ts.net`.
fn is_suffixed(name: &str, wanted: &str) -> bool {
    let (Some((name, domain)), Some((wanted, wanted_domain))) =
        (name.split_once('.'), wanted.split_once('.'))
    else {
        return false;
    };
    let suffix = name
        .strip_prefix(wanted)
        .and_then(|rest| rest.strip_prefix('-'));
    domain.eq_ignore_ascii_case(wanted_domain)
        && suffix
            .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use omni_scale_proto::v1::CheckStatus;

    use super::*;

    fn judged(json: &str) -> Finding {
        judge("omni.tail.ts.net", serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_exact_name_passes_with_or_without_the_last_dot() {
        for name in ["omni.tail.ts.net.", "omni.tail.ts.net", "Omni.tail.ts.net."] {
            let finding = judged(&format!(
                r#"{{"BackendState":"Running","Self":{{"DNSName":"{name}"}},"Peer":null,"Health":null}}"#
            ));
            assert_eq!(finding.status, CheckStatus::Passed, "{name}");
        }
    }

    #[test]
    fn a_suffixed_name_is_final_and_explained() {
        let finding =
            judged(r#"{"BackendState":"Running","Self":{"DNSName":"omni-1.tail.ts.net."}}"#);
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
        assert_eq!(finding.summary, "the sidecar's node is not logged in");
        assert_eq!(finding.evidence, ["logged out"]);
        assert!(judged("{}").may_change);
    }
}
