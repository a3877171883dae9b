//! The routes of the model against the schema that Proxmox publishes: the file that `PVE_API_SCHEMA` names, which
//! `tests/tools/fetch-proxmox-schema` fetches. Without it the test fails; it is never passed over.
//!
//! It holds what the model **takes** to what the real one takes: no path, method or parameter that is not there, nothing
//! required that is optional or the other way round, and no value that the real one would refuse.

use std::fs;

use omni_scale_proxmox_simulator::routes::{Permission, ROUTES, Route};
use omni_scale_proxmox_simulator::schema::{Key, Kind, Property};
use serde_json::Value;

#[test]
fn every_route_is_in_the_published_schema() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the harness says where the schema is"
    )]
    let path = std::env::var("PVE_API_SCHEMA").expect("PVE_API_SCHEMA names the schema's file");
    let json = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("`{path}` cannot be read: {error}"));
    let schema: Value =
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("`{path}` is not JSON: {error}"));
    let paths = schema["paths"].as_object().expect("paths");
    assert!(
        paths.len() > 400,
        "`{path}` holds {} paths, which is not the whole API",
        paths.len()
    );
    let mut faults = Vec::new();
    for route in ROUTES {
        let method = &paths.get(route.template).unwrap_or(&Value::Null)[route.method.name()];
        let place = format!("{} {}", route.method.name(), route.template);
        if method.is_null() {
            faults.push(format!("{place}: the schema has no such call"));
        } else {
            check_route(&place, route, method, &mut faults);
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn check_route(place: &str, route: &Route, method: &Value, faults: &mut Vec<String>) {
    let properties = &method["parameters"]["properties"];
    if !truth(&method["allowtoken"]) {
        faults.push(format!("{place}: tokens may not call it"));
    }
    for property in route.parameters.iter().flat_map(|table| table.iter()) {
        let name = if property.family > 0 {
            format!("{}[n]", property.name)
        } else {
            property.name.to_owned()
        };
        let real = &properties[&name];
        if real.is_null() {
            faults.push(format!("{place}: `{name}` is no parameter"));
            continue;
        }
        check_property(&format!("{place}: `{name}`"), property, real, faults);
    }
    if let Some(properties) = properties.as_object() {
        for (name, real) in properties {
            let known = route
                .parameters
                .iter()
                .flat_map(|table| table.iter())
                .any(|own| own.name == name);
            if !truth(&real["optional"]) && !known {
                faults.push(format!("{place}: `{name}` is required and not known"));
            }
        }
    }
    check_permission(place, route.permission, &method["permissions"], faults);
}

fn check_property(place: &str, property: &Property, real: &Value, faults: &mut Vec<String>) {
    if property.optional != truth(&real["optional"]) {
        faults.push(format!("{place}: optional is {}", real["optional"]));
    }
    if real["requires"].as_str() != property.requires {
        faults.push(format!("{place}: requires {}", real["requires"]));
    }
    check_kind(place, &property.kind, real, faults);
}

fn check_kind(place: &str, kind: &Kind, real: &Value, faults: &mut Vec<String>) {
    let kind_of = real["type"].as_str().unwrap_or("string");
    let expected = match kind {
        Kind::Integer(..) => "integer",
        Kind::Number(..) => "number",
        Kind::Boolean => "boolean",
        _ => "string",
    };
    if kind_of != expected {
        faults.push(format!("{place}: the type is {kind_of}"));
    }
    match kind {
        Kind::Integer(least, most) | Kind::Number(least, most) => {
            if number(&real["minimum"]) != *least || number(&real["maximum"]) != *most {
                faults.push(format!(
                    "{place}: the limits are {} and {}",
                    real["minimum"], real["maximum"]
                ));
            }
        }
        Kind::Enumeration(choices) => {
            let real: Vec<&str> = real["enum"]
                .as_array()
                .map(|list| list.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default();
            for choice in choices.iter().filter(|choice| !real.contains(choice)) {
                faults.push(format!("{place}: {choice} is not in {real:?}"));
            }
        }
        Kind::Text(longest) => {
            let real = real["maxLength"].as_u64().unwrap_or(0);
            if u64::try_from(*longest).ok() != Some(real) {
                faults.push(format!("{place}: the longest is {real}"));
            }
        }
        Kind::Pattern(..) => {
            if real["pattern"].is_null() && real["enum"].is_null() {
                faults.push(format!("{place}: there is no pattern"));
            }
        }
        Kind::Format(format) => {
            if real["format"].as_str() != Some(format.name()) {
                faults.push(format!("{place}: the format is {}", real["format"]));
            }
        }
        Kind::PropertyString(keys) => check_keys(place, keys, &real["format"], faults),
        Kind::Boolean => {}
    }
}

/// Only formats that the schema spells out can be compared; a name says nothing here.
fn check_keys(place: &str, keys: &[Key], real: &Value, faults: &mut Vec<String>) {
    let Some(real) = real.as_object() else { return };
    for key in keys {
        let name = key.property.name;
        let Some(found) = real.get(name) else {
            faults.push(format!("{place}: `{name}` is no key"));
            continue;
        };
        if found["alias"].as_str() != key.alias || found["keyAlias"].as_str() != key.key_alias {
            faults.push(format!(
                "{place}: `{name}` is an alias of {}",
                found["alias"]
            ));
        }
        if key.default != truth(&found["default_key"]) {
            faults.push(format!(
                "{place}: `{name}` as default key: {}",
                found["default_key"]
            ));
        }
        if key.alias.is_none() {
            check_property(&format!("{place} `{name}`"), &key.property, found, faults);
        }
    }
    for (name, found) in real {
        let known = keys.iter().any(|key| key.property.name == name);
        if !known && !truth(&found["optional"]) && found["alias"].is_null() {
            faults.push(format!("{place}: `{name}` is required and not known"));
        }
    }
}

fn check_permission(place: &str, permission: Permission, real: &Value, faults: &mut Vec<String>) {
    let check = &real["check"];
    let privileges = |list: &Value| -> Vec<String> {
        list.as_array()
            .map(|list| {
                list.iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default()
    };
    let fine = match permission {
        Permission::Everyone => real["user"] == "all" || check.is_null(),
        Permission::All(path, wanted) => {
            check[1] == path && privileges(&check[2]) == wanted && check[3].is_null()
        }
        Permission::Any(path, wanted) => {
            check[1] == path && privileges(&check[2]) == wanted && check[3] == "any"
        }
        Permission::Download => check[0] == "and" && check[2][0] == "or",
        Permission::Network => {
            check[0] == "or" && check[1][1] == "/" && check[2][2][0] == "Sys.AccessNetwork"
        }
    };
    if !fine {
        faults.push(format!("{place}: the permission is {real}"));
    }
}

fn truth(value: &Value) -> bool {
    value.as_i64() == Some(1) || value == "1" || value == true
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
