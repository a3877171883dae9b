//! From systemd's properties to a [`UnitState`].
//!
//! A property that is missing or has another type is an error, never a default: a state that is
//! half read must not pass for one.

use zbus::{OwnedVariant, Variant};

use super::proxy::Properties;
use crate::unit::state::{ActiveState, InvocationId, UnitState};

/// A property that is not as documented.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("property `{property}` is missing or not {wanted}")]
pub(super) struct InvalidProperty {
    property: &'static str,
    wanted: &'static str,
}

/// Reads the properties of the interfaces `Unit` and `Service` of one unit.
///
/// A unit without a file has no service properties; they are taken as those of one that never ran.
pub(super) fn read(
    unit: &Properties,
    service: Option<&Properties>,
) -> Result<UnitState, InvalidProperty> {
    let mut state = UnitState {
        load_state: text(unit, "LoadState")?,
        fragment: match unit.get("FragmentPath").map(|value| &**value) {
            Some(Variant::Str(path)) if !path.is_empty() => Some(path.as_str().into()),
            // A unit without a file has none.
            _ => None,
        },
        active_state: ActiveState::from(text(unit, "ActiveState")?.as_str()),
        sub_state: text(unit, "SubState")?,
        result: String::new(),
        restarts: 0,
        exec_main_status: 0,
        main_pid: 0,
        invocation: invocation(unit)?,
        // systemd counts microseconds.
        active_since_milliseconds: i64::try_from(long(unit, "ActiveEnterTimestamp")? / 1000)
            .unwrap_or(i64::MAX),
        failed_condition: failed_condition(unit)?,
    };
    if let Some(service) = service {
        state.result = text(service, "Result")?;
        state.restarts = number(service, "NRestarts")?;
        state.exec_main_status = signed(service, "ExecMainStatus")?;
        state.main_pid = number(service, "MainPID")?;
    }
    Ok(state)
}

/// The condition that kept the last start from happening, as it stands in the unit file.
fn failed_condition(unit: &Properties) -> Result<Option<String>, InvalidProperty> {
    let tried = long(unit, "ConditionTimestamp")? != 0;
    let Some(Variant::Bool(met)) = unit.get("ConditionResult").map(|value| &**value) else {
        return Err(InvalidProperty {
            property: "ConditionResult",
            wanted: "a boolean",
        });
    };
    if *met || !tried {
        return Ok(None);
    }
    let named = unit.get("Conditions").and_then(first_unmet);
    Ok(Some(named.unwrap_or_else(|| "(not named)".to_owned())))
}

/// `Conditions` is an array of (type, trigger, negated, parameter, state); a negative state is a
/// condition that was not met.
fn first_unmet(conditions: &OwnedVariant) -> Option<String> {
    let Variant::Array(conditions) = &**conditions else {
        return None;
    };
    conditions.iter().find_map(|condition| {
        let Variant::Structure(condition) = condition else {
            return None;
        };
        let [
            Variant::Str(kind),
            _trigger,
            Variant::Bool(negated),
            Variant::Str(parameter),
            Variant::I32(state),
        ] = condition.fields()
        else {
            return None;
        };
        let sign = if *negated { "!" } else { "" };
        (*state < 0).then(|| format!("{kind}={sign}{parameter}"))
    })
}

fn invocation(unit: &Properties) -> Result<Option<InvocationId>, InvalidProperty> {
    let invalid = InvalidProperty {
        property: "InvocationID",
        wanted: "an array of bytes",
    };
    let Some(Variant::Array(bytes)) = unit.get("InvocationID").map(|value| &**value) else {
        return Err(invalid);
    };
    let mut id = Vec::with_capacity(16);
    for byte in bytes.iter() {
        let Variant::U8(byte) = byte else {
            return Err(invalid);
        };
        id.push(*byte);
    }
    Ok(InvocationId::from_bytes(&id))
}

fn text(properties: &Properties, property: &'static str) -> Result<String, InvalidProperty> {
    match properties.get(property).map(|value| &**value) {
        Some(Variant::Str(text)) => Ok(text.to_string()),
        _ => Err(InvalidProperty {
            property,
            wanted: "a text",
        }),
    }
}

fn number(properties: &Properties, property: &'static str) -> Result<u32, InvalidProperty> {
    match properties.get(property).map(|value| &**value) {
        Some(Variant::U32(number)) => Ok(*number),
        _ => Err(InvalidProperty {
            property,
            wanted: "a number",
        }),
    }
}

fn signed(properties: &Properties, property: &'static str) -> Result<i32, InvalidProperty> {
    match properties.get(property).map(|value| &**value) {
        Some(Variant::I32(number)) => Ok(*number),
        _ => Err(InvalidProperty {
            property,
            wanted: "a number",
        }),
    }
}

