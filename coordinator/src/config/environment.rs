//! The environment variables that matter, read once.

use std::ffi::OsString;
use std::path::PathBuf;

/// The surroundings of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Where configuration lives: `$XDG_CONFIG_HOME`, or `~/.config`. None: neither is known.
    pub config_home: Option<PathBuf>,
    /// Where state lives: `$XDG_STATE_HOME`, or `~/.local/state`. None: neither is known.
    pub state_home: Option<PathBuf>,
    /// The login name: `$USER`. None: it is not known.
    pub user: Option<String>,
    /// `NO_COLOR` is set and not empty (<https://no-color.org>).
    pub no_color: bool,
    /// `TERM` is `dumb` or not set: the terminal cannot move its cursor.
    pub dumb_terminal: bool,
    /// The name of this machine, for people: who holds a lease.
    pub machine: String,
}

impl Environment {
    /// Reads the environment of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the environment is read"
    )]
    pub fn of_this_process() -> Self {
        let machine = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        Self::from_lookup(&|name| std::env::var_os(name), machine)
    }

    /// Reads from a lookup, so that tests need no process of their own.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<OsString>, machine: String) -> Self {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        // The XDG specification: relative paths in these variables are invalid and ignored.
        let absolute = |name: &str| {
            set(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let home = absolute("HOME");
        let below_home = |rest: &str| home.as_ref().map(|home| home.join(rest));
        Self {
            config_home: absolute("XDG_CONFIG_HOME").or_else(|| below_home(".config")),
            state_home: absolute("XDG_STATE_HOME").or_else(|| below_home(".local/state")),
            user: set("USER").and_then(|user| user.into_string().ok()),
            no_color: set("NO_COLOR").is_some(),
            dumb_terminal: set("TERM").is_none_or(|term| term == "dumb"),
            machine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::from_lookup(
            &|name| {
                variables
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| OsString::from(value))
            },
            "desk".to_owned(),
        )
    }

    #[test]
    fn xdg_directories_come_before_home() {
        let read = environment(&[("HOME", "/home/ada"), ("XDG_STATE_HOME", "/state")]);
        assert_eq!(read.config_home, Some("/home/ada/.config".into()));
        assert_eq!(read.state_home, Some("/state".into()));
    }

    #[test]
    fn relative_and_empty_values_count_as_unset() {
        let read = environment(&[
            ("HOME", ""),
            ("XDG_CONFIG_HOME", "relative"),
            ("NO_COLOR", ""),
            ("TERM", "xterm"),
        ]);
        assert_eq!(read.config_home, None);
        assert!(!read.no_color && !read.dumb_terminal);
        assert!(environment(&[]).dumb_terminal);
    }
}
