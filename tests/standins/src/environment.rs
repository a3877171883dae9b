//! The environment, read once: the only place that does.
//!
//! Names that begin with `OMNI_STANDIN_` are the stand-ins' own; they make tests quick and choose among what the real
//! programs do by chance.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

/// The version that is stood in for unless told otherwise.
pub const DEFAULT_VERSION: &str = "v1.10.4";

/// What the stand-ins take from the environment.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `OMNI_STANDIN_VERSION`: `v1.9.x` or `v1.10.x`.
    pub version: String,
    /// `OMNI_STANDIN_PACE`: what every delay is multiplied by; 1 is the real programs' own time, 0 is none.
    pub pace: f64,
    /// `OMNI_STANDIN_SEED`: bit n-1 says whether start n (from 1) of a key with several user ids is lucky; default none is.
    pub seed: u64,
    /// `OMNI_STANDIN_TUN`: the TUN device, `/dev/net/tun`.
    pub tun: PathBuf,
    /// `OMNI_STANDIN_STATUS`: where the effective capabilities are read, `/proc/self/status`.
    pub status: PathBuf,
    /// `OMNI_STANDIN_ETCD`: where the embedded etcd would listen, `127.0.0.1:2379`.
    pub etcd: String,
    /// `OMNI_STANDIN_RESOLV_CONF`: the namespace's `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// `OMNI_STANDIN_HOSTS`: the namespace's `/etc/hosts`.
    pub hosts: PathBuf,
    /// `SSL_CERT_FILE`, as Go reads it.
    pub certificate_file: Option<PathBuf>,
    /// `SSL_CERT_DIR`, as Go reads it: directories with colons between them.
    pub certificate_directories: Option<OsString>,
    /// `OMNI_ENDPOINT`, for the provider.
    pub omni_endpoint: Option<String>,
    /// `OMNI_SERVICE_ACCOUNT_KEY`, for the provider: a secret.
    pub service_account_key: Option<String>,
}

impl Environment {
    /// Reads the process's own.
    pub fn of_process() -> Self {
        Self::of(&std::env::vars_os().collect())
    }

    fn of(variables: &BTreeMap<OsString, OsString>) -> Self {
        let raw = |name: &str| {
            variables
                .get(&OsString::from(name))
                .filter(|value| !value.is_empty())
        };
        let text = |name: &str| raw(name).map(|value| value.to_string_lossy().into_owned());
        let path =
            |name: &str, default: &str| raw(name).map_or_else(|| default.into(), PathBuf::from);
        Self {
            version: text("OMNI_STANDIN_VERSION").unwrap_or_else(|| DEFAULT_VERSION.to_owned()),
            pace: text("OMNI_STANDIN_PACE")
                .and_then(|value| value.parse().ok())
                .filter(|pace: &f64| (0.0..=10.0).contains(pace))
                .unwrap_or(1.0),
            seed: text("OMNI_STANDIN_SEED")
                .and_then(|value| value.parse().ok())
                .unwrap_or(0),
            tun: path("OMNI_STANDIN_TUN", "/dev/net/tun"),
            status: path("OMNI_STANDIN_STATUS", "/proc/self/status"),
            etcd: text("OMNI_STANDIN_ETCD").unwrap_or_else(|| "127.0.0.1:2379".to_owned()),
            resolv_conf: path("OMNI_STANDIN_RESOLV_CONF", "/etc/resolv.conf"),
            hosts: path("OMNI_STANDIN_HOSTS", "/etc/hosts"),
            certificate_file: raw("SSL_CERT_FILE").map(PathBuf::from),
            certificate_directories: raw("SSL_CERT_DIR").cloned(),
            omni_endpoint: text("OMNI_ENDPOINT").map(|value| unquoted(&value)),
            service_account_key: text("OMNI_SERVICE_ACCOUNT_KEY").map(|value| unquoted(&value)),
        }
    }

    /// The minor version: 9 or 10.
    pub fn minor(&self) -> u16 {
        if self.version.starts_with("v1.9.") {
            9
        } else {
            10
        }
    }
}

/// The provider strips blanks and one pair of quotes, since env files are often quoted.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = |quote: char| {
        value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
    };
    inner('"')
        .or_else(|| inner('\''))
        .unwrap_or(value)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Environment {
        Environment::of(
            &pairs
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    #[test]
    fn nothing_set_is_the_real_programs_world() {
        let environment = of(&[]);
        assert_eq!(environment.minor(), 10);
        assert!((environment.pace - 1.0).abs() < f64::EPSILON);
        assert_eq!(environment.tun, PathBuf::from("/dev/net/tun"));
    }

    #[test]
    fn quotes_around_a_key_are_stripped() {
        assert_eq!(
            of(&[("OMNI_ENDPOINT", " \"https://x\" ")])
                .omni_endpoint
                .as_deref(),
            Some("https://x")
        );
    }
}