fn long(properties: &Properties, property: &'static str) -> Result<u64, InvalidProperty> {
    match properties.get(property).map(|value| &**value) {
        Some(Variant::U64(number)) => Ok(*number),
        _ => Err(InvalidProperty {
            property,
            wanted: "a number",
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use omni_scale_noise::{Dice, hold_against, noise};

    use super::*;

    fn unit() -> Properties {
        let values: [(&str, Variant<'_>); 8] = [
            ("LoadState", "loaded".into()),
            ("FragmentPath", "/lib/systemd/system/x.service".into()),
            ("ActiveState", "inactive".into()),
            ("SubState", "dead".into()),
            ("InvocationID", Variant::from(vec![7_u8; 16])),
            ("ActiveEnterTimestamp", Variant::U64(1_700_000_000_123_456)),
            ("ConditionTimestamp", Variant::U64(1)),
            ("ConditionResult", Variant::Bool(true)),
        ];
        values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.try_to_owned().unwrap()))
            .collect()
    }

    fn set(properties: &mut Properties, name: &str, value: &Variant<'_>) {
        properties.insert(name.to_owned(), value.try_to_owned().unwrap());
    }

    #[test]
    fn a_unit_without_a_file_has_a_state() {
        let state = read(&unit(), None).unwrap();
        assert_eq!(state.active_state, ActiveState::Inactive);
        assert_eq!(state.active_since_milliseconds, 1_700_000_000_123);
        assert_eq!(state.invocation.unwrap().to_string(), "07".repeat(16));
        assert_eq!(state.failed_condition, None);
        let file = Path::new("/lib/systemd/system/x.service");
        assert_eq!(state.fragment.as_deref(), Some(file));
        let mut without = unit();
        set(&mut without, "FragmentPath", &"".into());
        assert_eq!(read(&without, None).unwrap().fragment, None);
    }

    #[test]
    fn noise_in_the_properties_is_an_error_or_a_state() {
        let service: [(&str, Variant<'_>); 4] = [
            ("Result", "success".into()),
            ("NRestarts", Variant::U32(1)),
            ("ExecMainStatus", Variant::I32(-1)),
            ("MainPID", Variant::U32(7)),
        ];
        let names: Vec<String> = unit()
            .into_keys()
            .chain(service.iter().map(|(name, _)| (*name).to_owned()))
            .chain(["Conditions".to_owned()])
            .collect();
        let make = |dice: &mut Dice| {
            let mut unit = unit();
            for (name, value) in &service {
                set(&mut unit, name, value);
            }
            for _ in 0..=dice.roll(3) {
                let name = &names[dice.roll(names.len())];
                if dice.once_in(8) {
                    unit.remove(name);
                } else {
                    set(&mut unit, name, &variant(dice));
                }
            }
            unit
        };
        hold_against("systemd's properties", make, |unit| {
            if let Ok(state) = read(unit, Some(unit)) {
                assert!(state.active_since_milliseconds >= 0);
                assert!(!state.summary().is_empty());
            }
        });
    }

    /// A value of any kind.
    fn variant(dice: &mut Dice) -> Variant<'static> {
        let number = dice.bits();
        let text = noise(dice).replace('\0', "");
        match dice.roll(9) {
            0 => Variant::U64(number),
            1 => Variant::U32(u32::try_from(number >> 32).unwrap_or_default()),
            2 => Variant::I32(i32::MIN),
            3 => Variant::Bool(dice.once_in(2)),
            4 => Variant::from(vec![7_u8; dice.roll(20)]),
            5 => Variant::from(vec![(text, false, true, "/x".to_owned(), -1_i32)]),
            6 => Variant::from(vec![text]),
            7 => Variant::U64(u64::MAX),
            _ => Variant::from(text),
        }
    }

    #[test]
    fn the_condition_that_is_not_met_is_named() {
        let mut properties = unit();
        set(&mut properties, "ConditionResult", &Variant::Bool(false));
        let conditions = vec![
            ("ConditionPathExists", false, false, "/there", 1_i32),
            ("ConditionPathExists", false, true, "/gone", -1_i32),
        ];
        set(&mut properties, "Conditions", &Variant::from(conditions));
        let state = read(&properties, None).unwrap();
        assert_eq!(
            state.failed_condition.as_deref(),
            Some("ConditionPathExists=!/gone")
        );
    }

    #[test]
    fn a_condition_that_was_never_tried_did_not_fail() {
        let mut properties = unit();
        set(&mut properties, "ConditionResult", &Variant::Bool(false));
        set(&mut properties, "ConditionTimestamp", &Variant::U64(0));
        assert_eq!(read(&properties, None).unwrap().failed_condition, None);
    }

    #[test]
    fn a_property_of_another_type_is_an_error_with_its_name() {
        for name in ["LoadState", "InvocationID", "ConditionResult"] {
            let mut properties = unit();
            set(&mut properties, name, &Variant::U16(1));
            let error = read(&properties, None).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            properties.remove(name);
            assert!(read(&properties, None).is_err());
        }
        assert!(read(&unit(), Some(&Properties::new())).is_err());
    }
}
