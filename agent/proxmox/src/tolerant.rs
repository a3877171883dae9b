//! Reading values as the API writes them: numbers as numbers or text, booleans as `0`, `1`, `"1"`, `true`.
//!
//! What has another form is an error, never a default: a caller that sees a default would take it for the truth.
//! Unknown keys are passed over by serde itself.

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::Vmid;

/// What can be read from a loosely typed value.
pub(crate) trait Loose: Sized {
    /// Completes “… is not”.
    const WANTED: &'static str;

    fn loose(value: &Value) -> Option<Self>;
}

impl Loose for u64 {
    const WANTED: &'static str = "a whole number";

    fn loose(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
            Value::String(text) => text
                .parse()
                .ok()
                .or_else(|| text.parse().ok().and_then(whole)),
            _ => None,
        }
    }
}

/// Numbers that went through Perl's arithmetic may come as `1073741824.0` or `1.2e+12`.
fn whole(number: f64) -> Option<u64> {
    // Up to here every whole number has its own f64.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    (0.0..=LARGEST).contains(&number).then_some(number as u64)
}

impl Loose for f64 {
    const WANTED: &'static str = "a number";

    fn loose(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok().filter(|number: &Self| number.is_finite()),
            _ => None,
        }
    }
}

impl Loose for bool {
    const WANTED: &'static str = "a boolean";

    fn loose(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(*value),
            Value::Number(number) => match number.as_u64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            Value::String(text) => boolean(text),
            _ => None,
        }
    }
}

/// Proxmox's spellings of a boolean (`parse_boolean`). Perl's own false is the empty text.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" | "" => Some(false),
        _ => None,
    }
}

impl Loose for String {
    const WANTED: &'static str = "a text";

    fn loose(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(if *value { "1" } else { "0" }.to_owned()),
            _ => None,
        }
    }
}

impl Loose for Vmid {
    const WANTED: &'static str = "a VMID";

    fn loose(value: &Value) -> Option<Self> {
        u64::loose(value).and_then(|number| Self::new(number).ok())
    }
}

/// For `#[serde(deserialize_with)]`: the value must be there.
pub(crate) fn required<'de, D: Deserializer<'de>, T: Loose>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    T::loose(&value).ok_or_else(|| wrong::<T, D>(&value))
}

/// For `#[serde(default, deserialize_with)]`: absent and `null` are `None`.
pub(crate) fn optional<'de, D: Deserializer<'de>, T: Loose>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    match &value {
        Value::Null => Ok(None),
        value => T::loose(value)
            .map(Some)
            .ok_or_else(|| wrong::<T, D>(value)),
    }
}

/// For `#[serde(default, deserialize_with)]`: absent and `null` are false.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    optional(deserializer).map(|flag| flag.unwrap_or(false))
}

/// For `#[serde(default, deserialize_with)]`: an empty text, too, means that there is none.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    optional(deserializer).map(|text| text.filter(|text: &String| !text.is_empty()))
}

fn wrong<'de, T: Loose, D: Deserializer<'de>>(value: &Value) -> D::Error {
    let shown: String = value.to_string().chars().take(60).collect();
    de::Error::custom(format!("`{shown}` is not {}", T::WANTED))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_in_every_form() {
        for value in [json!(100), json!("100"), json!(100.0), json!("1e2")] {
            assert_eq!(u64::loose(&value), Some(100), "{value}");
        }
        for value in [
            json!(-1),
            json!("-1"),
            json!("x"),
            json!(""),
            json!(true),
            json!(1e300),
            json!("NaN"),
            json!([1]),
        ] {
            assert_eq!(u64::loose(&value), None, "{value}");
        }
        assert_eq!(f64::loose(&json!("0.25")), Some(0.25));
        assert_eq!(f64::loose(&json!("inf")), None);
    }

    #[test]
    fn booleans_are_read_in_every_form() {
        for value in [json!(1), json!("1"), json!(true), json!("on")] {
            assert_eq!(bool::loose(&value), Some(true), "{value}");
        }
        for value in [json!(0), json!("0"), json!(false), json!("")] {
            assert_eq!(bool::loose(&value), Some(false), "{value}");
        }
        for value in [json!(2), json!("2"), json!("maybe"), json!({})] {
            assert_eq!(bool::loose(&value), None, "{value}");
        }
    }
}
