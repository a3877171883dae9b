//! What tailscaled warns of, by its stable codes: its status document has texts only.
//!
//! Source: tailscale/tailscale, health/state.go and ipn/backend.go.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One thing that tailscaled warns of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Stable: `no-derp-home`.
    pub code: String,
    /// How bad tailscaled finds it.
    pub severity: WarningSeverity,
    /// For people. Changes with versions.
    pub text: String,
}

/// How bad tailscaled finds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningSeverity {
    /// Good to know.
    Low,
    /// Anything that is not said to be low.
    MediumOrHigh,
}

impl Warning {
    /// Reads the first line of `GET /localapi/v0/watch-ipn-bus` with the initial state of health.
    /// A version that tells no health tells no codes.
    pub fn parse(line: &[u8]) -> Result<Vec<Self>, serde_json::Error> {
        let notification: Notification = serde_json::from_slice(line)?;
        let warnings = notification.health.unwrap_or_default().warnings;
        Ok(warnings
            .unwrap_or_default()
            .into_iter()
            .map(|(code, unhealthy)| Self {
                code,
                severity: if unhealthy.severity == "low" {
                    WarningSeverity::Low
                } else {
                    WarningSeverity::MediumOrHigh
                },
                text: unhealthy.text,
            })
            .collect())
    }
}

#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "Health", default)]
    health: Option<HealthState>,
}

#[derive(Default, Deserialize)]
struct HealthState {
    #[serde(rename = "Warnings", default)]
    warnings: Option<BTreeMap<String, Unhealthy>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Unhealthy {
    severity: String,
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_noise::{Dice, damaged_bytes, hold_against};

    const SAMPLE: &[u8] = br#"{"Version":"1.102.3","State":6,"Health":{"Warnings":{
        "no-derp-home":{"WarnableCode":"no-derp-home","Severity":"medium","Title":"No home relay","Text":"a","ImpactsConnectivity":true},
        "update-available":{"Severity":"low","Text":"b","BrokenSince":"2026-01-01T00:00:00Z"}}}}"#;

    #[test]
    fn warnings_are_read_by_their_codes() {
        let warnings = Warning::parse(SAMPLE).unwrap();
        let read: Vec<_> = warnings
            .iter()
            .map(|warning| (warning.code.as_str(), warning.severity))
            .collect();
        assert_eq!(
            read,
            [
                ("no-derp-home", WarningSeverity::MediumOrHigh),
                ("update-available", WarningSeverity::Low)
            ]
        );
    }

    #[test]
    fn a_version_without_health_tells_no_codes() {
        for line in [
            "{}",
            r#"{"State":6}"#,
            r#"{"Health":null}"#,
            r#"{"Health":{"Warnings":null}}"#,
        ] {
            assert_eq!(Warning::parse(line.as_bytes()).unwrap(), []);
        }
    }

    #[test]
    fn noise_in_notifications_breaks_nothing() {
        let make = |dice: &mut Dice| damaged_bytes(dice, SAMPLE);
        hold_against("tailscaled's notifications", make, |line| {
            let _ = Warning::parse(line);
        });
    }
}
