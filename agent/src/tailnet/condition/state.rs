//! What a node's own state says of it: whether it runs, and how.

use std::net::Ipv4Addr;

use omni_scale_proto::v1::{NodeConditionKind as Kind, TailnetState};

use super::{Condition, Evidence, Severity, one_line};
use crate::tailnet::NodeStatus;

/// A key that ends sooner is worth a word.
pub const KEY_EXPIRES_SOON_DAYS: i64 = 14;
const DAY_MILLISECONDS: i64 = 24 * 3600 * 1000;

/// Why the node does not run. `None`: it runs.
pub(super) fn of_state(evidence: Evidence<'_>, now: i64) -> Option<Condition> {
    let status = evidence.status;
    let failed = |kind, summary: &str| Condition::new(kind, Severity::Failed, summary);
    Some(match status.state {
        TailnetState::Running => return None,
        TailnetState::NeedsLogin if status.has_node_key && key_ended(status, now) => {
            failed(Kind::KeyExpired, "has an expired key")
                .with_fix("`sudo tailscale up --force-reauth` on the host logs it in anew; key expiry can be disabled for the machine in the admin console")
        }
        TailnetState::NeedsLogin => {
            let condition = failed(Kind::LoggedOut, "is logged out");
            let login = evidence.warnings.iter().find(|warning| warning.code == "login-state");
            let fix = "`sudo tailscale up` on the host logs it in; an auth key may be used up or expired";
            match login {
                // The only place where the error of a failed login stands.
                Some(warning) => Condition {
                    summary: format!("is logged out: {}", one_line(&warning.text)),
                    ..condition.with_code("login-state")
                },
                None => condition,
            }
            .with_fix(fix)
        }
        TailnetState::NeedsApproval => failed(Kind::NeedsApproval, "waits for approval")
            .with_fix("an admin of the tailnet approves the device in the admin console"),
        TailnetState::Stopped => failed(Kind::Stopped, "is stopped")
            .with_fix("`sudo tailscale up` on the host starts it"),
        TailnetState::Starting => Condition::new(Kind::Starting, Severity::Degraded, "is starting")
            .with_fix("wait some seconds; if it stays so, no relay or no control server is reached"),
        TailnetState::Unknown | TailnetState::Unspecified => {
            Condition::new(Kind::Silent, Severity::Unknown, "is in a state that is not understood")
                .with_fix("`tailscale status` on the host says which; this agent may be older than that tailscaled")
        }
    })
}

/// What is to be said of a node that runs.
pub(super) fn of_running(evidence: Evidence<'_>, now: i64) -> Vec<Condition> {
    let status = evidence.status;
    let mut found = Vec::new();
    if let Some(condition) = of_key(status, now) {
        found.push(condition);
    }
    if status.online == Some(false) {
        found.push(control_unreachable());
    }
    if !status.tun {
        found.push(
            Condition::new(Kind::NoTun, Severity::Failed, "has no network interface (userspace networking)")
                .with_fix("give the host /dev/net/tun, run tailscaled without `--tun=userspace-networking`, restart it"),
        );
    } else if evidence.address_present == Some(false)
        && let Some(address) = status.ipv4
    {
        found.push(address_gone(address));
    }
    let dns = if status.magic_dns == Some(false) {
        Some((
            "belongs to a tailnet without MagicDNS",
            "enable MagicDNS in the admin console",
        ))
    } else if evidence
        .preferences
        .is_some_and(|preferences| !preferences.accepts_dns)
    {
        Some((
            "does not take its names from the tailnet",
            "`sudo tailscale set --accept-dns=true` on the host",
        ))
    } else {
        None
    };
    found.extend(dns.map(|(summary, fix)| {
        Condition::new(Kind::DnsNotReady, Severity::Degraded, summary).with_fix(fix)
    }));
    found.extend(of_name(evidence));
    if status.certificate_domains.is_empty() {
        found.push(
            Condition::new(
                Kind::HttpsOff,
                Severity::Note,
                "belongs to a tailnet without HTTPS certificates",
            )
            .with_fix("enable HTTPS certificates in the admin console: tsidp needs them"),
        );
    }
    found
}

