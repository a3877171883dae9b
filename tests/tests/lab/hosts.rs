//! Commands on the lab's hosts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

static TURN: Mutex<()> = Mutex::new(());

/// The lab, for one test at a time.
pub(crate) struct Lab {
    shell: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code; -1: ended by a signal.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) data: String,
    /// Standard output, then standard error.
    pub(crate) output: String,
}

impl Lab {
    /// Waits for its turn. A test that failed before does not matter: `must` shows what is wrong.
    pub(crate) fn take() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            shell: Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/shell"),
            _turn: turn,
        }
    }

    /// Runs a command on a host, on `op` as the operator beside deployment.yaml.
    pub(crate) fn on(&self, host: &str, command: &[&str]) -> Ran {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test of programs runs programs"
        )]
        let output = Command::new(&self.shell)
            .arg(host)
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("tests/lab/shell can be run");
        let data = String::from_utf8_lossy(&output.stdout).into_owned();
        let text = data.clone() + &String::from_utf8_lossy(&output.stderr);
        Ran {
            code: output.status.code().unwrap_or(-1),
            data,
            output: text,
        }
    }
}

impl Ran {
    /// The standard output of a command that has to succeed.
    pub(crate) fn must(self, what: &str) -> String {
        assert_eq!(self.code, 0, "cannot {what}: {self}");
        self.data
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "exit code {}\n{}", self.code, self.output)
    }
}
