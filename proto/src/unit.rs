//! The tsidp unit: a configuration that makes sense, and what must be done to get there.

use serde::{Deserialize, Serialize};

use crate::effect::{Effect, UnknownState};
use crate::id::{InvalidId, SecretName, Sha256};
use crate::v1;

/// Flags of tsidp that a deployment must not give, and why.
///
/// Source: tsidp-server.go of tailscale/tsidp.
pub const REFUSED_FLAGS: [(&str, &str); 6] = [
    ("funnel", "it would publish the issuer on the internet"),
    (
        "local-port",
        "every local process would administer the issuer",
    ),
    ("dir", "the unit fixes the state directory"),
    ("debug-all-requests", "it prints secrets"),
    ("use-local-tailscaled", "the issuer needs a node of its own"),
    (
        "unix-socket",
        "every local process would administer the issuer",
    ),
];

/// Variables that a deployment must not give, and why.
const REFUSED_VARIABLES: [(&str, &str); 9] = [
    ("TS_AUTHKEY", "it is a secret: name it in `auth_key`"),
    ("TS_AUTH_KEY", "it is a secret: name it in `auth_key`"),
    ("TS_CLIENT_SECRET", "it is a secret"),
    ("TS_ID_TOKEN", "it is a secret"),
    (
        "TSNET_FORCE_LOGIN",
        "it logs in at every start, and an expired key would take the issuer down",
    ),
    ("TS_STATE_DIR", "the unit fixes the state directory"),
    (
        "TSIDP_USE_FUNNEL",
        "it would publish the issuer on the internet",
    ),
    (
        "TSIDP_LOCAL_PORT",
        "every local process would administer the issuer",
    ),
    ("TSIDP_DEBUG_ALL_REQUESTS", "it prints secrets"),
];

/// A [`v1::UnitConfiguration`] that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedUnit {
    wire: v1::UnitConfiguration,
    artifact: Sha256,
    auth_key: Option<SecretName>,
}

/// Why a [`v1::UnitConfiguration`] is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUnit {
    /// An identifier is malformed.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A flag that would break what the unit is for.
    #[error("tsidp flag `-{flag}` is refused: {reason}")]
    RefusedFlag {
        /// Without dashes.
        flag: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A variable that would break what the unit is for.
    #[error("variable `{name}` is refused: {reason}")]
    RefusedVariable {
        /// The variable.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// Another field that cannot be meant.
    #[error("unit field `{field}`: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// Why.
        reason: &'static str,
    },
}

impl CheckedUnit {
    /// The configuration as it travels.
    pub const fn as_wire(&self) -> &v1::UnitConfiguration {
        &self.wire
    }

    /// The sum of the program.
    pub const fn artifact(&self) -> &Sha256 {
        &self.artifact
    }

    /// Where the program may be fetched. Empty: it was uploaded.
    pub fn artifact_url(&self) -> &str {
        self.wire
            .artifact
            .as_ref()
            .map_or("", |artifact| artifact.url.as_str())
    }

    /// The one-time key for the first login.
    pub const fn auth_key(&self) -> Option<&SecretName> {
        self.auth_key.as_ref()
    }

    /// The exact issuer.
    pub fn issuer(&self) -> &str {
        &self.wire.issuer
    }
}

impl TryFrom<v1::UnitConfiguration> for CheckedUnit {
    type Error = InvalidUnit;

    fn try_from(wire: v1::UnitConfiguration) -> Result<Self, InvalidUnit> {
        let field = |field, reason| InvalidUnit::Field { field, reason };
        let artifact = wire
            .artifact
            .as_ref()
            .ok_or(field("artifact", "is missing"))?;
        let url = &artifact.url;
        if !(url.is_empty() || url.starts_with("https://") || url.starts_with("http://")) {
            return Err(field("artifact.url", "is neither https:// nor http://"));
        }
        if url.chars().any(|c| c.is_control() || c == ' ') {
            return Err(field(
                "artifact.url",
                "holds a space or a control character",
            ));
        }
        let sum = artifact.sha256.parse()?;
        arguments(&wire.arguments)?;
        for (name, value) in &wire.environment {
            variable(name, value)?;
        }
        check_issuer(&wire.issuer)?;
        let auth_key = match wire.auth_key_secret.as_str() {
            "" => None,
            name => Some(name.parse()?),
        };
        if wire.extra_roots_pem.contains("PRIVATE KEY") {
            return Err(field("extra_roots_pem", "holds a private key"));
        }
        Ok(Self {
            artifact: sum,
            auth_key,
            wire,
        })
    }
}

/// An issuer is compared to the letter, so it has one form only: `https://NAME[:PORT]`.
pub fn check_issuer(issuer: &str) -> Result<(), InvalidUnit> {
    let field = |reason| {
        Err(InvalidUnit::Field {
            field: "issuer",
            reason,
        })
    };
    let Some(rest) = issuer.strip_prefix("https://") else {
        return field("does not begin with https://");
    };
    if rest.is_empty() || rest.ends_with('/') {
        return field("names no host, or ends in `/`");
    }
    if rest.contains(['?', '#', '@', ' ']) || rest.chars().any(char::is_control) {
        return field("holds a query, a fragment, a user or a space");
    }
    Ok(())
}

