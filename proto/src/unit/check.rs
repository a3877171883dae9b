//! What a configuration of the unit may hold. Pure: what a host allows is the agent's policy.

use super::CheckedUnit;
use crate::id::InvalidId;
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

#[cfg(test)]
mod tests {
    use super::super::examples::changed;
    use super::*;

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
}
