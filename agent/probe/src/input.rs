//! What the binary is given: JSON of one request, or of a list of them.

use crate::{
    request::{MOST_PROBES, ProbeInput, ProbeRequest},
    run,
};

/// The most bytes of input that are read: each request may carry a system's whole bundle of roots.
pub const LARGEST_INPUT: u64 = 16 * 1024 * 1024;

/// Why input is not something to probe.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Not JSON, or a key that is unknown, missing or of another type.
    #[error("cannot read the request")]
    Malformed(#[source] serde_json::Error),
    /// A list that is empty or too long.
    #[error("a list of {0} requests, wanted 1 to {MOST_PROBES}")]
    Count(usize),
    /// A request that makes no sense.
    #[error("request {position}: {reason}")]
    Senseless {
        /// From 1.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl ProbeInput {
    /// Reads one request or a list; every request in it is usable.
    pub fn parse(json: &[u8]) -> Result<Self, InputError> {
        let is_list = json.trim_ascii_start().first() == Some(&b'[');
        let input = if is_list {
            Self::Several(serde_json::from_slice(json).map_err(InputError::Malformed)?)
        } else {
            Self::One(serde_json::from_slice(json).map_err(InputError::Malformed)?)
        };
        let requests = input.requests();
        if requests.is_empty() || requests.len() > MOST_PROBES {
            return Err(InputError::Count(requests.len()));
        }
        for (index, request) in requests.iter().enumerate() {
            run::check(request).map_err(|fault| InputError::Senseless {
                position: index + 1,
                reason: fault.message,
            })?;
        }
        Ok(input)
    }

    /// The requests, in order.
    pub fn requests(&self) -> &[ProbeRequest] {
        match self {
            Self::One(request) => std::slice::from_ref(request),
            Self::Several(requests) => requests,
        }
    }
}

#[cfg(test)]
mod tests {
    use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str =
        r#"{"url":"http://127.0.0.1/healthz","expect":{"status":{"code":200,"body":"empty"}}}"#;

    #[test]
    fn one_request_or_a_list_is_read() {
        assert!(matches!(
            ProbeInput::parse(GOOD.as_bytes()),
            Ok(ProbeInput::One(_))
        ));
        let list = format!(" [{GOOD},{GOOD}]");
        assert_eq!(
            ProbeInput::parse(list.as_bytes()).unwrap().requests().len(),
            2
        );
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let text = GOOD.replace("\"expect\"", "\"verify\":false,\"expect\"");
        let error = ProbeInput::parse(text.as_bytes()).unwrap_err();
        assert!(
            matches!(&error, InputError::Malformed(cause) if cause.to_string().contains("verify")),
            "{error:?}"
        );
    }

    #[test]
    fn a_list_has_a_least_and_a_most() {
        assert!(matches!(
            ProbeInput::parse(b"[]"),
            Err(InputError::Count(0))
        ));
        let list = format!("[{}]", [GOOD; MOST_PROBES + 1].join(","));
        assert!(matches!(
            ProbeInput::parse(list.as_bytes()),
            Err(InputError::Count(_))
        ));
    }

    #[test]
    fn the_request_that_makes_no_sense_is_named() {
        let list = format!("[{GOOD},{}]", GOOD.replace("http:", "https:"));
        let error = ProbeInput::parse(list.as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "request 2: `https` needs at least one root certificate, and none was given"
        );
    }

    #[test]
    fn noise_in_a_request_breaks_nothing() {
        let good: serde_json::Value = serde_json::from_str(GOOD).unwrap();
        let discovery =
            ProbeRequest::discovery("https://idp.tail.test:8443", "-----BEGIN CERTIFICATE-----");
        let samples = [
            serde_json::json!([good, good]),
            good,
            serde_json::to_value(discovery).unwrap(),
        ];
        let make = |dice: &mut Dice| {
            let sample = &samples[dice.roll(samples.len())];
            let document = damaged_json(dice, sample);
            let bytes = serde_json::to_vec(&document).unwrap();
            if dice.once_in(4) {
                damaged_bytes(dice, &bytes)
            } else {
                bytes
            }
        };
        hold_against("requests to the probe", make, |bytes| {
            if let Ok(input) = ProbeInput::parse(bytes) {
                assert!((1..=MOST_PROBES).contains(&input.requests().len()));
            }
        });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ProbeInput::parse(&bytes);
        }

        #[test]
        fn a_damaged_request_is_read_or_refused(at in 0..GOOD.len(), byte in any::<u8>()) {
            let mut bytes = GOOD.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = ProbeInput::parse(&bytes);
        }
    }
}
