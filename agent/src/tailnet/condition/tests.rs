use super::*;
use crate::tailnet::WarningSeverity;
use omni_scale_noise::{Dice, damaged_text, hold_against};
use omni_scale_proto::v1::TailnetState;

const NOW: i64 = 1_800_000_000_000;
const DAY_MILLISECONDS: i64 = 24 * 3600 * 1000;

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
    type Change = fn(&mut NodeStatus);
    let cases: [(Change, Kind, Severity); 15] = [
        (
            |node| (node.state, node.has_node_key) = (TailnetState::NeedsLogin, false),
            Kind::LoggedOut,
            Severity::Failed,
        ),
        (
            |node| (node.state, node.expired) = (TailnetState::NeedsLogin, true),
            Kind::KeyExpired,
            Severity::Failed,
        ),
        (
            |node| {
                node.state = TailnetState::NeedsLogin;
                node.key_expiry_milliseconds = Some(NOW - 1);
            },
            Kind::KeyExpired,
            Severity::Failed,
        ),
        (
            |node| node.state = TailnetState::NeedsApproval,
            Kind::NeedsApproval,
            Severity::Failed,
        ),
        (
            |node| node.state = TailnetState::Stopped,
            Kind::Stopped,
            Severity::Failed,
        ),
        (
            |node| node.state = TailnetState::Starting,
            Kind::Starting,
            Severity::Degraded,
        ),
        (
            |node| node.state = TailnetState::Unknown,
            Kind::Silent,
            Severity::Unknown,
        ),
        (
            |node| node.key_expiry_milliseconds = Some(NOW - 1),
            Kind::KeyExpired,
            Severity::Failed,
        ),
        (
            |node| node.key_expiry_milliseconds = Some(NOW + 12 * DAY_MILLISECONDS),
            Kind::KeyExpiresSoon,
            Severity::Degraded,
        ),
        (
            |node| node.online = Some(false),
            Kind::ControlUnreachable,
            Severity::Degraded,
        ),
        (|node| node.tun = false, Kind::NoTun, Severity::Failed),
        (
            |node| node.magic_dns = Some(false),
            Kind::DnsNotReady,
            Severity::Degraded,
        ),
        (
            |node| node.certificate_domains.clear(),
            Kind::HttpsOff,
            Severity::Note,
        ),
        (
            |node| node.dns_name = "omni-1.tail.test".to_owned(),
            Kind::NameSuffixed,
            Severity::Degraded,
        ),
        (
            |node| node.dns_name = "other.tail.test".to_owned(),
            Kind::NameDiffers,
            Severity::Note,
        ),
    ];
    for (change, kind, severity) in cases {
        let mut node = running();
        change(&mut node);
        assert_eq!(judged(&node), [(kind, severity)], "{node:?}");
    }
}

#[test]
fn what_the_host_says_beside_tailscaled_counts_too() {
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
