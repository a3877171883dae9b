//! The tsidp unit's configuration as files that systemd reads: arguments, environment and the
//! one-time key.
//!
//! Pure but for [`ConfigurationFiles`]. The same configuration gives the same bytes, so that a
//! difference on the disk is a difference in meaning.

mod files;
mod quoting;

use omni_scale_proto::unit::CheckedUnit;
use zeroize::Zeroizing;

pub use self::files::ConfigurationFiles;
pub use self::quoting::Unquotable;
use self::quoting::{argument_line, assignment};
use crate::secrets::SecretValue;

/// The variable that the unit's `ExecStart=` splits into arguments.
const ARGUMENTS_VARIABLE: &str = "TSIDP_ARGS";

/// Variables that this program sets itself.
const OWN_VARIABLES: [&str; 2] = [ARGUMENTS_VARIABLE, "TAILSCALE_USE_WIP_CODE"];

/// Why a configuration cannot be given to systemd.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfiguration {
    /// A value that an environment file cannot hold.
    #[error("variable `{name}` cannot be given to systemd")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong with its value.
        #[source]
        source: Unquotable,
    },
    /// A variable that is not the deployment's to set.
    #[error("variable `{name}` is set by omni-scale itself")]
    OwnVariable {
        /// The variable.
        name: String,
    },
    /// An argument that cannot be passed.
    #[error("argument {position} of tsidp cannot be given to systemd")]
    Argument {
        /// From 1.
        position: usize,
        /// What is wrong with it.
        #[source]
        source: Unquotable,
    },
    /// A key that is not one line of text.
    #[error("the one-time key is not one line of printable text")]
    AuthKey,
}

/// The environment file: what every start of tsidp is given.
pub fn render(unit: &CheckedUnit) -> Result<String, InvalidConfiguration> {
    let mut text = String::from("# Written by omni-scale-agent, which overwrites changes.\n");
    // Older tsidp does not start without it; newer ones do not look at it.
    text.push_str("TAILSCALE_USE_WIP_CODE=1\n");
    let environment: std::collections::BTreeMap<_, _> = unit.as_wire().environment.iter().collect();
    for (name, value) in environment {
        if OWN_VARIABLES.contains(&name.as_str()) {
            return Err(InvalidConfiguration::OwnVariable { name: name.clone() });
        }
        text.push_str(&variable(name, value)?);
    }
    let arguments = argument_line(&unit.as_wire().arguments).map_err(|(index, source)| {
        InvalidConfiguration::Argument {
            position: index + 1,
            source,
        }
    })?;
    text.push_str(&variable(ARGUMENTS_VARIABLE, &arguments)?);
    Ok(text)
}

/// The file with the one-time key, for starts before the node is known to the tailnet.
pub fn render_auth_key(key: &SecretValue) -> Result<Zeroizing<String>, InvalidConfiguration> {
    let key = std::str::from_utf8(key.expose().trim_ascii()).unwrap_or_default();
    if key.is_empty() {
        return Err(InvalidConfiguration::AuthKey);
    }
    let line = assignment("TS_AUTHKEY", key).map_err(|_| InvalidConfiguration::AuthKey)?;
    Ok(Zeroizing::new(line))
}

fn variable(name: &str, value: &str) -> Result<String, InvalidConfiguration> {
    assignment(name, value).map_err(|source| InvalidConfiguration::Variable {
        name: name.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use omni_scale_proto::v1;

    fn unit(arguments: &[&str], environment: &[(&str, &str)]) -> CheckedUnit {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        CheckedUnit::try_from(v1::UnitConfiguration {
            artifact: Some(v1::Artifact {
                sha256: "a".repeat(64),
                url: String::new(),
            }),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            environment: environment.iter().map(owned).collect(),
            issuer: "https://tsidp.tail.test".to_owned(),
            ..v1::UnitConfiguration::default()
        })
        .unwrap()
    }

    #[test]
    fn the_file_is_the_same_for_the_same_configuration() {
        let unit = unit(
            &["-hostname", "tsidp", "-port", "443"],
            &[
                ("TS_NO_LOGS_NO_SUPPORT", "true"),
                ("TS_CONTROL_URL", "http://10.77.0.2:9911"),
            ],
        );
        let expected = "\
            # Written by omni-scale-agent, which overwrites changes.\n\
            TAILSCALE_USE_WIP_CODE=1\n\
            TS_CONTROL_URL=\"http://10.77.0.2:9911\"\n\
            TS_NO_LOGS_NO_SUPPORT=\"true\"\n\
            TSIDP_ARGS=\"-hostname tsidp -port 443\"\n";
        assert_eq!(render(&unit).unwrap(), expected);
    }

    #[test]
    fn our_own_variables_are_ours() {
        let error = render(&unit(&[], &[("TSIDP_ARGS", "-funnel")])).unwrap_err();
        assert!(error.to_string().contains("`TSIDP_ARGS`"), "{error}");
    }

    #[test]
    fn a_key_is_one_line() {
        let render = |text: &str| render_auth_key(&SecretValue::new(text.as_bytes().to_vec()));
        assert_eq!(
            *render("tskey-auth-x-$y\n").unwrap(),
            "TS_AUTHKEY=\"tskey-auth-x-\\$y\"\n"
        );
        for bad in ["", "\n", "a\nTSNET_FORCE_LOGIN=1", "a\0b"] {
            assert!(render(bad).is_err(), "{bad:?}");
        }
    }
}
