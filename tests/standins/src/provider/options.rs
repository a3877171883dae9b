//! The command line, environment and configuration file of the provider.

use crate::{
    environment::Environment,
    failure::{Failure, go_error},
};

/// Every flag that takes a value; the one that does not is `--insecure-skip-verify`.
const FLAGS: [&str; 6] = [
    "config-file",
    "id",
    "omni-api-endpoint",
    "omni-service-account-key",
    "provider-description",
    "provider-name",
];

/// What the provider is told.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) endpoint: String,
    pub(super) key: Option<String>,
    pub(super) id: String,
    config_file: Option<String>,
}

impl Options {
    pub(super) fn parse(arguments: &[String], environment: &Environment) -> Result<Self, Failure> {
        let fail = |text: String| Failure::new(100, text);
        let mut options = Self {
            endpoint: environment.omni_endpoint.clone().unwrap_or_default(),
            key: environment.service_account_key.clone(),
            id: "proxmox".to_owned(),
            config_file: None,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(long) = argument.strip_prefix("--") else {
                match argument
                    .strip_prefix('-')
                    .and_then(|short| short.chars().next())
                {
                    Some(short) => {
                        return Err(fail(format!(
                            "unknown shorthand flag: {short:?} in {argument}"
                        )));
                    }
                    None => {
                        return Err(fail(format!(
                            "unknown command {argument:?} for \"provider\""
                        )));
                    }
                }
            };
            let (name, attached) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            if name == "insecure-skip-verify" {
                continue;
            }
            if !FLAGS.contains(&name) {
                return Err(fail(format!("unknown flag: --{name}")));
            }
            let value = attached
                .or_else(|| rest.next().cloned())
                .ok_or_else(|| fail(format!("flag needs an argument: --{name}")))?;
            match name {
                "omni-api-endpoint" => options.endpoint = value,
                "omni-service-account-key" => options.key = Some(value),
                "id" => options.id = value,
                "config-file" => options.config_file = Some(value),
                _ => {}
            }
        }
        if options.endpoint.is_empty() {
            return Err(fail("omni-api-endpoint flag is not set".to_owned()));
        }
        options.check_file()?;
        Ok(options)
    }

    /// The file must be YAML. What it says is not looked at: the real one accepts unknown keys, and no keys at all.
    fn check_file(&self) -> Result<(), Failure> {
        let Some(path) = self.config_file.as_deref().filter(|path| !path.is_empty()) else {
            return Ok(());
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(
                100,
                format!(
                    "failed to read Proxmox config file {path:?}: open {path}: {}",
                    go_error(&error)
                ),
            )
        })?;
        // The cause is hidden by the real one too.
        let refused = |reason: &str| {
            Failure::new(
                100,
                format!("failed to decode Proxmox config file {path:?}: {reason}"),
            )
        };
        if text.trim().is_empty() {
            return Err(refused("EOF"));
        }
        let document: serde_json::Value =
            serde_saphyr::from_str(&text).map_err(|_| refused("yaml: cannot decode"))?;
        match document {
            serde_json::Value::Object(_) | serde_json::Value::Null => Ok(()),
            _ => Err(refused("yaml: unmarshal errors")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        let mut environment = Environment::of_process();
        environment.omni_endpoint = None;
        environment.service_account_key = Some("from-environment".to_owned());
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        Options::parse(&arguments, &environment).map_err(|failure| failure.text)
    }

    fn with_file(text: &str) -> Result<Options, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        parse(&[
            "--omni-api-endpoint=https://o",
            "--config-file",
            file.path().to_str().unwrap(),
        ])
    }

    #[test]
    fn flags_go_before_the_environment() {
        let options = parse(&[
            "--omni-api-endpoint",
            "https://o",
            "--id=Proxmox",
            "--insecure-skip-verify",
        ])
        .unwrap();
        assert_eq!(
            (options.endpoint.as_str(), options.id.as_str()),
            ("https://o", "Proxmox")
        );
        assert_eq!(options.key.as_deref(), Some("from-environment"));
        let options = parse(&["--omni-api-endpoint=x", "--omni-service-account-key=k"]).unwrap();
        assert_eq!(
            (options.key.as_deref(), options.id.as_str()),
            (Some("k"), "proxmox")
        );
    }

    #[test]
    fn flags_are_strict_and_the_endpoint_is_needed() {
        assert_eq!(parse(&[]).unwrap_err(), "omni-api-endpoint flag is not set");
        assert_eq!(
            parse(&["--omni-endpoint=x"]).unwrap_err(),
            "unknown flag: --omni-endpoint"
        );
    }

    #[test]
    fn unknown_keys_in_the_file_are_silently_accepted() {
        with_file("proxmox:\n  url: https://p:8006/api2/json\n  nonsense: 1\n").unwrap();
        with_file("{}").unwrap();
        assert!(with_file("").unwrap_err().ends_with(": EOF"));
        assert!(
            with_file("- a")
                .unwrap_err()
                .starts_with("failed to decode Proxmox config file")
        );
        let text = parse(&["--omni-api-endpoint=x", "--config-file=/no/such"]).unwrap_err();
        assert!(
            text.starts_with("failed to read Proxmox config file \"/no/such\": "),
            "{text}"
        );
    }
}
