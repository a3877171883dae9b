//! A command that runs on a host while the test goes on, and whose lines are waited for.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::hosts::{now, program};

/// Ended by force when it is dropped.
pub(crate) struct Running {
    what: String,
    shell: PathBuf,
    host: String,
    /// On the host.
    process: String,
    child: Child,
    lines: Receiver<String>,
    /// For who reads of a failure.
    seen: Vec<String>,
}

impl Running {
    /// Starts it; both of its output streams are read as one.
    pub(crate) fn start(shell: &Path, host: &str, command: &[&str]) -> Self {
        let mut child = program(shell)
            .arg(host)
            .args(["bash", "-c", "echo $$; exec \"$@\" 2>&1", "bash"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the lab's programs can be run");
        let output = child.stdout.take().expect("it was asked for");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut running = Self {
            what: format!("`{}` on {host}", command.join(" ")),
            shell: shell.to_owned(),
            host: host.to_owned(),
            process: String::new(),
            child,
            lines,
            seen: Vec::new(),
        };
        running.process = running.until("its process id", 10, |line| Some(line.to_owned()));
        running
    }

    /// Waits for the first line from here on that is what `wanted` looks for.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        seconds: u64,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let end = now() + Duration::from_secs(seconds);
        loop {
            let rest = end.saturating_duration_since(now());
            let why = match self.lines.recv_timeout(rest) {
                Ok(line) => {
                    self.seen.push(line);
                    match self.seen.last().and_then(|line| wanted(line)) {
                        Some(found) => return found,
                        None => continue,
                    }
                }
                Err(RecvTimeoutError::Timeout) => format!("in {seconds} s"),
                Err(RecvTimeoutError::Disconnected) => "before it ended".to_owned(),
            };
            panic!(
                "{} did not say {what} {why}; it said:\n{}",
                self.what,
                self.seen.join("\n")
            );
        }
    }

    /// Waits for its end; returns its exit code and all that it has said.
    pub(crate) fn end(&mut self, seconds: u64) -> (i32, String) {
        let end = now() + Duration::from_secs(seconds);
        loop {
            let rest = end.saturating_duration_since(now());
            match self.lines.recv_timeout(rest) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!(
                    "{} did not end in {seconds} s; it said:\n{}",
                    self.what,
                    self.seen.join("\n")
                ),
            }
        }
        let status = self.child.wait().expect("it was started");
        (status.code().unwrap_or(-1), self.seen.join("\n"))
    }

    /// Sends a signal to it.
    pub(crate) fn signal(&self, signal: &str) {
        let host = self.host.rsplit('@').next().unwrap_or(&self.host);
        let _ = program(&self.shell)
            .arg(format!("root@{host}"))
            .args(["kill", "-s", signal, &self.process])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.signal("KILL");
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
