//! What the node was told to be, as far as it explains its state.
//!
//! Source: tailscale/tailscale, ipn/prefs.go.

use serde::Deserialize;

/// tailscaled's preferences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// The name that was asked for. Empty: the machine's own.
    #[serde(rename = "Hostname")]
    pub hostname: String,
    /// Whether the node is to be on the tailnet.
    #[serde(rename = "WantRunning")]
    pub want_running: bool,
    /// Whether somebody logged it out.
    #[serde(rename = "LoggedOut")]
    pub logged_out: bool,
    /// Whether the machine takes its names from the tailnet.
    #[serde(rename = "CorpDNS")]
    pub accepts_dns: bool,
}

impl Preferences {
    /// Reads the document of `GET /localapi/v0/prefs`.
    pub fn parse(document: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_noise::{Dice, damaged_bytes, hold_against};

    const SAMPLE: &[u8] =
        br#"{"ControlURL":"https://c.test","CorpDNS":true,"WantRunning":true,"LoggedOut":false,
        "Hostname":"omni","AdvertiseRoutes":null}"#;

    #[test]
    fn they_are_read() {
        let preferences = Preferences::parse(SAMPLE).unwrap();
        assert_eq!(preferences.hostname, "omni");
        assert!(preferences.want_running && preferences.accepts_dns && !preferences.logged_out);
    }

    #[test]
    fn noise_in_preferences_breaks_nothing() {
        let make = |dice: &mut Dice| damaged_bytes(dice, SAMPLE);
        hold_against("tailscaled's preferences", make, |document| {
            let _ = Preferences::parse(document);
        });
    }
}
