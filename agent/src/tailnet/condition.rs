//! The states of a node, told apart by tailscaled's states and codes, each with what to do.
//!
//! Texts are for people and change with versions: nothing is decided by them. A code that nobody
//! here knows makes a node degraded at most, and what tailscaled itself calls low is a note.
//! Source of the codes: tailscale/tailscale, health/warnings.go and ipn/ipnlocal.

use std::net::Ipv4Addr;

use omni_scale_proto::v1::{self, NodeConditionKind as Kind, TailnetState};

use super::warning::WarningSeverity;
use super::{NodeStatus, Preferences, Warning};

/// A key that ends sooner is worth a word.
pub const KEY_EXPIRES_SOON_DAYS: i64 = 14;
const DAY_MILLISECONDS: i64 = 24 * 3600 * 1000;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know; the node is healthy.
    Note,
    /// It works, but not as well as it should, or not for long.
    Degraded,
    /// Nobody can tell.
    Unknown,
    /// It does not work.
    Failed,
}

/// Something that is to be said about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Which.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// What is so, without a subject: `is logged out`.
    pub summary: String,
    /// What to do. Empty: nothing.
    pub fix: String,
    /// tailscaled's code. Empty: it was told in another way.
    pub code: String,
}

/// What is known of a node. What is not known is left out, and then nothing is said about it.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// tailscaled's status.
    pub status: &'a NodeStatus,
    /// Its preferences.
    pub preferences: Option<&'a Preferences>,
    /// What it warns of.
    pub warnings: &'a [Warning],
    /// Whether an interface of the machine has the node's address.
    pub address_present: Option<bool>,
}

/// What is to be said about a node at `now` (milliseconds since the Unix epoch), the worst first.
pub fn conditions(evidence: Evidence<'_>, now: i64) -> Vec<Condition> {
    let mut found = Vec::new();
    let state = of_state(evidence, now);
    let runs = state.is_none();
    found.extend(state);
    if runs {
        found.extend(of_running(evidence, now));
    }
    for warning in evidence.warnings {
        let condition = of_warning(warning, runs);
        let said = condition.as_ref().is_some_and(|condition| {
            condition.kind != Kind::Other
                && found
                    .iter()
                    .any(|known: &Condition| known.kind == condition.kind)
        });
        if !said {
            found.extend(condition);
        }
    }
    found.sort_by_key(|condition| std::cmp::Reverse(condition.severity));
    found
}

/// What is said of a node whose tailscaled tells nothing.
pub fn silent(reason: &str) -> Condition {
    Condition::new(Kind::Silent, Severity::Unknown, format!("is not known: {reason}"))
        .with_fix("`systemctl status tailscaled` on the host says more; `systemctl start tailscaled` starts it")
}

impl Condition {
    fn new(kind: Kind, severity: Severity, summary: impl Into<String>) -> Self {
        Self {
            kind,
            severity,
            summary: summary.into(),
            fix: String::new(),
            code: String::new(),
        }
    }

    fn with_fix(self, fix: impl Into<String>) -> Self {
        Self {
            fix: fix.into(),
            ..self
        }
    }

    fn with_code(self, code: &str) -> Self {
        Self {
            code: code.to_owned(),
            ..self
        }
    }
}

impl From<Condition> for v1::NodeCondition {
    fn from(condition: Condition) -> Self {
        let severity = match condition.severity {
            Severity::Note => v1::NodeConditionSeverity::Note,
            Severity::Degraded => v1::NodeConditionSeverity::Degraded,
            Severity::Unknown => v1::NodeConditionSeverity::Unknown,
            Severity::Failed => v1::NodeConditionSeverity::Failed,
        };
        Self {
            kind: condition.kind.into(),
            severity: severity.into(),
            summary: condition.summary,
            fix: condition.fix,
            code: condition.code,
        }
    }
}

