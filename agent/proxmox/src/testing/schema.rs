//! The gate: a table of calls against the schema that Proxmox publishes for its API viewer.
//!
//! It says nothing about behaviour, only what exists and what may be sent. Whoever has a table, the client or a
//! simulator of the API, turns its rows into [`Row`]s and asks for their faults.

mod format;
mod value;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{Call, PATH_EXAMPLES};

/// The published schema, in the form `{"paths": {template: {METHOD: {parameters, …}}}}`.
#[derive(Debug, Deserialize)]
pub struct Schema {
    paths: BTreeMap<String, BTreeMap<String, Method>>,
}

#[derive(Debug, Deserialize)]
struct Method {
    #[serde(default)]
    parameters: Parameters,
    #[serde(default)]
    allowtoken: Value,
}

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    #[serde(default)]
    properties: BTreeMap<String, Value>,
}

/// A row of some table of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'a str,
    /// The path as in the schema, `/nodes/{node}/qemu`.
    pub template: &'a str,
    /// What is sent, or understood, apart from the path's own parameters.
    pub parameters: Vec<Sent<'a>>,
    /// Whether requests are made by the row (the client: what is required must be sent), or taken.
    pub sends: bool,
}

/// A parameter of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent<'a> {
    /// Its name, such as `scsi0`.
    pub name: &'a str,
    /// Values that must be right.
    pub examples: Vec<&'a str>,
    /// Whether it is in every request.
    pub always: bool,
}

impl From<&'static Call> for Row<'static> {
    fn from(call: &'static Call) -> Self {
        let parameters = call.parameters.iter().map(|parameter| Sent {
            name: parameter.name,
            examples: parameter.examples.to_vec(),
            always: parameter.always,
        });
        Self {
            method: call.method.as_str(),
            template: call.template,
            parameters: parameters.collect(),
            sends: true,
        }
    }
}

impl Schema {
    /// Reads the schema's JSON.
    pub fn read(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// How many methods there are, on all paths.
    pub fn methods(&self) -> usize {
        self.paths.values().map(BTreeMap::len).sum()
    }

    /// Everything that is wrong with a row; nothing when the schema has it so.
    pub fn faults(&self, row: &Row<'_>) -> Vec<String> {
        let Some(methods) = self.paths.get(row.template) else {
            return vec![format!("{}: there is no such path", row.template)];
        };
        let Some(method) = methods.get(row.method) else {
            return vec![format!(
                "{} {}: the path has no such method",
                row.method, row.template
            )];
        };
        let mut faults = Vec::new();
        if !value::truth(&method.allowtoken) {
            faults.push("is not for tokens".to_owned());
        }
        let properties = &method.parameters.properties;
        for (name, example) in places(row.template) {
            match (properties.get(name), example) {
                (None, _) => faults.push(format!("`{name}` is no parameter of it")),
                (Some(_), None) => faults.push(format!("there is no example of `{name}`")),
                (Some(schema), Some(example)) => faults.extend(value::fault(schema, name, example)),
            }
        }
        for sent in &row.parameters {
            let Some(schema) = property(properties, sent.name) else {
                faults.push(format!("`{}` is no parameter of it", sent.name));
                continue;
            };
            let examples = sent.examples.iter();
            faults.extend(examples.filter_map(|example| value::fault(schema, sent.name, example)));
            let needed = schema.get("requires").and_then(Value::as_str);
            faults.extend(needed.and_then(|needed| {
                let there = row.parameters.iter().any(|other| other.name == needed);
                (!there).then(|| format!("`{}` needs `{needed}`", sent.name))
            }));
        }
        if row.sends {
            for (name, schema) in properties {
                let optional =
                    schema.get("optional").is_some_and(value::truth) || name.contains("[n]");
                let in_path = places(row.template).any(|(place, _)| place == name);
                let sent = row
                    .parameters
                    .iter()
                    .any(|sent| sent.name == name && sent.always);
                if !optional && !in_path && !sent {
                    faults.push(format!("`{name}` must be sent"));
                }
            }
        }
        faults
            .iter()
            .map(|fault| format!("{} {}: {fault}", row.method, row.template))
            .collect()
    }
}

/// The parameters in a path, each with an example.
fn places(template: &str) -> impl Iterator<Item = (&str, Option<&'static str>)> {
    let names = template
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| {
        let example = PATH_EXAMPLES.iter().find(|(place, _)| *place == name);
        (name, example.map(|(_, example)| *example))
    })
}

