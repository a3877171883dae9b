//! The configuration file: YAML whose every key is known and of the right type.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use serde_json::{Map, Value as Yaml};

use super::{
    schema::{self, Key, Kind},
    store::{Store, Value, is_duration, is_textual},
};
use crate::failure::{Failure, go_error};

/// When the real program was seen to give up on its configuration, in milliseconds.
const AT: u64 = 500;

pub(super) fn read(path: &str, minor: u16) -> Result<Store, Failure> {
    let text = std::fs::read_to_string(Path::new(path)).map_err(|error| {
        Failure::new(
            AT,
            format!(
                "failed to load config file {path:?}: open {path}: {}",
                go_error(&error)
            ),
        )
    })?;
    parse(&text, minor).map_err(|reason| {
        Failure::new(AT, format!("failed to load config file {path:?}: {reason}"))
    })
}

fn parse(text: &str, minor: u16) -> Result<Store, String> {
    // An empty document is an empty configuration.
    let document: Option<Map<String, Yaml>> =
        serde_saphyr::from_str(text).map_err(|error| format!("yaml: {error}"))?;
    let mut reading = Reading {
        minor,
        store: Store::default(),
        wrong: Vec::new(),
    };
    let unknown = reading.group("", document.unwrap_or_default());
    if !unknown.is_empty() {
        let mut listed = String::new();
        write_yaml(&mut listed, &unknown, 0);
        return Err(format!(
            "unknown keys found during decoding:\n{}",
            listed.trim_end()
        ));
    }
    if !reading.wrong.is_empty() {
        return Err(format!(
            "yaml: unmarshal errors:\n  {}",
            reading.wrong.join("\n  ")
        ));
    }
    Ok(reading.store)
}

struct Reading {
    minor: u16,
    store: Store,
    wrong: Vec<String>,
}

impl Reading {
    /// Takes what is known of a mapping and gives back what is not, in the same nesting.
    fn group(&mut self, prefix: &str, mapping: Map<String, Yaml>) -> Map<String, Yaml> {
        let mut unknown = Map::new();
        for (name, value) in mapping {
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            if let Some(key) = schema::by_path(&path, self.minor) {
                self.leaf(key, &value);
            } else if schema::is_group(&path, self.minor) {
                match value {
                    Yaml::Null => {}
                    Yaml::Object(inner) => {
                        let left = self.group(&path, inner);
                        if !left.is_empty() {
                            unknown.insert(name, Yaml::Object(left));
                        }
                    }
                    other => self
                        .wrong
                        .push(format!("cannot unmarshal {} into `{path}`", tag(&other))),
                }
            } else {
                unknown.insert(name, value);
            }
        }
        unknown
    }

    fn leaf(&mut self, key: &'static Key, value: &Yaml) {
        match convert(key.kind, value) {
            Ok(Some(value)) => self.store.set(key, value),
            Ok(None) => {}
            Err(()) => self.wrong.push(format!(
                "cannot unmarshal {} into `{}`",
                tag(value),
                key.path
            )),
        }
    }
}

fn convert(kind: Kind, value: &Yaml) -> Result<Option<Value>, ()> {
    let texts = |items: &Vec<Yaml>| {
        items
            .iter()
            .map(scalar)
            .collect::<Option<Vec<_>>>()
            .ok_or(())
    };
    let value = match (kind, value) {
        (_, Yaml::Null) => return Ok(None),
        (Kind::Boolean, Yaml::Bool(value)) => Value::Boolean(*value),
        (Kind::Integer, Yaml::Number(value)) => Value::Integer(value.as_u64().ok_or(())?),
        (Kind::Number, Yaml::Number(value)) => Value::Number(value.as_f64().ok_or(())?),
        (Kind::List, Yaml::Array(items)) => Value::List(texts(items)?),
        (Kind::Map, Yaml::Object(pairs)) => {
            let pairs = pairs
                .iter()
                .map(|(name, value)| scalar(value).map(|value| (name.clone(), value)));
            Value::Map(pairs.collect::<Option<BTreeMap<_, _>>>().ok_or(())?)
        }
        (Kind::Duration, Yaml::String(text)) if !is_duration(text) => return Err(()),
        (kind, value) if is_textual(kind) => Value::Text(scalar(value).ok_or(())?),
        _ => return Err(()),
    };
    Ok(Some(value))
}

/// Go's YAML decodes every plain scalar into a string field.
fn scalar(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) => Some(text.clone()),
        Yaml::Number(number) => Some(number.to_string()),
        Yaml::Bool(value) => Some(value.to_string()),
        Yaml::Null | Yaml::Array(_) | Yaml::Object(_) => None,
    }
}

fn tag(value: &Yaml) -> &'static str {
    match value {
        Yaml::Null => "!!null",
        Yaml::Bool(_) => "!!bool",
        Yaml::Number(_) => "!!int",
        Yaml::String(_) => "!!str",
        Yaml::Array(_) => "!!seq",
        Yaml::Object(_) => "!!map",
    }
}

fn write_yaml(text: &mut String, mapping: &Map<String, Yaml>, depth: usize) {
    for (name, value) in mapping {
        let indent = "    ".repeat(depth);
        // Writing into a String does not fail.
        let _ = match value {
            Yaml::Object(inner) if !inner.is_empty() => {
                let written = writeln!(text, "{indent}{name}:");
                write_yaml(text, inner, depth + 1);
                written
            }
            other => match scalar(other) {
                Some(scalar) => writeln!(text, "{indent}{name}: {scalar}"),
                None => writeln!(text, "{indent}{name}: {other}"),
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_into_its_keys() {
        let store = parse(
            "---\naccount:\n  id: 6ba7b810\nservices:\n  siderolink:\n    eventSinkPort: 8091\n  api: {}\n  metrics:\n\
             auth:\n  oidc:\n    enabled: true\n    clientID: 123\n    scopes: [openid, email]\n",
            10,
        )
        .unwrap();
        assert_eq!(store.text("account.id"), Some("6ba7b810"));
        assert_eq!(
            store.integer("services.siderolink.eventSinkPort"),
            Some(8091)
        );
        assert_eq!(store.text("auth.oidc.clientID"), Some("123"));
        assert_eq!(store.list("auth.oidc.scopes"), ["openid", "email"]);
        assert_eq!(parse("", 10), Ok(Store::default()));
    }

    #[test]
    fn the_last_line_of_the_refusal_is_the_unknown_key() {
        let reason = parse("auth:\n  oidc:\n    enabled: true\n    clientId: x\n", 10).unwrap_err();
        assert_eq!(
            reason,
            "unknown keys found during decoding:\nauth:\n    oidc:\n        clientId: x"
        );
        let gone = parse("storage:\n  secondary:\n    path: x\n", 10).unwrap_err();
        assert!(
            gone.ends_with("storage:\n    secondary:\n        path: x"),
            "{gone}"
        );
    }

    #[test]
    fn a_wrong_type_is_refused() {
        for text in [
            "auth: yes-please",
            "auth:\n  oidc:\n    enabled: 1",
            "services:\n  siderolink:\n    eventSinkPort: -1",
            "auth:\n  initialUsers: a@x",
            "auth:\n  keyPruner:\n    interval: soon",
            "account:\n  id: [a]",
            "- a",
            "a: b: c",
        ] {
            assert!(parse(text, 10).is_err(), "{text}");
        }
    }
}