/// Why the node does not run. `None`: it runs.
fn of_state(evidence: Evidence<'_>, now: i64) -> Option<Condition> {
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
fn of_running(evidence: Evidence<'_>, now: i64) -> Vec<Condition> {
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
    let days = (end - now) / DAY_MILLISECONDS;
    (days < KEY_EXPIRES_SOON_DAYS).then(|| {
        let when = match days {
            0 => "today".to_owned(),
            1 => "in 1 day".to_owned(),
            days => format!("in {days} days"),
        };
        Condition::new(Kind::KeyExpiresSoon, Severity::Degraded, format!("has a key that expires {when}"))
            .with_fix("disable key expiry for the machine in the admin console, or `sudo tailscale up --force-reauth` in time")
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

fn control_unreachable() -> Condition {
    Condition::new(
        Kind::ControlUnreachable,
        Severity::Degraded,
        "does not reach the control server: changes of the tailnet do not arrive",
    )
    .with_fix("look at the host's way to the internet, and at a proxy or firewall in between")
}

/// By code. `None`: the node's state says it already.
fn of_warning(warning: &Warning, runs: bool) -> Option<Condition> {
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

/// Foreign text on one line, and no longer than a line.
fn one_line(text: &str) -> String {
    let printable = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    text.chars()
        .take(200)
        .map(printable)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_noise::{Dice, damaged_text, hold_against};

    const NOW: i64 = 1_800_000_000_000;

    fn running() -> NodeStatus {
        NodeStatus {
            state: TailnetState::Running,
            ipv4: Some([100, 64, 0, 3].into()),
            dns_name: "omni.tail.test".to_owned(),
            node_id: "n1".to_owned(),
            certificate_domains: vec!["omni.tail.test".to_owned()],
            tun: true,
            online: Some(true),
            has_node_key: true,
            host_name: "omni".to_owned(),
            magic_dns: Some(true),
            ..NodeStatus::default()
        }
    }

    fn preferences() -> Preferences {
        Preferences {
            want_running: true,
            accepts_dns: true,
            ..Preferences::default()
        }
    }

    fn judged(status: &NodeStatus) -> Vec<(Kind, Severity)> {
        with(status, &preferences(), &[], Some(true))
    }

    fn with(
        status: &NodeStatus,
        preferences: &Preferences,
        warnings: &[Warning],
        address_present: Option<bool>,
    ) -> Vec<(Kind, Severity)> {
        let evidence = Evidence {
            status,
            preferences: Some(preferences),
            warnings,
            address_present,
        };
        let found = conditions(evidence, NOW);
        found
            .iter()
            .map(|condition| (condition.kind, condition.severity))
            .collect()
    }

    fn warning(code: &str, severity: WarningSeverity) -> Warning {
        Warning {
            code: code.to_owned(),
            severity,
            text: "words".to_owned(),
        }
    }

    #[test]
    fn of_a_healthy_node_nothing_is_said() {
        assert_eq!(judged(&running()), []);
        let never = NodeStatus {
            key_expiry_milliseconds: Some(NOW + 15 * DAY_MILLISECONDS),
            ..running()
        };
        assert_eq!(judged(&never), []);
    }

    #[test]
    fn each_state_is_told_from_the_others() {
        let in_state = |state| NodeStatus { state, ..running() };
        for (status, expected) in [
            (
                NodeStatus {
                    has_node_key: false,
                    ..in_state(TailnetState::NeedsLogin)
                },
                (Kind::LoggedOut, Severity::Failed),
            ),
            (
                NodeStatus {
                    expired: true,
                    ..in_state(TailnetState::NeedsLogin)
                },
                (Kind::KeyExpired, Severity::Failed),
            ),
            (
                NodeStatus {
                    key_expiry_milliseconds: Some(NOW - 1),
                    ..in_state(TailnetState::NeedsLogin)
                },
                (Kind::KeyExpired, Severity::Failed),
            ),
            (
                in_state(TailnetState::NeedsApproval),
                (Kind::NeedsApproval, Severity::Failed),
            ),
            (
                in_state(TailnetState::Stopped),
                (Kind::Stopped, Severity::Failed),
            ),
            (
                in_state(TailnetState::Starting),
                (Kind::Starting, Severity::Degraded),
            ),
            (
                in_state(TailnetState::Unknown),
                (Kind::Silent, Severity::Unknown),
            ),
            (
                NodeStatus {
                    key_expiry_milliseconds: Some(NOW - 1),
                    ..running()
                },
                (Kind::KeyExpired, Severity::Failed),
            ),
            (
                NodeStatus {
                    key_expiry_milliseconds: Some(NOW + 12 * DAY_MILLISECONDS),
                    ..running()
                },
                (Kind::KeyExpiresSoon, Severity::Degraded),
            ),
            (
                NodeStatus {
                    online: Some(false),
                    ..running()
                },
                (Kind::ControlUnreachable, Severity::Degraded),
            ),
            (
                NodeStatus {
                    tun: false,
                    ..running()
                },
                (Kind::NoTun, Severity::Failed),
            ),
            (
                NodeStatus {
                    magic_dns: Some(false),
                    ..running()
                },
                (Kind::DnsNotReady, Severity::Degraded),
            ),
            (
                NodeStatus {
                    certificate_domains: Vec::new(),
                    ..running()
                },
                (Kind::HttpsOff, Severity::Note),
            ),
            (
                NodeStatus {
                    dns_name: "omni-1.tail.test".to_owned(),
                    ..running()
                },
                (Kind::NameSuffixed, Severity::Degraded),
            ),
            (
                NodeStatus {
                    dns_name: "other.tail.test".to_owned(),
                    ..running()
                },
                (Kind::NameDiffers, Severity::Note),
            ),
        ] {
            assert_eq!(judged(&status), [expected], "{status:?}");
        }
        let no_dns = Preferences {
            accepts_dns: false,
            ..preferences()
        };
        assert_eq!(
            with(&running(), &no_dns, &[], Some(true)),
            [(Kind::DnsNotReady, Severity::Degraded)]
        );
        assert_eq!(
            with(&running(), &preferences(), &[], Some(false)),
            [(Kind::AddressGone, Severity::Failed)]
        );
    }

    #[test]
    fn an_expiry_is_told_in_days() {
        let status = NodeStatus {
            key_expiry_milliseconds: Some(NOW + 12 * DAY_MILLISECONDS + 5),
            ..running()
        };
        let evidence = Evidence {
            status: &status,
            preferences: None,
            warnings: &[],
            address_present: None,
        };
        let found = conditions(evidence, NOW);
        assert_eq!(found[0].summary, "has a key that expires in 12 days");
        assert!(!found[0].fix.is_empty());
    }

    #[test]
    fn codes_are_known_and_no_code_makes_a_running_node_fail() {
        use WarningSeverity::{Low, MediumOrHigh};
        for (code, severity, expected) in [
            (
                "no-derp-home",
                MediumOrHigh,
                (Kind::NoRelay, Severity::Degraded),
            ),
            (
                "no-udp4-bind",
                MediumOrHigh,
                (Kind::NoNetwork, Severity::Degraded),
            ),
            (
                "not-in-map-poll",
                MediumOrHigh,
                (Kind::ControlUnreachable, Severity::Degraded),
            ),
            (
                "resolv-conf-overwritten",
                MediumOrHigh,
                (Kind::DnsNotReady, Severity::Degraded),
            ),
            (
                "tls-cert-pending",
                MediumOrHigh,
                (Kind::CertificatePending, Severity::Note),
            ),
            (
                "update-available",
                MediumOrHigh,
                (Kind::Other, Severity::Note),
            ),
            ("of-tomorrow", Low, (Kind::Other, Severity::Note)),
            (
                "of-tomorrow",
                MediumOrHigh,
                (Kind::Other, Severity::Degraded),
            ),
        ] {
            let found = with(
                &running(),
                &preferences(),
                &[warning(code, severity)],
                Some(true),
            );
            assert_eq!(found, [expected], "{code}");
        }
    }

    #[test]
    fn one_cause_is_said_once_and_the_worst_comes_first() {
        let status = NodeStatus {
            online: Some(false),
            tun: false,
            ..running()
        };
        let warnings = [warning(
            "mapresponse-timeout",
            WarningSeverity::MediumOrHigh,
        )];
        assert_eq!(
            with(&status, &preferences(), &warnings, None),
            [
                (Kind::NoTun, Severity::Failed),
                (Kind::ControlUnreachable, Severity::Degraded)
            ]
        );
    }

    #[test]
    fn noise_in_codes_never_makes_a_running_node_fail() {
        let pieces = ["", " ", "-", "no-", "login-state", "warming-up", "\n", "ü"];
        let make = |dice: &mut Dice| damaged_text(dice, "no-derp-home", &pieces);
        hold_against("tailscaled's codes", make, |code| {
            let warnings = [warning(code, WarningSeverity::MediumOrHigh)];
            let found = with(&running(), &preferences(), &warnings, Some(true));
            assert!(
                found
                    .iter()
                    .all(|(_, severity)| *severity <= Severity::Degraded)
            );
        });
    }
}
