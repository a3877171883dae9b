//! `key=value,…` values (pve-common `JSONSchema.pm` `parse_property_string`).

use std::collections::BTreeMap;

use super::check::{boolean, check_value};
use super::{Key, Kind};

/// The keys and values, aliases resolved; the message of the first fault in the form, or of all in the values.
pub(crate) fn parse(keys: &[Key], text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut bare = false;
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        match part.split_once('=') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                if values.contains_key(name) {
                    return Err(format!(
                        "duplicate key in comma-separated list property: {name}\n"
                    ));
                }
                let mut name = name;
                let mut entry = keys.iter().find(|key| key.property.name == name);
                if let Some((alias, key_alias)) =
                    entry.and_then(|key| Some((key.alias?, key.key_alias)))
                {
                    if let Some(other) = key_alias {
                        if values.contains_key(other) {
                            return Err(format!("key alias '{other}' is already defined\n"));
                        }
                        values.insert(other.to_owned(), name.to_owned());
                    }
                    name = alias;
                    entry = keys.iter().find(|key| key.property.name == name);
                }
                let entry = entry.ok_or_else(|| {
                    format!("invalid key in comma-separated list property: {name}\n")
                })?;
                let value = match (&entry.property.kind, boolean(value)) {
                    (Kind::Boolean, Some(yes)) => if yes { "1" } else { "0" }.to_owned(),
                    _ => value.to_owned(),
                };
                values.insert(name.to_owned(), value);
            }
            None => {
                let default = keys.iter().find(|key| key.default).ok_or_else(|| {
                    "value without key, but schema does not define a default key\n".to_owned()
                })?;
                let name = default.property.name;
                if bare || values.contains_key(name) {
                    return Err(format!(
                        "duplicate key in comma-separated list property: {name}\n"
                    ));
                }
                bare = true;
                values.insert(name.to_owned(), part.to_owned());
            }
            Some(_) => return Err("missing key in comma-separated list property\n".to_owned()),
        }
    }
    Ok(values)
}

/// As [`parse`], with every value checked.
pub(super) fn check(keys: &[Key], text: &str, path: &str) -> Result<(), String> {
    let values = parse(keys, text)?;
    let mut errors = BTreeMap::new();
    for key in keys.iter().filter(|key| key.alias.is_none()) {
        let name = key.property.name;
        let Some(value) = values.get(name) else {
            if !key.property.optional {
                let text = "property is missing and it is not optional";
                errors.insert(format!("{path}.{name}"), text.to_owned());
            }
            continue;
        };
        if let Err(message) = check_value(&key.property.kind, value, name) {
            errors.insert(format!("{path}.{name}"), message);
        }
        if let Some(other) = key
            .property
            .requires
            .filter(|other| !values.contains_key(*other))
        {
            let text = format!("missing property - '{path}.{name}' requires this property");
            errors.insert(format!("{path}.{other}"), text);
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = errors
        .iter()
        .map(|(name, message)| format!("{name}: {}\n", message.trim_end()))
        .collect();
    Err(format!("format error\n{}", lines.concat()))
}

#[cfg(test)]
mod tests {
    use super::super::{DRIVE, NET};
    use super::*;

    #[test]
    fn a_model_with_its_address_is_two_keys() {
        let net = parse(NET, "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=on").unwrap();
        assert_eq!(net["model"], "virtio");
        assert_eq!(net["macaddr"], "BC:24:11:00:00:01");
        assert_eq!(net["firewall"], "1");
    }

    /// pve-common `JSONSchema.pm` `parse_property_string`.
    #[test]
    fn faults_are_told_in_the_words_of_proxmox() {
        let fault = |text: &str| check(DRIVE, text, "scsi0").unwrap_err();
        assert_eq!(
            fault("a:1,colour=red"),
            "invalid key in comma-separated list property: colour\n"
        );
        assert_eq!(
            fault("a:1,b:2"),
            "duplicate key in comma-separated list property: file\n"
        );
        assert_eq!(
            fault("a:1,ssd="),
            "missing key in comma-separated list property\n"
        );
        assert_eq!(
            fault("ssd=1"),
            "format error\nscsi0.file: property is missing and it is not optional\n"
        );
        assert_eq!(
            fault("fast:1,size=big"),
            "format error\nscsi0.size: invalid format - value does not look like a valid disk size: big\n"
        );
    }
}
