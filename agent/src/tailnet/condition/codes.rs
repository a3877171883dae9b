//! What tailscaled warns of, by its codes. A running node fails by none of them.

use omni_scale_proto::v1::NodeConditionKind as Kind;

use super::state::control_unreachable;
use super::{Condition, Severity, one_line};
use crate::tailnet::{Warning, WarningSeverity};

/// By code. `None`: the node's state says it already.
pub(super) fn of_warning(warning: &Warning, runs: bool) -> Option<Condition> {
    let degraded = |kind, summary: &str, fix: &str| {
        Some(Condition::new(kind, Severity::Degraded, summary).with_fix(fix))
    };
    let code = warning.code.as_str();
    match code {
        "login-state" | "wantrunning-false" | "warming-up" if !runs => None,
        "warming-up" => None,
        "update-available" | "is-using-unstable-version" | "local-log-config-error" => {
            Some(other(warning, Severity::Note))
        }
        "not-in-map-poll" | "mapresponse-timeout" | "tls-connection-failed" => {
            Some(control_unreachable())
        }
        "no-derp-home" | "no-derp-connection" | "derp-timed-out" => degraded(
            Kind::NoRelay,
            "reaches no relay: devices that it cannot reach directly do not reach it",
            "let the host reach the tailnet's relays (DERP, TCP 443)",
        ),
        "no-udp4-bind" => degraded(
            Kind::NoNetwork,
            "has no UDP: all traffic goes through a relay",
            "let tailscaled bind and use UDP on the host",
        ),
        "network-status" => degraded(
            Kind::NoNetwork,
            "has no network",
            "look at the host's interfaces: `ip -br address`",
        ),
        "resolv-conf-overwritten" | "dns-set-os-config-failed" | "dns-forward-failing"
        | "dns-read-os-config-failed" => degraded(
            Kind::DnsNotReady,
            "does not get the tailnet's names into the host's resolver",
            "`tailscale dns status` on the host says more; something else may write /etc/resolv.conf",
        ),
        "tls-cert-pending" => Some(
            Condition::new(Kind::CertificatePending, Severity::Note, "waits for its HTTPS certificate")
                .with_fix("wait: the first takes minutes"),
        ),
        _ => Some(other(
            warning,
            match warning.severity {
                WarningSeverity::Low => Severity::Note,
                WarningSeverity::MediumOrHigh => Severity::Degraded,
            },
        )),
    }
    .map(|condition| condition.with_code(code))
}

fn other(warning: &Warning, severity: Severity) -> Condition {
    let text = one_line(&warning.text);
    let summary = if text.is_empty() {
        format!("warns: {}", warning.code)
    } else {
        format!("warns: {text}")
    };
    Condition::new(Kind::Other, severity, summary)
}
