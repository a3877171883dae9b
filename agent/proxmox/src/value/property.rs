//! Property strings: `virtio,bridge=vmbr0` (pve-common, JSONSchema.pm, `parse_property_string`).

use std::{fmt, str::FromStr};

use super::ValueError;

/// Parts separated by commas, each `key=value`; one may stand alone and means the format's default key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PropertyString {
    parts: Vec<(Option<String>, String)>,
}

impl PropertyString {
    /// The part that stands alone.
    pub fn lone(&self) -> Option<&str> {
        let lone = self.parts.iter().find(|(key, _)| key.is_none());
        lone.map(|(_, value)| value.as_str())
    }

    /// The value of a key.
    pub fn get(&self, wanted: &str) -> Option<&str> {
        let part = self
            .parts
            .iter()
            .find(|(key, _)| key.as_deref() == Some(wanted));
        part.map(|(_, value)| value.as_str())
    }

    /// The parts, in their order.
    pub fn parts(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        self.parts
            .iter()
            .map(|(key, value)| (key.as_deref(), value.as_str()))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and names alike are written where they are used"
    )]
    pub(crate) fn alone(value: impl ToString) -> Self {
        Self {
            parts: vec![(None, value.to_string())],
        }
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and names alike are written where they are used"
    )]
    pub(crate) fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.parts.push((Some(key.to_owned()), value.to_string()));
        self
    }

    pub(crate) fn maybe(self, key: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub(crate) fn flag(self, key: &str, value: bool) -> Self {
        self.with(key, if value { "1" } else { "0" })
    }
}

impl FromStr for PropertyString {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut read = Self::default();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let part = match part.split_once('=') {
                Some((key, value)) if !key.is_empty() => (Some(key.to_owned()), value.to_owned()),
                Some(_) => return Err(ValueError::new(text, "a property string")),
                None => (None, part.to_owned()),
            };
            if read.parts.iter().any(|(key, _)| *key == part.0) {
                return Err(ValueError::new(
                    text,
                    "a property string: a key is there twice",
                ));
            }
            read.parts.push(part);
        }
        Ok(read)
    }
}

impl fmt::Display for PropertyString {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.parts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match key {
                Some(key) => write!(formatter, "{comma}{key}={value}")?,
                None => write!(formatter, "{comma}{value}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_and_written_in_their_order() {
        let text = "local-lvm:vm-105-disk-0,discard=on,size=32G";
        let read: PropertyString = text.parse().unwrap();
        assert_eq!(read.lone(), Some("local-lvm:vm-105-disk-0"));
        assert_eq!((read.get("size"), read.get("ssd")), (Some("32G"), None));
        assert_eq!(read.to_string(), text);
    }

    #[test]
    fn a_value_may_hold_equals_signs() {
        let read: PropertyString = "uuid=1,serial=eA==".parse().unwrap();
        assert_eq!(read.get("serial"), Some("eA=="));
    }

    #[test]
    fn keys_that_are_empty_or_there_twice_are_refused() {
        for text in ["=x", "a=1,a=2", "x,y"] {
            assert!(text.parse::<PropertyString>().is_err(), "{text}");
        }
    }
}