/// The schema of a parameter; numbered ones are found under their family, `scsi[n]`.
fn property<'a>(properties: &'a BTreeMap<String, Value>, name: &str) -> Option<&'a Value> {
    properties.get(name).or_else(|| {
        let family = name.trim_end_matches(|character: char| character.is_ascii_digit());
        (family.len() < name.len()).then(|| properties.get(&format!("{family}[n]")))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"paths": {"/nodes/{node}/things": {"POST": {"allowtoken": 1, "parameters": {
        "additionalProperties": 0, "properties": {
            "node": {"type": "string", "format": "pve-node"},
            "size": {"type": "integer", "minimum": "2", "maximum": 9},
            "kind": {"type": "string", "enum": ["a", "b"], "optional": 1},
            "sum": {"type": "string", "requires": "sum-kind", "maxLength": 4, "optional": 1},
            "sum-kind": {"type": "string", "optional": 1},
            "net[n]": {"type": "string", "optional": 1, "format": {
                "model": {"type": "string", "default_key": 1, "enum": ["virtio"]},
                "virtio": {"alias": "macaddr", "keyAlias": "model"},
                "macaddr": {"type": "string", "format": "mac-addr", "optional": 1},
                "firewall": {"type": "boolean", "optional": 1},
                "bridge": {"type": "string", "pattern": "(?^:br\\d+)", "optional": 1}}},
            "odd": {"type": "string", "format": "pve-odd", "optional": 1}}}},
        "GET": {"parameters": {"properties": {"node": {"type": "string"}}}}}}}"#;

    fn faults(parameters: &[(&str, &str)]) -> Vec<String> {
        let sent = |(name, example): &(&'static str, &'static str)| Sent {
            name,
            examples: vec![example],
            always: true,
        };
        let parameters: Vec<(&'static str, &'static str)> = parameters
            .iter()
            .map(|(name, example)| (&*name.to_string().leak(), &*example.to_string().leak()))
            .collect();
        let row = Row {
            method: "POST",
            template: "/nodes/{node}/things",
            parameters: parameters.iter().map(sent).collect(),
            sends: true,
        };
        let cut = |fault: String| {
            fault
                .trim_start_matches("POST /nodes/{node}/things: ")
                .to_owned()
        };
        Schema::read(SCHEMA)
            .unwrap()
            .faults(&row)
            .into_iter()
            .map(cut)
            .collect()
    }

    #[test]
    fn a_right_row_has_no_fault() {
        let parameters = [
            ("size", "2"),
            ("kind", "b"),
            ("net0", "virtio,bridge=br1,firewall=1"),
            ("net7", "virtio=BC:24:11:2A:00:01"),
        ];
        assert_eq!(faults(&parameters), Vec::<String>::new());
    }

    #[test]
    fn every_fault_is_found() {
        for (parameters, fault) in [
            (&[][..], "`size` must be sent"),
            (&[("size", "1")], "`size=1` is less than 2"),
            (&[("size", "10")], "`size=10` is more than 9"),
            (&[("size", "2x")], "`size=2x` is no integer"),
            (&[("size", "2"), ("kind", "c")], "`kind=c` is none of a, b"),
            (&[("size", "2"), ("sum", "x")], "`sum` needs `sum-kind`"),
            (
                &[("size", "2"), ("sum", "12345"), ("sum-kind", "x")],
                "`sum=12345` is longer than 4",
            ),
            (
                &[("size", "2"), ("other", "x")],
                "`other` is no parameter of it",
            ),
            (
                &[("size", "2"), ("net", "virtio")],
                "`net` is no parameter of it",
            ),
            (
                &[("size", "2"), ("net0", "e1000")],
                "`net0.model=e1000` is none of virtio",
            ),
            (
                &[("size", "2"), ("net0", "virtio,other=1")],
                "`net0` has no part `other`",
            ),
            (
                &[("size", "2"), ("net0", "bridge=br1")],
                "`net0` lacks its part `model`",
            ),
            (
                &[("size", "2"), ("net0", "virtio,firewall=maybe")],
                "`net0.firewall=maybe` is no boolean",
            ),
            (
                &[("size", "2"), ("net0", "virtio,bridge=xbr1")],
                "`net0.bridge=xbr1` does not match (?^:br\\d+)",
            ),
            (
                &[("size", "2"), ("net0", "virtio=no")],
                "`net0.macaddr=no` is no mac-addr",
            ),
            (
                &[("size", "2"), ("odd", "x")],
                "`odd` has the format `pve-odd`, which this gate does not know",
            ),
        ] {
            assert_eq!(faults(parameters), [fault], "{parameters:?}");
        }
        let schema = Schema::read(SCHEMA).unwrap();
        for (method, template, fault) in [
            (
                "GET",
                "/nodes/{node}/things",
                "GET /nodes/{node}/things: is not for tokens",
            ),
            (
                "PUT",
                "/nodes/{node}/things",
                "PUT /nodes/{node}/things: the path has no such method",
            ),
            ("GET", "/nodes", "/nodes: there is no such path"),
        ] {
            let row = Row {
                method,
                template,
                parameters: Vec::new(),
                sends: false,
            };
            assert_eq!(schema.faults(&row), [fault]);
        }
    }
}
