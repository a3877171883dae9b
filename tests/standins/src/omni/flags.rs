//! The command line, read as pflag does.

use super::{
    schema::{self, Key, Kind},
    store::{Store, Value, is_duration},
};
use crate::failure::Failure;

/// When the real program was seen to give up on its flags, in milliseconds.
const AT: u64 = 500;

/// What the command line says.
#[derive(Debug, Default)]
pub(super) struct Flags {
    pub(super) config_paths: Vec<String>,
    pub(super) store: Store,
    pub(super) wants_help: bool,
    pub(super) wants_version: bool,
}

pub(super) fn parse(arguments: &[String], minor: u16) -> Result<Flags, Failure> {
    let mut flags = Flags::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            break;
        }
        let Some(long) = argument.strip_prefix("--") else {
            match argument
                .strip_prefix('-')
                .and_then(|short| short.chars().next())
            {
                Some('h') => flags.wants_help = true,
                Some('v') => flags.wants_version = true,
                Some(short) => {
                    return Err(Failure::new(
                        AT,
                        format!("unknown shorthand flag: {short:?} in {argument}"),
                    ));
                }
                // A command without subcommands takes and ignores what is no flag.
                None => {}
            }
            continue;
        };
        let (name, attached) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let mut value = |is_switch: bool| match (attached.clone(), is_switch) {
            (Some(value), _) => Ok(value),
            (None, true) => Ok("true".to_owned()),
            (None, false) => rest
                .next()
                .cloned()
                .ok_or_else(|| Failure::new(AT, format!("flag needs an argument: --{name}"))),
        };
        match name {
            "help" => flags.wants_help = true,
            "version" => flags.wants_version = true,
            "debug" | "print-config-and-exit" => {
                value(true)?;
            }
            "config-path" => flags.config_paths.push(value(false)?),
            _ => {
                let key = schema::by_flag(name, minor)
                    .ok_or_else(|| Failure::new(AT, format!("unknown flag: --{name}")))?;
                let value = value(key.kind == Kind::Boolean)?;
                set(&mut flags.store, key, name, value)?;
            }
        }
    }
    Ok(flags)
}

fn set(store: &mut Store, key: &'static Key, name: &str, text: String) -> Result<(), Failure> {
    let invalid = |reason: String| {
        Err(Failure::new(
            AT,
            format!("invalid argument {text:?} for \"--{name}\" flag: {reason}"),
        ))
    };
    let value = match key.kind {
        Kind::Boolean => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Value::Boolean(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Value::Boolean(false),
            _ => {
                return invalid(format!(
                    "strconv.ParseBool: parsing {text:?}: invalid syntax"
                ));
            }
        },
        Kind::Integer => match text.parse() {
            Ok(value) => Value::Integer(value),
            Err(_) => {
                return invalid(format!(
                    "strconv.ParseInt: parsing {text:?}: invalid syntax"
                ));
            }
        },
        Kind::Number => match text.parse() {
            Ok(value) => Value::Number(value),
            Err(_) => {
                return invalid(format!(
                    "strconv.ParseFloat: parsing {text:?}: invalid syntax"
                ));
            }
        },
        Kind::Duration if !is_duration(&text) => {
            return invalid(format!("time: invalid duration {text:?}"));
        }
        Kind::List => {
            store.extend(
                key,
                text.split(',')
                    .filter(|item| !item.is_empty())
                    .map(str::to_owned)
                    .collect(),
            );
            return Ok(());
        }
        Kind::Map => Value::Map(
            text.split(',')
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        ),
        Kind::Text | Kind::Filled | Kind::Choice(_) | Kind::Https | Kind::Duration => {
            Value::Text(text)
        }
    };
    store.set(key, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Flags, String> {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        parse(&arguments, 10).map_err(|failure| failure.text)
    }

    #[test]
    fn both_spellings_and_switches_are_read() {
        let flags = read(&[
            "--cert=/c",
            "--key",
            "/k",
            "--auth-oidc-enabled",
            "--initial-users",
            "a@x,b@x",
            "--initial-users=c@x",
            "--config-path",
            "/a",
            "--config-path=/b",
            "--event-sink-port=8091",
            "--siderolink-api-cert",
            "/m",
        ])
        .unwrap();
        assert_eq!(flags.store.text("services.api.certFile"), Some("/c"));
        assert_eq!(flags.store.text("services.api.keyFile"), Some("/k"));
        assert_eq!(flags.store.text("services.machineAPI.certFile"), Some("/m"));
        assert_eq!(flags.store.boolean("auth.oidc.enabled"), Some(true));
        assert_eq!(flags.store.list("auth.initialUsers"), ["a@x", "b@x", "c@x"]);
        assert_eq!(
            flags.store.integer("services.siderolink.eventSinkPort"),
            Some(8091)
        );
        assert_eq!(flags.config_paths, ["/a", "/b"]);
    }

    #[test]
    fn faults_have_pflags_words() {
        assert_eq!(read(&["--x"]).unwrap_err(), "unknown flag: --x");
        assert_eq!(
            read(&["--frontend-bind=x"]).unwrap_err(),
            "unknown flag: --frontend-bind"
        );
        assert_eq!(
            read(&["--audit-log-dir=x"]).unwrap_err(),
            "unknown flag: --audit-log-dir"
        );
        assert_eq!(
            read(&["-x"]).unwrap_err(),
            "unknown shorthand flag: 'x' in -x"
        );
        assert_eq!(
            read(&["--cert"]).unwrap_err(),
            "flag needs an argument: --cert"
        );
        assert_eq!(
            read(&["--event-sink-port=x"]).unwrap_err(),
            "invalid argument \"x\" for \"--event-sink-port\" flag: strconv.ParseInt: parsing \"x\": invalid syntax"
        );
        assert!(read(&["--etcd-embedded=maybe"]).is_err());
        assert!(read(&["--initial-service-account-lifetime=1d"]).is_err());
    }
}
