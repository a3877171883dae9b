//! A node of the tailnet as a row of the table, with what to do about it. Pure.

use omni_scale_proto::v1::{
    NodeCondition, NodeConditionKind as Kind, NodeConditionSeverity as Severity, TailnetState,
    TailnetStatus,
};

use super::row::{Row, State, row as plain_row};
use super::view::HostView;

/// The node of a host.
pub(super) fn row(view: &HostView, target: &str, tailnet: &TailnetStatus) -> Row {
    let judged = judge(&tailnet.conditions);
    let (state, word) = judged.unwrap_or_else(|| by_state(tailnet.state()));
    let mut detail: Vec<String> = [&tailnet.dns_name, &tailnet.ipv4]
        .into_iter()
        .filter(|text| !text.is_empty())
        .cloned()
        .collect();
    if tailnet.conditions.is_empty() {
        // An older agent tells no conditions, but tailscaled's own words.
        detail.extend(tailnet.health.iter().cloned());
        detail.extend(Some(tailnet.reason.clone()).filter(|reason| !reason.is_empty()));
    }
    detail.extend(said(&tailnet.conditions));
    Row {
        detail: detail.join(", "),
        ..plain_row(view, target, state, word)
    }
}

/// How a node is by the worst of its conditions. `None`: it is as its state says.
pub(super) fn judge(conditions: &[NodeCondition]) -> Option<(State, &'static str)> {
    let worst = conditions.first()?;
    let state = match worst.severity() {
        Severity::Failed => State::Bad,
        Severity::Unknown | Severity::Unspecified => State::Unknown,
        Severity::Degraded => State::Attention,
        // A note leaves the node as healthy as it is.
        Severity::Note => return None,
    };
    Some((state, word(worst)))
}

/// Each condition, and what to do about it.
pub(super) fn said(conditions: &[NodeCondition]) -> impl Iterator<Item = String> {
    conditions.iter().map(|condition| {
        let mut said = format!("the node {}", condition.summary);
        if condition.severity() != Severity::Note && !condition.fix.is_empty() {
            said.push_str(": ");
            said.push_str(&condition.fix);
        }
        said
    })
}

const fn by_state(state: TailnetState) -> (State, &'static str) {
    match state {
        TailnetState::Running => (State::Good, "connected"),
        TailnetState::Starting => (State::Attention, "starting"),
        TailnetState::NeedsLogin => (State::Bad, "logged out"),
        TailnetState::NeedsApproval => (State::Bad, "needs approval"),
        TailnetState::Stopped => (State::Bad, "stopped"),
        TailnetState::Unknown | TailnetState::Unspecified => (State::Unknown, "unknown"),
    }
}

fn word(condition: &NodeCondition) -> &'static str {
    match condition.kind() {
        Kind::Silent | Kind::Unspecified => "unknown",
        Kind::LoggedOut => "logged out",
        Kind::KeyExpired => "key expired",
        Kind::KeyExpiresSoon => "key expires soon",
        Kind::NeedsApproval => "needs approval",
        Kind::Stopped => "stopped",
        Kind::Starting => "starting",
        Kind::ControlUnreachable => "control unreachable",
        Kind::NoRelay => "no relay",
        Kind::NoNetwork => "no network",
        Kind::DnsNotReady => "DNS not ready",
        Kind::NoTun => "no TUN",
        Kind::AddressGone => "address gone",
        Kind::NameSuffixed => "name suffixed",
        Kind::NameDiffers => "other name",
        Kind::CertificatePending => "certificate pending",
        Kind::HttpsOff => "HTTPS off",
        Kind::Absent => "not on the tailnet",
        Kind::Offline => "offline",
        Kind::Other => "degraded",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::view::Seen;
    use super::*;

    fn judged(state: TailnetState, conditions: Vec<NodeCondition>) -> Row {
        let view = HostView {
            host: "omni-host".parse().unwrap(),
            describe: Seen::Waiting,
            unit: None,
            stack: None,
            machines: None,
            health: BTreeMap::new(),
        };
        let status = TailnetStatus {
            state: state.into(),
            dns_name: "omni-host.tail.test".to_owned(),
            health: vec!["words of an older tailscaled".to_owned()],
            conditions,
            ..TailnetStatus::default()
        };
        row(&view, "tailnet", &status)
    }

    fn condition(kind: Kind, severity: Severity) -> NodeCondition {
        NodeCondition {
            kind: kind.into(),
            severity: severity.into(),
            summary: "is so".to_owned(),
            fix: "do this".to_owned(),
            code: String::new(),
        }
    }

    #[test]
    fn the_worst_decides_and_says_what_to_do() {
        for (kind, severity, state, word) in [
            (
                Kind::KeyExpired,
                Severity::Failed,
                State::Bad,
                "key expired",
            ),
            (
                Kind::NoRelay,
                Severity::Degraded,
                State::Attention,
                "no relay",
            ),
            (Kind::Silent, Severity::Unknown, State::Unknown, "unknown"),
            (Kind::HttpsOff, Severity::Note, State::Good, "connected"),
        ] {
            let seen = judged(TailnetState::Running, vec![condition(kind, severity)]);
            assert_eq!((seen.state, seen.word.as_str()), (state, word));
            assert_eq!(seen.detail.contains("do this"), severity != Severity::Note);
        }
    }

    #[test]
    fn an_agent_that_tells_no_conditions_is_taken_by_its_state() {
        let seen = judged(TailnetState::Stopped, Vec::new());
        assert_eq!((seen.state, seen.word.as_str()), (State::Bad, "stopped"));
        assert!(seen.detail.contains("words of an older"), "{}", seen.detail);
        let seen = judged(TailnetState::Running, Vec::new());
        assert_eq!(seen.state, State::Good);
    }
}
