//! Configuration values by their path, each of its key's kind.

use std::collections::BTreeMap;

use super::schema::{Key, Kind};

/// A value that fits its key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Boolean(bool),
    Integer(u64),
    Number(f64),
    List(Vec<String>),
    Map(BTreeMap<String, String>),
}

/// What was set, by files and then by flags.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Store(BTreeMap<&'static str, Value>);

impl Store {
    pub(super) fn set(&mut self, key: &'static Key, value: Value) {
        self.0.insert(key.path, value);
    }

    /// Adds to a list that was set the same way before.
    pub(super) fn extend(&mut self, key: &'static Key, more: Vec<String>) {
        match self.0.get_mut(key.path) {
            Some(Value::List(list)) => list.extend(more),
            _ => self.set(key, Value::List(more)),
        }
    }

    /// Lays `over` on top; it wins.
    pub(super) fn merge(&mut self, over: Self) {
        self.0.extend(over.0);
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        match self.0.get(path) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The text, if it is set and not empty.
    pub(super) fn filled(&self, path: &str) -> Option<&str> {
        self.text(path).filter(|text| !text.is_empty())
    }

    pub(super) fn boolean(&self, path: &str) -> Option<bool> {
        match self.0.get(path) {
            Some(Value::Boolean(value)) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn integer(&self, path: &str) -> Option<u64> {
        match self.0.get(path) {
            Some(Value::Integer(value)) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn list(&self, path: &str) -> Vec<String> {
        match self.0.get(path) {
            Some(Value::List(list)) => list.clone(),
            _ => Vec::new(),
        }
    }
}

/// Whether a text is a duration as Go writes it, such as `1h30m` (the schema's own pattern).
pub(super) fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let Some(unit_at) = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        else {
            return false;
        };
        let (number, after) = rest.split_at(unit_at);
        if number.parse::<f64>().is_err() || number.starts_with('.') || number.ends_with('.') {
            return false;
        }
        let Some(unit) = ["ns", "us", "µs", "ms", "s", "m", "h"]
            .iter()
            .find(|unit| after.starts_with(**unit))
        else {
            return false;
        };
        rest = &after[unit.len()..];
    }
    !text.is_empty()
}

/// Whether a kind is written as text.
pub(super) fn is_textual(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Text | Kind::Filled | Kind::Choice(_) | Kind::Https | Kind::Duration
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for good in ["0s", "10s", "1h30m0s", "1.5h", "10µs", "1m1ms"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "10", "s", "1d", "1 s", "-1s", "1.s"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }
}
