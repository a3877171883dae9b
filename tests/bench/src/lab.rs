//! Commands on the lab's hosts.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// No command of a measurement takes longer.
const BOUND: Duration = Duration::from_secs(300);

/// The lab that `tests/lab/up` has brought up.
#[derive(Debug)]
pub(crate) struct Lab {
    shell: PathBuf,
}

impl Default for Lab {
    fn default() -> Self {
        Self {
            shell: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/shell")),
        }
    }
}

impl Lab {
    /// The standard output of a command that has to succeed; on `op` it runs as the operator beside deployment.yaml.
    pub(crate) async fn on(&self, host: &str, command: &[&str]) -> anyhow::Result<String> {
        self.given(host, command, &[]).await
    }

    /// The same for a script of the shell.
    pub(crate) async fn script(&self, host: &str, script: &str) -> anyhow::Result<String> {
        self.on(host, &["bash", "-euo", "pipefail", "-c", script])
            .await
    }

    /// The same for a command that reads `input`.
    pub(crate) async fn given(
        &self,
        host: &str,
        command: &[&str],
        input: &[u8],
    ) -> anyhow::Result<String> {
        let what = || format!("`{}` on {host}", command.join(" "));
        let mut child = self
            .command(host, command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(what)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input).await.with_context(what)?;
        }
        let output = timeout(BOUND, child.wait_with_output())
            .await
            .with_context(what)?
            .with_context(what)?;
        ensure!(
            output.status.success(),
            "{}: {}: {}{}",
            what(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a command whose output is of no interest. It ends by itself: what runs on a host outlives the child here.
    pub(crate) fn start(&self, host: &str, command: &[&str]) -> anyhow::Result<Child> {
        self.command(host, command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("`{}` on {host}", command.join(" ")))
    }

    fn command(&self, host: &str, command: &[&str]) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "a measurement of programs runs programs"
        )]
        let mut child = Command::new(&self.shell);
        child.arg(host).args(command).kill_on_drop(true);
        child
    }
}

/// A script that prints how many seconds `command` takes, measured where it runs. Its output goes to standard error.
pub(crate) fn timed(command: &str) -> String {
    format!(
        "begun=$(date +%s%N); {{ {command}; }} >&2; ended=$(date +%s%N); \
         printf '%07d\\n' $(( (ended - begun) / 1000 )) | sed 's/......$/.&/'"
    )
}

/// The number that a script printed last: the seconds of [`timed`], for one.
pub(crate) fn number(output: &str) -> anyhow::Result<f64> {
    let last = output.trim().lines().next_back().unwrap_or_default();
    last.parse()
        .with_context(|| format!("`{last}` is no number"))
}
