//! The same scenarios against this model and against `fakepve`, which nobody here wrote: status, faulty parameters, the
//! kind of task and how it ends must be the same, or the difference is in [`REVIEWED`] with the source that says who is
//! right. `tests/tools/with-fakepve` runs it with `FAKEPVE_URL` and `FAKEPVE_CERTIFICATE`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use omni_scale_proxmox_simulator::{Cluster, Method, Reply, Request, TOKEN, encode};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// One request of a scenario.
struct Step {
    name: &'static str,
    method: Method,
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
}

const fn step(
    name: &'static str,
    method: Method,
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
) -> Step {
    Step {
        name,
        method,
        path,
        fields,
    }
}

use Method::{Delete, Get, Post, Put};

const VM: &str = "/nodes/pve1/qemu/100";
const CREATE: &str = "/nodes/pve1/qemu";

/// One story: each request meets what those before it left.
const STORY: &[Step] = &[
    step("version", Get, "/version", &[]),
    step("no such call", Get, "/cluster/nothing", &[]),
    step("next id", Get, "/cluster/nextid", &[]),
    step(
        "unknown parameter",
        Post,
        CREATE,
        &[("vmid", "100"), ("memori", "1")],
    ),
    step("no vmid", Post, CREATE, &[("name", "a")]),
    step(
        "wrong type",
        Post,
        CREATE,
        &[("vmid", "100"), ("cores", "two")],
    ),
    step("too small", Post, CREATE, &[("vmid", "99")]),
    step(
        "wrong name",
        Post,
        CREATE,
        &[("vmid", "100"), ("name", "under_score")],
    ),
    step(
        "wrong choice",
        Post,
        CREATE,
        &[("vmid", "100"), ("scsihw", "best")],
    ),
    step(
        "wrong drive key",
        Post,
        CREATE,
        &[("vmid", "100"), ("scsi0", "fast:8,colour=red")],
    ),
    step(
        "wrong net model",
        Post,
        CREATE,
        &[("vmid", "100"), ("net0", "fast,bridge=vmbr0")],
    ),
    step(
        "wrong tag",
        Post,
        CREATE,
        &[("vmid", "100"), ("tags", "a b!")],
    ),
    step(
        "raw ssh key",
        Post,
        CREATE,
        &[("vmid", "100"), ("sshkeys", "ssh-ed25519 AAAA")],
    ),
    step(
        "no such storage",
        Post,
        CREATE,
        &[("vmid", "100"), ("scsi0", "none1:8")],
    ),
    step(
        "storage without images",
        Post,
        CREATE,
        &[("vmid", "100"), ("scsi0", "local:8")],
    ),
    step(
        "iso as a disk",
        Post,
        CREATE,
        &[("vmid", "100"), ("ide2", "local:iso/a.iso")],
    ),
    step(
        "create",
        Post,
        CREATE,
        &[
            ("vmid", "100"),
            ("name", "a"),
            ("memory", "1024"),
            ("cores", "2"),
            ("scsihw", "virtio-scsi-pci"),
            ("scsi0", "fast:8,discard=on"),
            ("ide2", "none,media=cdrom"),
            ("net0", "virtio,bridge=vmbr0"),
            ("smbios1", "uuid=0d6ac2bd-6c8f-5b0a-9f3e-000000000001"),
            ("serial0", "socket"),
            ("tags", "omni-scale"),
        ],
    ),
    step("config", Get, "/nodes/pve1/qemu/100/config", &[]),
    step("create again", Post, CREATE, &[("vmid", "100")]),
    step(
        "create elsewhere",
        Post,
        "/nodes/pve2/qemu",
        &[("vmid", "100")],
    ),
    step("taken id", Get, "/cluster/nextid?vmid=100", &[]),
    step("absent vm", Get, "/nodes/pve1/qemu/101/config", &[]),
    step("wrong node", Get, "/nodes/pve2/qemu/100/config", &[]),
    step("nothing to change", Put, "/nodes/pve1/qemu/100/config", &[]),
    step(
        "unknown option deleted",
        Put,
        "/nodes/pve1/qemu/100/config",
        &[("delete", "colour")],
    ),
    step(
        "old digest",
        Put,
        "/nodes/pve1/qemu/100/config",
        &[("name", "b"), ("digest", "0")],
    ),
    step(
        "change",
        Put,
        "/nodes/pve1/qemu/100/config",
        &[("description", "changed")],
    ),
    step(
        "change by a task",
        Post,
        "/nodes/pve1/qemu/100/config",
        &[("onboot", "1")],
    ),
    step(
        "resize",
        Put,
        "/nodes/pve1/qemu/100/resize",
        &[("disk", "scsi0"), ("size", "16G")],
    ),
    step(
        "resize in words",
        Put,
        "/nodes/pve1/qemu/100/resize",
        &[("disk", "scsi0"), ("size", "16GB")],
    ),
    step(
        "shrink",
        Put,
        "/nodes/pve1/qemu/100/resize",
        &[("disk", "scsi0"), ("size", "4G")],
    ),
    step("start", Post, "/nodes/pve1/qemu/100/status/start", &[]),
    step("current", Get, "/nodes/pve1/qemu/100/status/current", &[]),
    step(
        "start again",
        Post,
        "/nodes/pve1/qemu/100/status/start",
        &[],
    ),
    step("delete while running", Delete, VM, &[]),
    step(
        "agent without one",
        Get,
        "/nodes/pve1/qemu/100/agent/network-get-interfaces",
        &[],
    ),
    step(
        "shutdown",
        Post,
        "/nodes/pve1/qemu/100/status/shutdown",
        &[("timeout", "30")],
    ),
    step("stop", Post, "/nodes/pve1/qemu/100/status/stop", &[]),
    step(
        "skip a lock",
        Post,
        "/nodes/pve1/qemu/100/status/stop",
        &[("skiplock", "1")],
    ),
    step(
        "unknown parameter of delete",
        Delete,
        "/nodes/pve1/qemu/100?purg=1",
        &[],
    ),
    step(
        "protect",
        Put,
        "/nodes/pve1/qemu/100/config",
        &[("protection", "1")],
    ),
    step("delete protected", Delete, VM, &[]),
    step(
        "unprotect",
        Put,
        "/nodes/pve1/qemu/100/config",
        &[("delete", "protection")],
    ),
    step(
        "delete",
        Delete,
        "/nodes/pve1/qemu/100?purge=1&destroy-unreferenced-disks=1",
        &[],
    ),
    step("delete again", Delete, VM, &[]),
    step(
        "no content left",
        Get,
        "/nodes/pve1/storage/fast/content",
        &[],
    ),
    step(
        "download without a name",
        Post,
        "/nodes/pve1/storage/local/download-url",
        &[("content", "iso"), ("url", "https://images.example/a.iso")],
    ),
    step(
        "download of a wrong name",
        Post,
        "/nodes/pve1/storage/local/download-url",
        &[
            ("content", "iso"),
            ("filename", "a.txt"),
            ("url", "https://images.example/a.txt"),
        ],
    ),
    step(
        "download to volumes",
        Post,
        "/nodes/pve1/storage/fast/download-url",
        &[
            ("content", "iso"),
            ("filename", "a.iso"),
            ("url", "https://images.example/a.iso"),
        ],
    ),
    step(
        "nonsense task",
        Get,
        "/nodes/pve1/tasks/nonsense/status",
        &[],
    ),
    step(
        "storage of no such name",
        Get,
        "/nodes/pve1/storage?storage=none1",
        &[],
    ),
];

