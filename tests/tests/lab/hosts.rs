//! Commands on the lab's hosts.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write as _;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use super::running::Running;

static TURN: Mutex<()> = Mutex::new(());
/// The test after which the lab could not be rolled out again. Those that follow would wait for
/// the bound of every gate, to say the same.
static BROKEN_BY: OnceLock<String> = OnceLock::new();
/// Why the test that has the lab fails.
static WHY: Mutex<String> = Mutex::new(String::new());
/// How much of it is said at once, in lines: what was wrong, and the end of what a command said.
const FIRST_OF_WHY: usize = 4;
const LAST_OF_WHY: usize = 16;

/// The lab, for one test at a time. A test that fails leaves a lab that is rolled out again, as far
/// as that goes.
pub(crate) struct Lab {
    shell: PathBuf,
    began: Instant,
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
    /// Waits for its turn. A test that failed before does not matter, unless it has left a lab
    /// that cannot be rolled out any more.
    pub(crate) fn take() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(test) = BROKEN_BY.get() {
            panic!("not run: `{test}` has left the lab broken");
        }
        note_why();
        Self {
            shell: Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/shell"),
            began: now(),
            _turn: turn,
        }
    }

    /// Runs a command on a host: on `op` as the operator beside deployment.yaml, elsewhere as
    /// root; `USER@HOST`: as somebody else.
    pub(crate) fn on(&self, host: &str, command: &[&str]) -> Ran {
        self.with_input(host, command, "")
    }

    /// The same with a script for bash.
    pub(crate) fn script(&self, host: &str, script: &str) -> Ran {
        self.on(host, &["bash", "-uc", script])
    }

    /// Writes a file on a host.
    pub(crate) fn write(&self, host: &str, path: &str, content: &str) {
        self.with_input(host, &["tee", "--", path], content)
            .must(&format!("write {path} on {host}"));
    }

    /// Starts a command whose lines are read while it runs.
    pub(crate) fn start(&self, host: &str, command: &[&str]) -> Running {
        Running::start(&self.shell, host, command)
    }

    /// Restarts the container that is the host: its init ends and begins anew. Returns when
    /// systemd says that it has booted.
    pub(crate) fn reboot(&self, host: &str) {
        let container = format!("omni-scale-lab-{host}");
        run(program("docker").args(["restart", &container]), "").must("restart the host");
        // As wanted when it prints `degraded`, too: that is for the test to judge.
        self.script(
            host,
            "timeout 120 systemctl is-system-running --wait || test $? -eq 1",
        )
        .must("wait for the host to boot");
    }

    /// A network cable between two hosts, which no switch of the lab looks into.
    #[expect(clippy::unused_self, reason = "only who has the lab may lay it")]
    pub(crate) fn cable(&self, one: &str, other: &str, name: &str) {
        let process = |host: &str| {
            let container = format!("omni-scale-lab-{host}");
            let inspect = ["inspect", "--format", "{{.State.Pid}}", &container];
            run(program("docker").args(inspect), "").must("find the host's init")
        };
        let (one, other) = (process(one), process(other));
        let ends = ["type", "veth", "peer", "name", name, "netns", other.trim()];
        let add = ["link", "add", name, "netns", one.trim()];
        run(program("ip").args(add).args(ends), "").must("lay a cable");
    }

    fn with_input(&self, host: &str, command: &[&str], input: &str) -> Ran {
        run(program(&self.shell).arg(host).args(command), input)
    }

    /// What the hosts say of themselves before anything is put right.
    fn show(&self) {
        for (host, script) in [
            (
                "idp",
                "systemctl --no-pager --lines 20 status tsidp omni-scale-agent",
            ),
            (
                "omni",
                "df -h /var/lib/docker; free -m; uptime; docker ps -a; \
                 docker ps -aq --filter label=com.docker.compose.project=omni | while read -r id; do \
                   docker inspect -f '{{.Name}} {{.HostConfig.NetworkMode}} {{json .State}}' $id; \
                   docker logs --tail 12 $id; done; \
                 journalctl --no-pager -n 60 -u omni-scale-agent -u docker",
            ),
        ] {
            let ran = self.script(host, script);
            say(&format!("{host} says: {ran}"));
        }
    }

    /// What cannot hurt: everything that a test may have stopped is started, and the deployment
    /// rolled out.
    fn restore(&self, test: &str) {
        for (host, script) in [
            ("idp", "systemctl start dbus omni-scale-agent"),
            (
                "omni",
                "systemctl reset-failed docker; systemctl start dbus docker omni-scale-agent",
            ),
            ("op", "omni-scale abort; omni-scale apply --yes"),
        ] {
            let ran = self.script(host, script);
            say(&format!("restoring {host}: {ran}"));
            if host == "op" && ran.code != 0 {
                let _ = BROKEN_BY.set(test.to_owned());
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let seconds = self.began.elapsed().as_secs_f32();
        let thread = thread::current();
        let test = thread.name().unwrap_or("a test");
        say(&format!("{test}: {seconds:.1} s"));
        if thread::panicking() {
            self.show();
            self.restore(test);
            // The test runner tells of it only when all tests have ended.
            let why = WHY.lock().unwrap_or_else(PoisonError::into_inner);
            let lines: Vec<&str> = why.lines().collect();
            let (begin, rest) = lines.split_at(lines.len().min(FIRST_OF_WHY));
            let last = &rest[rest.len().saturating_sub(LAST_OF_WHY)..];
            let said = [begin, last].concat().join("\n");
            say(&format!("{test} fails: {said}"));
        }
    }
}

/// Keeps why a test fails, beside what is done with that anyway.
fn note_why() {
    static ONCE: Once = Once::new();
    WHY.lock().unwrap_or_else(PoisonError::into_inner).clear();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |information| {
            let mut why = WHY.lock().unwrap_or_else(PoisonError::into_inner);
            // What fails afterwards, while all is put back, is not why.
            if why.is_empty() {
                *why = information.to_string();
            }
            drop(why);
            before(information);
        }));
    });
}