fn arguments(arguments: &[String]) -> Result<(), InvalidUnit> {
    for argument in arguments {
        if argument.chars().any(char::is_control) {
            return Err(InvalidUnit::Field {
                field: "arguments",
                reason: "one holds a line break or another control character",
            });
        }
        let name = argument
            .trim_start_matches('-')
            .split('=')
            .next()
            .unwrap_or_default();
        let refused = REFUSED_FLAGS
            .iter()
            .find(|(flag, _)| argument.starts_with('-') && *flag == name);
        if let Some(&(flag, reason)) = refused {
            return Err(InvalidUnit::RefusedFlag { flag, reason });
        }
    }
    Ok(())
}

fn variable(name: &str, value: &str) -> Result<(), InvalidUnit> {
    let field = |reason| {
        Err(InvalidUnit::Field {
            field: "environment",
            reason,
        })
    };
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return field("a name is not made of letters, digits and `_`");
    }
    if value.chars().any(char::is_control) {
        return field("a value holds a line break or another control character");
    }
    if name.starts_with("LD_") {
        return Err(InvalidUnit::RefusedVariable {
            name: name.to_owned(),
            reason: "it would load other code into the issuer",
        });
    }
    match REFUSED_VARIABLES
        .iter()
        .find(|(refused, _)| *refused == name)
    {
        Some(&(_, reason)) => Err(InvalidUnit::RefusedVariable {
            name: name.to_owned(),
            reason,
        }),
        None => Ok(()),
    }
}

/// The digest of what a restart would make effective: the program's sum, arguments, environment
/// and issuer. Where the program comes from and the one-time key do not count.
pub fn unit_digest(unit: &CheckedUnit) -> Sha256 {
    use prost::Message as _;
    let mut wire = unit.wire.clone();
    wire.auth_key_secret.clear();
    wire.extra_roots_pem.clear();
    if let Some(artifact) = &mut wire.artifact {
        artifact.url.clear();
    }
    Sha256::of(&wire.encode_to_vec())
}

/// What is done to the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnitAction {
    /// It is as it should be.
    Keep,
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
    if observed.active_state == "active" {
        return change(UnitAction::Keep, Vec::new(), Effect::None);
    }
    change(
        UnitAction::Start,
        vec![format!("it is {}", observed.active_state)],
        Effect::Start,
    )
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
    use super::*;

    fn wire() -> v1::UnitConfiguration {
        v1::UnitConfiguration {
            artifact: Some(v1::Artifact {
                sha256: "a".repeat(64),
                url: "https://example.net/tsidp".to_owned(),
            }),
            arguments: vec!["-hostname".to_owned(), "tsidp".to_owned()],
            issuer: "https://tsidp.tail.test".to_owned(),
            ..v1::UnitConfiguration::default()
        }
    }

    fn changed(
        change: impl FnOnce(&mut v1::UnitConfiguration),
    ) -> Result<CheckedUnit, InvalidUnit> {
        let mut wire = wire();
        change(&mut wire);
        CheckedUnit::try_from(wire)
    }

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
    fn dangerous_flags_are_refused_in_every_spelling() {
        for flag in [
            "-funnel",
            "--funnel",
            "-funnel=true",
            "-local-port=80",
            "-dir",
            "--use-local-tailscaled=1",
        ] {
            let error = changed(|wire| wire.arguments.push(flag.to_owned())).unwrap_err();
            assert!(
                matches!(error, InvalidUnit::RefusedFlag { .. }),
                "{flag}: {error}"
            );
        }
        assert!(changed(|wire| wire.arguments.push("-enable-sts".to_owned())).is_ok());
    }

    #[test]
    fn secrets_and_foreign_code_do_not_come_by_environment() {
        for name in ["TS_AUTHKEY", "TSNET_FORCE_LOGIN", "LD_PRELOAD", "A-B", ""] {
            assert!(
                changed(|wire| drop(wire.environment.insert(name.to_owned(), "x".to_owned())))
                    .is_err(),
                "{name}"
            );
        }
        let several = changed(|wire| {
            drop(
                wire.environment
                    .insert("A".to_owned(), "x\nTS_AUTHKEY=y".to_owned()),
            );
        });
        assert!(several.is_err());
    }

    #[test]
    fn an_issuer_has_one_form() {
        for issuer in [
            "http://a",
            "https://",
            "https://a/",
            "https://u@a",
            "https://a?b",
            "https://a b",
        ] {
            assert!(
                changed(|wire| wire.issuer = issuer.to_owned()).is_err(),
                "{issuer}"
            );
        }
        assert!(changed(|wire| wire.issuer = "https://a.b:8443".to_owned()).is_ok());
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
