//! Checks parameters against a table, all of them, and names every fault.

use std::collections::BTreeMap;

use super::{Kind, Property, property_string};

/// The property that a parameter's name belongs to; `scsi07` belongs to none.
pub(crate) fn lookup<'a>(table: &[&'a [Property]], name: &str) -> Option<&'a Property> {
    table.iter().flat_map(|part| part.iter()).find(|property| {
        if property.family == 0 {
            return property.name == name;
        }
        name.strip_prefix(property.name).is_some_and(|number| {
            number
                .parse::<u32>()
                .is_ok_and(|value| value < property.family && value.to_string() == number)
        })
    })
}

/// The values as Proxmox VE takes them (booleans as `1` and `0`), or one message for each fault.
pub(crate) fn check(
    table: &[&'static [Property]],
    values: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, BTreeMap<String, String>> {
    let mut errors = BTreeMap::new();
    let mut taken = BTreeMap::new();
    for (name, value) in values {
        let Some(property) = lookup(table, name) else {
            let text = "property is not defined in schema and the schema does not allow additional properties";
            errors.insert(name.clone(), text.to_owned());
            continue;
        };
        match check_value(&property.kind, value, name) {
            Ok(value) => {
                taken.insert(name.clone(), value);
            }
            Err(message) => {
                errors.insert(name.clone(), message);
            }
        }
        if let Some(other) = property
            .requires
            .filter(|other| !values.contains_key(*other))
        {
            errors.insert(
                other.to_owned(),
                format!("missing property - '{name}' requires this property"),
            );
        }
    }
    for property in table.iter().flat_map(|part| part.iter()) {
        if !property.optional && property.family == 0 && !values.contains_key(property.name) {
            errors.insert(
                property.name.to_owned(),
                "property is missing and it is not optional".to_owned(),
            );
        }
    }
    if errors.is_empty() {
        Ok(taken)
    } else {
        Err(errors)
    }
}

/// One value, as it is taken or why not. `path` names it within property strings.
pub(super) fn check_value(kind: &Kind, value: &str, path: &str) -> Result<String, String> {
    match kind {
        Kind::Text(longest) => {
            if *longest > 0 && value.chars().count() > *longest {
                return Err(format!("value may only be {longest} characters long"));
            }
        }
        Kind::Integer(least, most) => {
            let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
            let number = value
                .parse::<i64>()
                .ok()
                .filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
            let number =
                number.ok_or_else(|| format!("type check ('integer') failed - got '{value}'"))?;
            in_range(number, *least, *most)?;
            return Ok(number.to_string());
        }
        Kind::Number(least, most) => {
            let number: f64 = value
                .parse()
                .map_err(|_| format!("type check ('number') failed - got '{value}'"))?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "limits are small whole numbers"
            )]
            in_range(number as i64, *least, *most)?;
        }
        Kind::Boolean => {
            return boolean(value)
                .map(|yes| if yes { "1" } else { "0" }.to_owned())
                .ok_or_else(|| format!("type check ('boolean') failed - got '{value}'"));
        }
        Kind::Enumeration(choices) => {
            if !choices.contains(&value) {
                let choices = choices.join(", ");
                return Err(format!(
                    "value '{value}' does not have a value in the enumeration '{choices}'"
                ));
            }
        }
        Kind::Pattern(_, matches) => {
            if !matches(value) {
                return Err("value does not match the regex pattern".to_owned());
            }
        }
        Kind::Format(format) => {
            format
                .check(value)
                .map_err(|message| format!("invalid format - {message}\n"))?;
        }
        Kind::PropertyString(keys) => {
            property_string::check(keys, value, path)
                .map_err(|message| format!("invalid format - {message}"))?;
        }
    }
    Ok(value.to_owned())
}

fn in_range(number: i64, least: Option<i64>, most: Option<i64>) -> Result<(), String> {
    if let Some(most) = most.filter(|most| number > *most) {
        return Err(format!("value must have a maximum value of {most}"));
    }
    if let Some(least) = least.filter(|least| number < *least) {
        return Err(format!("value must have a minimum value of {least}"));
    }
    Ok(())
}

/// The words for yes and no.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{VM, required};
    use super::*;

    const ID: &[Property] = &[required(
        "vmid",
        Kind::Integer(Some(100), Some(999_999_999)),
    )];

    fn fault(name: &str, value: &str) -> String {
        let mut values = BTreeMap::from([("vmid".to_owned(), "100".to_owned())]);
        values.insert(name.to_owned(), value.to_owned());
        check(&[ID, VM], &values).unwrap_err().remove(name).unwrap()
    }

    /// pve-common `JSONSchema.pm` `check_prop`, `check_type`, `check_object`.
    #[test]
    fn faults_are_told_in_the_words_of_proxmox() {
        assert_eq!(fault("vmid", "7"), "value must have a minimum value of 100");
        assert_eq!(
            fault("cores", "two"),
            "type check ('integer') failed - got 'two'"
        );
        assert_eq!(
            fault("onboot", "maybe"),
            "type check ('boolean') failed - got 'maybe'"
        );
        assert_eq!(
            fault("bios", "bios"),
            "value 'bios' does not have a value in the enumeration 'seabios, ovmf'"
        );
        assert_eq!(
            fault("colour", "red"),
            "property is not defined in schema and the schema does not allow additional properties"
        );
        assert_eq!(
            fault("name", "under_score"),
            "invalid format - value does not look like a valid DNS name\n"
        );
        assert_eq!(
            fault("serial0", "tty"),
            "value does not match the regex pattern"
        );
        let missing = check(&[ID], &BTreeMap::new()).unwrap_err();
        assert_eq!(
            missing["vmid"],
            "property is missing and it is not optional"
        );
    }

    #[test]
    fn a_family_ends_where_it_ends() {
        let table: &[&'static [Property]] = &[VM];
        assert!(lookup(table, "scsi30").is_some());
        assert!(lookup(table, "scsi31").is_none());
        assert!(lookup(table, "scsi00").is_none());
        assert!(lookup(table, "scsi").is_none());
    }
}