impl Ran {
    /// The standard output of a command that has to succeed.
    pub(crate) fn must(self, what: &str) -> String {
        assert_eq!(self.code, 0, "cannot {what}: {self}");
        self.data
    }

    /// Demands an exit code and texts that are said.
    pub(crate) fn ends(&self, code: i32, texts: &[&str]) {
        let missing: Vec<&&str> = texts
            .iter()
            .filter(|text| !self.output.contains(**text))
            .collect();
        assert!(
            self.code == code && missing.is_empty(),
            "wanted exit code {code} and {missing:?}, got {self}"
        );
    }

    /// Demands that a plan or an apply has found nothing to do.
    pub(crate) fn finds_nothing_to_do(&self) {
        // One wave of many may have nothing to do; the last line speaks of all.
        let nothing = self.data.lines().last() == Some("nothing to do");
        assert!(
            self.code == 0 && nothing,
            "there was something to do: {self}"
        );
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "exit code {}\n{}", self.code, self.output)
    }
}

/// A program of this machine.
pub(crate) fn program(path: impl AsRef<OsStr>) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test of programs runs programs"
    )]
    Command::new(path)
}

fn run(command: &mut Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the lab's programs can be run");
    let mut pipe = child.stdin.take().expect("it was asked for");
    // A program that does not read its input says what is wrong by itself.
    let _ = pipe.write_all(input.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().expect("it was started");
    let data = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = data.clone() + &String::from_utf8_lossy(&output.stderr);
    Ran {
        code: output.status.code().unwrap_or(-1),
        data,
        output: text,
    }
}

/// A line that is seen although the test does not fail.
pub(crate) fn say(line: &str) {
    // Nobody to tell it to is no reason to fail.
    let _ = writeln!(std::io::stderr(), "lab: {line}");
}

/// The time, for bounds and for what is told of them.
pub(crate) fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "real hosts take real time; nothing here can be paused"
    )]
    Instant::now()
}