fn of_key(status: &NodeStatus, now: i64) -> Option<Condition> {
    let end = status.key_expiry_milliseconds?;
    if key_ended(status, now) {
        // tailscaled notices only when control sends something.
        return Some(
            Condition::new(Kind::KeyExpired, Severity::Failed, "has an expired key")
                .with_fix("`sudo tailscale up --force-reauth` on the host logs it in anew"),
        );
    }
    key_expires_soon(end, now).map(|condition| {
        condition.with_fix("disable key expiry for the machine in the admin console, or `sudo tailscale up --force-reauth` in time")
    })
}

/// A key that ends at `end`, when that is near. Both in milliseconds since the Unix epoch.
pub(super) fn key_expires_soon(end: i64, now: i64) -> Option<Condition> {
    let days = (end - now) / DAY_MILLISECONDS;
    (days < KEY_EXPIRES_SOON_DAYS).then(|| {
        let when = match days {
            0 => "today".to_owned(),
            1 => "in 1 day".to_owned(),
            days => format!("in {days} days"),
        };
        let summary = format!("has a key that expires {when}");
        Condition::new(Kind::KeyExpiresSoon, Severity::Degraded, summary)
    })
}

fn key_ended(status: &NodeStatus, now: i64) -> bool {
    status.expired || status.key_expiry_milliseconds.is_some_and(|end| end <= now)
}

fn of_name(evidence: Evidence<'_>) -> Option<Condition> {
    let preferences = evidence.preferences?;
    let status = evidence.status;
    let wanted = if preferences.hostname.is_empty() {
        label_of(&status.host_name)
    } else {
        label_of(&preferences.hostname)
    };
    let label = status.dns_name.split('.').next().unwrap_or_default();
    if wanted.is_empty() || label.is_empty() || label.eq_ignore_ascii_case(&wanted) {
        return None;
    }
    Some(if is_suffixed(label, &wanted) {
        suffixed(label, &wanted)
    } else {
        Condition::new(
            Kind::NameDiffers,
            Severity::Note,
            format!("is called `{label}` in the tailnet, and asked for `{wanted}`"),
        )
    })
}

/// Another device has the name that was wanted.
pub fn suffixed(label: &str, wanted: &str) -> Condition {
    Condition::new(
        Kind::NameSuffixed,
        Severity::Degraded,
        format!("is called `{label}`, because another device has the name `{wanted}`"),
    )
    .with_fix("remove the old device in the admin console, then rename this one")
}

/// `omni-1` for `omni`.
pub fn is_suffixed(label: &str, wanted: &str) -> bool {
    label
        .strip_prefix(wanted)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// A machine's name as control makes a label of it: the part before the first dot, what is not a
/// letter or digit as a hyphen. Source: tailscale/tailscale, util/dnsname.
fn label_of(host_name: &str) -> String {
    let first = host_name.split('.').next().unwrap_or_default();
    let label: String = first
        .chars()
        .map(|character| match character {
            letter if letter.is_ascii_alphanumeric() => letter.to_ascii_lowercase(),
            _ => '-',
        })
        .collect();
    label.trim_matches('-').to_owned()
}

fn address_gone(address: Ipv4Addr) -> Condition {
    Condition::new(
        Kind::AddressGone,
        Severity::Failed,
        format!("runs, but no interface has its address {address}"),
    )
    .with_fix("`sudo systemctl restart tailscaled` on the host")
}

pub(super) fn control_unreachable() -> Condition {
    Condition::new(
        Kind::ControlUnreachable,
        Severity::Degraded,
        "does not reach the control server: changes of the tailnet do not arrive",
    )
    .with_fix("look at the host's way to the internet, and at a proxy or firewall in between")
}
