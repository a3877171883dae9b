//! One installation: its own loopback address, directories, key and issuer; and a way to start the program in it.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use omni_scale_probe::{BodyExpectation, ProbeReport, ProbeRequest, probe};
use omni_scale_standins::keys::{Flaw, encryption_key};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStderr, Command},
    time::timeout,
};

use crate::issuer::Issuer;

/// Far more than any start or end takes here; it ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    /// Nobody else listens on it, so every port is free.
    pub(crate) address: String,
    pub(crate) issuer: Issuer,
    /// Replace, add and remove: by name, without dashes.
    pub(crate) flags: Vec<(String, String)>,
    pub(crate) environment: Vec<(String, String)>,
}

/// A started program that answers.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    pub(crate) log: Vec<String>,
}

impl World {
    pub(crate) async fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id().to_be_bytes();
        // 127.0.0.x is left to the machine.
        let address = format!(
            "127.{}.{}.{}",
            process[2] | 0x80,
            process[3],
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let mut world = Self {
            directory: tempfile::tempdir().unwrap(),
            issuer: Issuer::serve().await,
            flags: Vec::new(),
            environment: Vec::new(),
            address,
        };
        std::fs::create_dir(world.path("omnictl")).unwrap();
        world.write(
            "omni.asc",
            &encryption_key("Omni <omni@example.com>", Flaw::None).unwrap(),
        );
        world.write("tun", "");
        world.write("status", "CapEff:\t0000000000001000\n");
        world.write("resolv.conf", "nameserver 127.0.0.1\n");
        let at = |port: u16| format!("{}:{port}", world.address);
        let flags = [
            ("sqlite-storage-path", world.text("sqlite/omni.db")),
            ("etcd-embedded-db-path", world.text("etcd")),
            (
                "private-key-source",
                format!("file://{}", world.text("omni.asc")),
            ),
            ("auth-oidc-enabled", "true".to_owned()),
            ("auth-oidc-provider-url", world.issuer.url.clone()),
            ("auth-oidc-client-id", "client".to_owned()),
            ("auth-oidc-client-secret", "s3cret".to_owned()),
            ("advertised-api-url", "https://omni.tail.test".to_owned()),
            ("bind-addr", at(8080)),
            ("k8s-proxy-bind-addr", at(8100)),
            ("machine-api-bind-addr", at(8090)),
            ("metrics-bind-addr", at(2122)),
            ("siderolink-wireguard-bind-addr", at(50180)),
            ("local-resource-server-enabled", "false".to_owned()),
        ];
        let environment = [
            ("OMNI_STANDIN_PACE", "0".to_owned()),
            ("OMNI_STANDIN_TUN", world.text("tun")),
            ("OMNI_STANDIN_STATUS", world.text("status")),
            ("OMNI_STANDIN_ETCD", at(2379)),
            ("OMNI_STANDIN_RESOLV_CONF", world.text("resolv.conf")),
            ("OMNI_STANDIN_HOSTS", world.text("hosts")),
        ];
        world.flags = flags.map(|(name, value)| (name.to_owned(), value)).into();
        world.environment = environment
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        File::create(self.path(name))
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    pub(crate) fn set(&mut self, flag: &str, value: impl Into<String>) {
        self.unset(flag);
        self.flags.push((flag.to_owned(), value.into()));
    }

    pub(crate) fn unset(&mut self, flag: &str) {
        self.flags.retain(|(name, _)| name != flag);
    }

    pub(crate) fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    fn omni(&self) -> Command {
        let mut command = program(Path::new(env!("CARGO_BIN_EXE_omni")), &self.environment);
        command.current_dir(self.directory.path());
        command.args(
            self.flags
                .iter()
                .map(|(name, value)| format!("--{name}={value}")),
        );
        command
    }

    /// Starts Omni and waits until `marker` is logged.
    pub(crate) async fn start_until(&self, marker: &str) -> Running {
        Running::of(self.omni(), marker).await
    }

    /// Starts Omni and waits until all of it is up.
    pub(crate) async fn start(&self) -> Running {
        self.start_until("wireguard is up").await
    }

    /// Starts Omni, which must fail; the text after `failed to run Omni: `.
    pub(crate) async fn fails(&self) -> String {
        let output = finish(self.omni()).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        let (before, text) = error.rsplit_once(" failed to run Omni: ").expect(&error);
        let text = text.trim_end();
        assert!(before.contains(&format!("Error: {text}\n")), "{error}");
        text.to_owned()
    }

    pub(crate) fn url(&self, port: u16, path: &str) -> String {
        format!("http://{}:{port}{path}", self.address)
    }

    /// The status and whether the body is empty, by GET.
    pub(crate) async fn get(&self, port: u16, path: &str) -> ProbeReport {
        probe(&ProbeRequest::status(
            &self.url(port, path),
            200,
            BodyExpectation::Any,
            "",
        ))
        .await
    }

    /// A whole answer, head and body, to any method.
    pub(crate) async fn ask(&self, method: &str, port: u16, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect((self.address.as_str(), port))
            .await
            .unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// What the stand-in says of itself.
    pub(crate) async fn state(&self) -> Value {
        serde_json::from_str(&self.ask("GET", 8080, "/stand-in/state").await.1).unwrap()
    }
}

impl Running {
    pub(crate) async fn of(mut command: Command, marker: &str) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut running = Self {
            child,
            lines,
            log: Vec::new(),
        };
        running.wait_for(marker).await;
        running
    }

    /// Reads the log until it has `marker`.
    pub(crate) async fn wait_for(&mut self, marker: &str) {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line())
                .await
                .expect("the log goes on")
                .unwrap();
            let Some(line) = line else {
                panic!("it ended without {marker:?}:\n{}", self.log.join("\n"))
            };
            let found = line.contains(marker);
            self.log.push(line);
            if found {
                return;
            }
        }
    }

    /// Asks it to stop; its exit code.
    pub(crate) async fn stop(mut self) -> Option<i32> {
        let id = rustix::process::Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap())
            .unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("it stops")
            .unwrap()
            .code()
    }

    /// Kills it where it stands.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it ends by itself; its exit code.
    pub(crate) async fn ends(&mut self) -> Option<i32> {
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("it ends")
            .unwrap()
            .code()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests are about the programs themselves"
)]
pub(crate) fn program(path: &Path, environment: &[(String, String)]) -> Command {
    let mut command = Command::new(path);
    command
        .env_clear()
        .envs(environment.iter().cloned())
        .kill_on_drop(true)
        .stdin(Stdio::null());
    command
}

/// Runs a program that ends by itself.
pub(crate) async fn finish(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    timeout(PATIENCE, command.output())
        .await
        .expect("it ends")
        .unwrap()
}