/// Where the two differ and why this model is right. A line that is no longer needed fails the test too.
const REVIEWED: &[(&str, &str)] = &[
    (
        "no such call",
        "501 for what is not implemented: pve-manager HTTPServer.pm `rest_handler`",
    ),
    (
        "nothing to change",
        "`no options specified`: qemu-server API2/Qemu.pm `$update_vm_api`",
    ),
    (
        "unknown option deleted",
        "`unknown option`: qemu-server API2/Qemu.pm `$update_vm_api`",
    ),
    (
        "shrink",
        "`shrinking disks is not supported`, in the task: qemu-server API2/Qemu.pm `resize_vm`",
    ),
    (
        "skip a lock",
        "`Only root may use this option.`, and no token is root: qemu-server API2/Qemu.pm `vm_stop`",
    ),
    (
        "download of a wrong name",
        "`wrong file extension`: pve-storage API2/Storage/Status.pm `download_url`",
    ),
    (
        "nonsense task",
        "400 for a UPID that is none: pve-manager API2/Tasks.pm `read_task_status`",
    ),
];

/// What is compared of an answer.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    /// The parameters that a 400 names.
    faults: Vec<String>,
    /// A task's kind and end.
    task: Option<(String, String)>,
    /// The names of the configuration.
    keys: Vec<String>,
}

