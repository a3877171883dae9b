//! What must be done to the unit so that it is what it should be.
//!
//! Pure, and used on both sides: the plan shows it, the agent does it.

use serde::{Deserialize, Serialize};

use super::CheckedUnit;
use crate::effect::{Effect, UnknownState};
use crate::v1;

/// What is done to the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnitAction {
    /// It is as it should be.
    Keep,
    /// It is right, and is to be verified by other certificates. Nothing is restarted.
    Verify,
    /// It is right, and does not run.
    Start,
    /// It is set up for the first time, and started.
    Install,
    /// It is set up anew, and restarted.
    Reconfigure,
}

/// What must be done to the unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitChange {
    /// What is done.
    pub action: UnitAction,
    /// Why, for people; empty when nothing is done.
    pub reasons: Vec<String>,
    /// How much it disturbs.
    pub effect: Effect,
}

/// What must be done so that the unit is what it should be.
pub fn unit_difference(
    unit: &CheckedUnit,
    observed: &v1::UnitObservation,
) -> Result<UnitChange, UnknownState> {
    if !observed.known {
        return Err(UnknownState {
            subject: "unit `tsidp.service`".to_owned(),
            reason: observed.reason.clone(),
        });
    }
    let change = |action, reasons, effect| {
        Ok(UnitChange {
            action,
            reasons,
            effect,
        })
    };
    let Some(applied) = &observed.applied else {
        return change(
            UnitAction::Install,
            vec!["it was never set up".to_owned()],
            Effect::Start,
        );
    };
    let mut reasons = differences(applied, &unit.wire);
    let effect = if host_name(&applied.arguments) == host_name(&unit.wire.arguments)
        && applied.issuer == unit.wire.issuer
    {
        Effect::Restart
    } else {
        Effect::Identity
    };
    if observed.drifted {
        reasons.push("what is on the disk is not what was applied".to_owned());
    }
    if observed.artifact_sha256 != unit.artifact.as_str() && reasons.is_empty() {
        reasons.push("another program is in its place".to_owned());
    }
    if !reasons.is_empty() {
        return change(UnitAction::Reconfigure, reasons, effect);
    }
    if applied.extra_roots_pem != unit.wire.extra_roots_pem {
        reasons.push(
            "the certificates that are trusted beside the host's own when it is verified changed"
                .to_owned(),
        );
    }
    if observed.active_state != "active" {
        reasons.insert(0, format!("it is {}", observed.active_state));
        return change(UnitAction::Start, reasons, Effect::Start);
    }
    if !reasons.is_empty() {
        return change(UnitAction::Verify, reasons, Effect::None);
    }
    change(UnitAction::Keep, reasons, Effect::None)
}

fn differences(before: &v1::UnitConfiguration, after: &v1::UnitConfiguration) -> Vec<String> {
    let sum = |configuration: &v1::UnitConfiguration| {
        configuration
            .artifact
            .as_ref()
            .map(|artifact| artifact.sha256.clone())
            .unwrap_or_default()
    };
    let mut lines = Vec::new();
    if sum(before) != sum(after) {
        let short = |sum: String| sum.chars().take(12).collect::<String>();
        lines.push(format!(
            "program {} → {}",
            short(sum(before)),
            short(sum(after))
        ));
    }
    if before.arguments != after.arguments {
        lines.push(format!(
            "arguments `{}` → `{}`",
            before.arguments.join(" "),
            after.arguments.join(" ")
        ));
    }
    let names = before.environment.keys().chain(after.environment.keys());
    let names: std::collections::BTreeSet<&String> = names.collect();
    for name in names {
        match (before.environment.get(name), after.environment.get(name)) {
            (None, _) => lines.push(format!("variable `{name}` added")),
            (_, None) => lines.push(format!("variable `{name}` removed")),
            (old, new) if old != new => lines.push(format!("variable `{name}` changed")),
            _ => {}
        }
    }
    if before.issuer != after.issuer {
        lines.push(format!("issuer {} → {}", before.issuer, after.issuer));
    }
    lines
}

/// The value of `-hostname`, in any of the forms that Go's flag package reads.
fn host_name(arguments: &[String]) -> Option<&str> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(flag) = argument
            .strip_prefix("--")
            .or_else(|| argument.strip_prefix('-'))
        else {
            continue;
        };
        match flag.split_once('=') {
            Some(("hostname", value)) => return Some(value),
            None if flag == "hostname" => return rest.next().map(String::as_str),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::examples::{changed, wire};
    use super::super::unit_digest;
    use super::*;

    fn observed() -> v1::UnitObservation {
        v1::UnitObservation {
            known: true,
            active_state: "active".to_owned(),
            artifact_sha256: "a".repeat(64),
            applied: Some(wire()),
            ..v1::UnitObservation::default()
        }
    }

    #[test]
    fn where_the_program_comes_from_changes_nothing() {
        let one = changed(|_| {}).unwrap();
        let other = changed(|wire| {
            wire.artifact.as_mut().unwrap().url = "https://elsewhere.example/x".to_owned();
        })
        .unwrap();
        assert_eq!(unit_digest(&one), unit_digest(&other));
        assert_eq!(
            unit_difference(&other, &observed()).unwrap().action,
            UnitAction::Keep
        );
    }

    #[test]
    fn other_roots_are_verified_with_and_restart_nothing() {
        let unit = changed(|wire| wire.extra_roots_pem = "another".to_owned()).unwrap();
        let change = unit_difference(&unit, &observed()).unwrap();
        assert_eq!(
            (change.action, change.effect),
            (UnitAction::Verify, Effect::None)
        );
        assert_eq!(change.reasons.len(), 1);
        let mut stopped = observed();
        stopped.active_state = "inactive".to_owned();
        let change = unit_difference(&unit, &stopped).unwrap();
        assert_eq!(
            (change.action, change.reasons.len()),
            (UnitAction::Start, 2)
        );
    }

    #[test]
    fn another_node_name_is_another_identity() {
        let renamed = changed(|wire| wire.arguments = vec!["--hostname=idp".to_owned()]).unwrap();
        let change = unit_difference(&renamed, &observed()).unwrap();
        assert_eq!(
            (change.action, change.effect),
            (UnitAction::Reconfigure, Effect::Identity)
        );
    }

    #[test]
    fn every_state_has_its_action() {
        let unit = changed(|_| {}).unwrap();
        let action = |change: fn(&mut v1::UnitObservation)| {
            let mut observed = observed();
            change(&mut observed);
            unit_difference(&unit, &observed).map(|change| change.action)
        };
        assert_eq!(action(|_| {}).unwrap(), UnitAction::Keep);
        assert_eq!(
            action(|observed| observed.applied = None).unwrap(),
            UnitAction::Install
        );
        assert_eq!(
            action(|observed| observed.drifted = true).unwrap(),
            UnitAction::Reconfigure
        );
        assert_eq!(
            action(|observed| observed.artifact_sha256.clear()).unwrap(),
            UnitAction::Reconfigure
        );
        assert_eq!(
            action(|observed| observed.active_state = "failed".to_owned()).unwrap(),
            UnitAction::Start
        );
        assert!(action(|observed| observed.known = false).is_err());
    }
}
