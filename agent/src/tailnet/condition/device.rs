//! What is to be said about another device, which only the tailnet tells of.

use omni_scale_proto::v1::NodeConditionKind as Kind;

use super::{Condition, Severity, key_expires_soon, suffixed};
use crate::tailnet::{Named, TailnetError};

/// The device that is to have this name, as the host's own node sees the tailnet at `now`
/// (milliseconds since the Unix epoch). The worst first.
pub fn of_device(
    dns_name: &str,
    seen: &Result<Option<Named>, TailnetError>,
    now: i64,
) -> Vec<Condition> {
    let unknown = |why: String| {
        let summary = format!("is not known: {why}");
        vec![Condition::new(Kind::Silent, Severity::Unknown, summary)]
    };
    let named = match seen {
        Ok(Some(named)) => named,
        Ok(None) => return unknown("the host's own node is not on the tailnet".to_owned()),
        Err(error) => return unknown(crate::error::chain(error)),
    };
    let Some(device) = &named.device else {
        let label = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        return vec![match named.suffixed.first() {
            Some(other) => Condition {
                severity: Severity::Failed,
                ..suffixed(&label(&other.dns_name), &label(dns_name))
            },
            None => Condition::new(
                Kind::Absent,
                Severity::Failed,
                format!("is no device of the tailnet that this host sees: `{dns_name}`"),
            )
            .with_fix(
                "it was deleted, has never logged in, or the tailnet's policy hides it from this host",
            ),
        }];
    };
    if device.expired || device.key_expiry_milliseconds.is_some_and(|end| end <= now) {
        return vec![
            Condition::new(Kind::KeyExpired, Severity::Failed, "has an expired key").with_fix(
                "extend it in the admin console, or set a new one-time key and apply again",
            ),
        ];
    }
    let mut found = Vec::new();
    if !device.online {
        found.push(
            Condition::new(
                Kind::Offline,
                Severity::Failed,
                "is not connected to the tailnet",
            )
            .with_fix("its log says why: `omni-scale logs`"),
        );
    }
    let end = device.key_expiry_milliseconds;
    let soon = end.and_then(|end| key_expires_soon(end, now));
    found.extend(soon.map(|condition| {
        condition.with_fix("disable key expiry for the device in the admin console")
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tailnet::Device;

    const NOW: i64 = 1_800_000_000_000;
    const DAY: i64 = 24 * 3600 * 1000;

    fn device(change: impl FnOnce(&mut Device)) -> Named {
        let mut device = Device {
            dns_name: "tsidp.tail.test".to_owned(),
            online: true,
            ..Device::default()
        };
        change(&mut device);
        Named {
            device: Some(device),
            suffixed: Vec::new(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is made in the call")]
    fn said(seen: Result<Option<Named>, TailnetError>) -> Vec<(Kind, Severity)> {
        let found = of_device("tsidp.tail.test", &seen, NOW);
        let pairs = found.iter().map(|found| (found.kind, found.severity));
        pairs.collect()
    }

    #[test]
    fn each_state_of_a_device_is_told_apart() {
        assert_eq!(said(Ok(Some(device(|_| {})))), []);
        let expired = device(|device| device.expired = true);
        assert_eq!(
            said(Ok(Some(expired))),
            [(Kind::KeyExpired, Severity::Failed)]
        );
        let past = device(|device| device.key_expiry_milliseconds = Some(NOW));
        assert_eq!(said(Ok(Some(past))), [(Kind::KeyExpired, Severity::Failed)]);
        let soon = device(|device| device.key_expiry_milliseconds = Some(NOW + 12 * DAY));
        assert_eq!(
            said(Ok(Some(soon.clone()))),
            [(Kind::KeyExpiresSoon, Severity::Degraded)]
        );
        let found = of_device("tsidp.tail.test", &Ok(Some(soon)), NOW);
        assert!(found[0].summary.contains("in 12 days"), "{found:?}");
        let offline = device(|device| device.online = false);
        assert_eq!(said(Ok(Some(offline))), [(Kind::Offline, Severity::Failed)]);
        assert_eq!(
            said(Ok(Some(Named::default()))),
            [(Kind::Absent, Severity::Failed)]
        );
        let taken = Named {
            device: None,
            suffixed: vec![Device {
                dns_name: "tsidp-1.tail.test".to_owned(),
                ..Device::default()
            }],
        };
        assert_eq!(
            said(Ok(Some(taken))),
            [(Kind::NameSuffixed, Severity::Failed)]
        );
        assert_eq!(said(Ok(None)), [(Kind::Silent, Severity::Unknown)]);
        let silent = TailnetError::Refused {
            status: 500,
            path: "/",
        };
        assert_eq!(said(Err(silent)), [(Kind::Silent, Severity::Unknown)]);
    }
}