fn seen(status: u16, body: &Value, end: Option<String>, step: &Step) -> Seen {
    let names = |value: &Value| -> Vec<String> {
        value
            .as_object()
            .map(|object| object.keys().cloned().collect())
            .unwrap_or_default()
    };
    let kind = body["data"]
        .as_str()
        .and_then(|upid| upid.split(':').nth(5))
        .map(str::to_owned);
    let keys = if step.path.ends_with("/config") && step.method == Get {
        names(&body["data"])
    } else {
        Vec::new()
    };
    Seen {
        status,
        faults: names(&body["errors"]),
        task: kind.zip(end),
        keys,
    }
}

fn request(step: &Step) -> Request {
    let request = Request::new(step.method, step.path).token(TOKEN);
    if step.fields.is_empty() {
        request
    } else {
        request.form(step.fields)
    }
}

fn ours() -> Vec<Seen> {
    let mut cluster = Cluster::with_nodes(1, 3);
    STORY
        .iter()
        .map(|step| {
            let Reply::Answer(answer) = cluster.handle(&request(step)).reply else {
                panic!("{}: cut", step.name)
            };
            assert!(cluster.settle());
            let body = answer.body.clone().unwrap_or_default();
            let task = cluster
                .tasks
                .iter()
                .find(|task| body["data"] == json!(task.upid));
            let end = task.and_then(|task| Some(task.ended.as_ref()?.exit_status.clone()));
            seen(answer.status, &body, end, step)
        })
        .collect()
}

/// The other one, over TLS.
struct Theirs {
    connector: TlsConnector,
    address: String,
}

impl Theirs {
    async fn exchange(&self, request: &Request) -> (u16, Value) {
        let stream = TcpStream::connect(&self.address)
            .await
            .expect("fakepve listens");
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let mut stream = self.connector.connect(name, stream).await.expect("TLS");
        let query = if request.query.is_empty() {
            String::new()
        } else {
            format!("?{}", request.query)
        };
        let mut text = format!(
            "{} /api2/json{}{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n",
            request.method.name(),
            request.path
        );
        for (name, value) in [
            ("Authorization", &request.authorization),
            ("Content-Type", &request.content_type),
        ] {
            if let Some(value) = value {
                text = text + name + ": " + value + "\r\n";
            }
        }
        let length = request.body.len();
        let _ = write!(text, "Content-Length: {length}\r\n\r\n");
        stream
            .write_all(text.as_bytes())
            .await
            .expect("the head is taken");
        stream
            .write_all(&request.body)
            .await
            .expect("the body is taken");
        let mut answer = Vec::new();
        // The end may come without TLS's own farewell.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    async fn play(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        for step in STORY {
            let (status, body) = self.exchange(&request(step)).await;
            let upid = body["data"]
                .as_str()
                .filter(|data| data.starts_with("UPID:"));
            let end = match upid {
                Some(upid) => {
                    let node = upid.split(':').nth(1).unwrap_or_default();
                    let path = format!("/nodes/{node}/tasks/{}/status", encode(upid));
                    let (_, body) = self.exchange(&Request::new(Get, &path).token(TOKEN)).await;
                    body["data"]["exitstatus"].as_str().map(str::to_owned)
                }
                None => None,
            };
            all.push(seen(status, &body, end, step));
        }
        all
    }
}

fn connector(certificate: &str) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certificate).expect("a certificate"))
        .expect("a root");
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_root_certificates(roots)
    .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn the_model_and_fakepve_tell_the_same_story() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the harness says where fakepve is"
    )]
    let found = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name}: run it by with-fakepve"))
    };
    let url = found("FAKEPVE_URL");
    let address = url
        .trim_start_matches("https://")
        .split('/')
        .next()
        .expect("an address")
        .to_owned();
    let theirs = Theirs {
        connector: connector(&found("FAKEPVE_CERTIFICATE")),
        address,
    };
    let theirs = theirs.play().await;
    let reviewed: BTreeMap<&str, &str> = REVIEWED.iter().copied().collect();
    let mut report = String::new();
    for ((step, ours), theirs) in STORY.iter().zip(ours()).zip(theirs) {
        let differs = ours != theirs;
        if differs != reviewed.contains_key(step.name) {
            let what = if differs {
                "differs"
            } else {
                "does not differ any more"
            };
            let _ = writeln!(
                report,
                "`{}` {what}:\n  ours   {ours:?}\n  theirs {theirs:?}",
                step.name
            );
        }
    }
    assert!(report.is_empty(), "{report}");
}
