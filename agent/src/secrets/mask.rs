//! Hides known secret values in text that leaves the host: log lines, failures, evidence.
//!
//! A value is found as it is, without the white space around it, as a JSON string and as Base64; a value of several
//! lines is found line by line. Values under [`SHORTEST`] bytes are not looked for: they would hide ordinary words.

use std::collections::BTreeMap;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use omni_scale_proto::id::SecretName;
use zeroize::Zeroizing;

use super::SecretValue;

/// The shortest value that is hidden, in bytes.
const SHORTEST: usize = 6;

/// The shortest line of a longer value that is hidden by itself, in bytes.
const SHORTEST_LINE: usize = 16;

/// Everything that must not be seen, with the name to show instead.
#[derive(Default)]
pub(super) struct Mask {
    /// Longest first, so that a value which contains another one is hidden whole.
    needles: Vec<(Zeroizing<String>, SecretName)>,
    /// Values that are stored like secrets and are none.
    public: Vec<String>,
}

impl Mask {
    /// Hides these values, and what was hidden before: a container may still print an old one.
    pub(super) fn learn(&mut self, values: &BTreeMap<SecretName, SecretValue>) {
        for (name, value) in values {
            let known = |public: &String| public.as_bytes() == value.expose().trim_ascii();
            if self.public.iter().any(known) {
                continue;
            }
            for needle in needles(value) {
                if !self.needles.iter().any(|(known, _)| *known == needle) {
                    self.needles.push((needle, name.clone()));
                }
            }
        }
        self.needles
            .sort_by_key(|(needle, _)| std::cmp::Reverse(needle.len()));
    }

    /// Leaves this value as it is from now on.
    pub(super) fn reveal(&mut self, value: &str) {
        let forms = needles(&SecretValue::new(value.as_bytes().to_vec()));
        self.needles.retain(|(needle, _)| !forms.contains(needle));
        if !self.public.iter().any(|public| public == value) {
            self.public.push(value.to_owned());
        }
    }

    pub(super) fn apply(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for (needle, name) in &self.needles {
            if masked.contains(needle.as_str()) {
                masked = masked.replace(needle.as_str(), &format!("[secret {name}]"));
            }
        }
        masked
    }
}

fn needles(value: &SecretValue) -> Vec<Zeroizing<String>> {
    let mut needles = Vec::new();
    let trimmed = value.expose().trim_ascii();
    if trimmed.len() < SHORTEST {
        return needles;
    }
    needles.push(Zeroizing::new(BASE64.encode(trimmed)));
    needles.push(Zeroizing::new(BASE64URL_NOPAD.encode(trimmed)));
    if let Ok(text) = std::str::from_utf8(trimmed) {
        needles.push(Zeroizing::new(text.to_owned()));
        if let Ok(quoted) = serde_json::to_string(text) {
            needles.push(Zeroizing::new(quoted.trim_matches('"').to_owned()));
        }
        let lines = text.lines().map(str::trim).filter(|line| {
            // The frame of a PEM block is no secret.
            line.len() >= SHORTEST_LINE && !line.starts_with("-----")
        });
        needles.extend(lines.map(|line| Zeroizing::new(line.to_owned())));
    }
    needles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(value: &str) -> Mask {
        let value = SecretValue::new(value.as_bytes().to_vec());
        let mut mask = Mask::default();
        mask.learn(&BTreeMap::from([("key".parse().unwrap(), value)]));
        mask
    }

    #[test]
    fn a_value_is_hidden_in_every_form() {
        let mask = mask("tskey-\"auth\"-1\n");
        for form in [
            "tskey-\"auth\"-1",
            "tskey-\\\"auth\\\"-1",
            "dHNrZXktImF1dGgiLTE=",
        ] {
            assert_eq!(mask.apply(&format!("got {form}!")), "got [secret key]!");
        }
    }

    #[test]
    fn each_line_of_a_key_is_hidden() {
        let mask = mask("-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n-----END KEY-----\n");
        assert_eq!(
            mask.apply("key MIIEvQIBADANBgkqhkiG9w0B found"),
            "key [secret key] found"
        );
        assert_eq!(mask.apply("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
    }

    #[test]
    fn what_is_no_secret_is_not_hidden_before_and_after() {
        let mut mask = mask("0123456789abcdef");
        mask.reveal("0123456789abcdef");
        let values = ["0123456789abcdef\n", "fedcba9876543210"];
        let values = values.map(|value| SecretValue::new(value.as_bytes().to_vec()));
        let names = ["id", "secret"].map(|name| name.parse().unwrap());
        mask.learn(&names.into_iter().zip(values).collect());
        assert_eq!(
            mask.apply("0123456789abcdef fedcba9876543210"),
            "0123456789abcdef [secret secret]"
        );
    }

    #[test]
    fn a_short_value_is_left_in_the_text() {
        assert_eq!(mask("true").apply("true story"), "true story");
    }
}
