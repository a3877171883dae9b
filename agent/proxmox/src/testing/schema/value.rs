//! One value against its part of the schema.

use regex::Regex;
use serde_json::{Map, Value};

use super::format;
use crate::{PropertyString, tolerant::boolean};

/// Perl's idea of truth in the schema: `1`, `"1"`, true.
pub(super) fn truth(value: &Value) -> bool {
    matches!(value, Value::Bool(true)) || value.as_u64() == Some(1) || value.as_str() == Some("1")
}

/// What is wrong with `name=value`, if anything. In the order in which Proxmox checks (pve-common, JSONSchema.pm).
pub(super) fn fault(schema: &Value, name: &str, value: &str) -> Option<String> {
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    let kind = text("type").unwrap_or("string");
    let wrong_type = match kind {
        "integer" => value.parse::<i64>().is_err(),
        "number" => value.parse::<f64>().is_err(),
        "boolean" => value.is_empty() || boolean(value).is_none(),
        "string" => false,
        other => {
            return Some(format!(
                "`{name}` is {other}, which this gate does not know"
            ));
        }
    };
    if wrong_type {
        return Some(format!("`{name}={value}` is no {kind}"));
    }
    let fault = match schema.get("format") {
        Some(Value::String(known)) => match format::check(known, value) {
            Some(true) => None,
            Some(false) => Some(format!("`{name}={value}` is no {known}")),
            None => Some(format!(
                "`{name}` has the format `{known}`, which this gate does not know"
            )),
        },
        Some(Value::Object(parts)) => property_string(parts, name, value),
        _ => None,
    };
    fault.or_else(|| limits(schema, name, value))
}

fn limits(schema: &Value, name: &str, value: &str) -> Option<String> {
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        // `(?^:…)` is how Perl writes a compiled pattern.
        let rust = format!("^(?:{})$", pattern.replace("(?^:", "(?:"));
        match Regex::new(&rust) {
            Ok(regex) if regex.is_match(value) => {}
            Ok(_) => return Some(format!("`{name}={value}` does not match {pattern}")),
            Err(_) => {
                return Some(format!("the pattern of `{name}` cannot be read: {pattern}"));
            }
        }
    }
    let bound = |key: &str| {
        let bound = schema.get(key)?;
        bound.as_f64().or_else(|| bound.as_str()?.parse().ok())
    };
    if let Some(longest) = bound("maxLength").filter(|longest| characters(value) > *longest) {
        return Some(format!("`{name}={value}` is longer than {longest}"));
    }
    if let Ok(number) = value.parse::<f64>() {
        if let Some(least) = bound("minimum").filter(|least| number < *least) {
            return Some(format!("`{name}={value}` is less than {least}"));
        }
        if let Some(most) = bound("maximum").filter(|most| number > *most) {
            return Some(format!("`{name}={value}` is more than {most}"));
        }
    }
    let values = schema.get("enum").and_then(Value::as_array)?;
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let names: Vec<String> = values.iter().map(text).collect();
    let listed = names.iter().any(|name| name == value);
    (!listed).then(|| format!("`{name}={value}` is none of {}", names.join(", ")))
}

fn characters(value: &str) -> f64 {
    // Examples are short.
    u32::try_from(value.chars().count()).map_or(f64::INFINITY, f64::from)
}

fn property_string(parts: &Map<String, Value>, name: &str, value: &str) -> Option<String> {
    let Ok(given) = value.parse::<PropertyString>() else {
        return Some(format!("`{name}={value}` is no property string"));
    };
    let is_true = |part: &Value, key: &str| part.get(key).is_some_and(truth);
    let lone_key = parts.iter().find(|(_, part)| is_true(part, "default_key"));
    let mut present = Vec::new();
    for (key, value) in given.parts() {
        let Some(mut key) = key.or(lone_key.map(|(key, _)| key.as_str())) else {
            return Some(format!("`{name}={value}` has no key"));
        };
        let mut part = parts.get(key);
        // `virtio=MAC` says the model by its key and the address by its value.
        let said = |part: Option<&Value>, what: &str| -> Option<String> {
            part?.get(what)?.as_str().map(str::to_owned)
        };
        present.extend(said(part, "keyAlias"));
        let alias = said(part, "alias");
        if let Some(alias) = &alias {
            key = alias;
            part = parts.get(key);
        }
        let Some(part) = part else {
            return Some(format!("`{name}` has no part `{key}`"));
        };
        if let Some(fault) = fault(part, &format!("{name}.{key}"), value) {
            return Some(fault);
        }
        present.push(key.to_owned());
    }
    let missing = parts.iter().find(|(key, part)| {
        part.get("alias").is_none() && !is_true(part, "optional") && !present.contains(key)
    });
    missing.map(|(key, _)| format!("`{name}` lacks its part `{key}`"))
}
