//! Both halves together, against a scripted tailscaled; and what time does to them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt as _;
use omni_scale_proto::role::{OperatorIdentity, Role};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::config::parse;
use crate::identity::IdentityStore;
use crate::server::gate::{Gate, GateLayer};
use crate::server::identity::{Caller, OperatorCaller};
use crate::tailnet::{FakeTailnet, LocalApi, Peer, Tailnet};

const DESCRIBE: &str = "/omni_scale.v1.HostService/Describe";
const WATCH: &str = "/omni_scale.v1.StackService/WatchStack";
const APPLY: &str = "/omni_scale.v1.StackService/ApplyStack";
const ENROLL: &str = "/omni_scale.v1.HostService/Enroll";
const POLICY: &str = "[tailnet]\ncapability = 'example.com/cap/omni-scale'\n";

fn operator(name: &str, role: Role, from: [u8; 4]) -> Caller {
    Caller::Operator(OperatorCaller {
        identity: OperatorIdentity {
            name: name.parse().unwrap(),
            role,
        },
        serial: "0a".to_owned(),
        not_after_milliseconds: i64::MAX,
        authority: None,
        peer: Some(SocketAddr::from((from, 40_000))),
    })
}

fn enrolling(from: [u8; 4]) -> Caller {
    Caller::Enrolling {
        peer: Some(SocketAddr::from((from, 40_000))),
        shown_certificate: Vec::new(),
    }
}

fn gate(tailnet: Arc<dyn Tailnet>, agent_toml: &str) -> (Gate, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let identities = Arc::new(IdentityStore::open(directory.path()).unwrap());
    let policy = parse(agent_toml, Path::new("agent.toml")).unwrap().tailnet;
    (Gate::new(identities, tailnet, policy), directory)
}

async fn refused(gate: &Gate, path: &str, caller: &Caller) -> Status {
    match gate.admit(path, Some(caller)).await {
        Ok(admitted) => panic!("{admitted:?}"),
        Err(status) => status,
    }
}

/// A tailscaled with a grant for each source: `.1` admin, `.2` viewer, `.3` none; `.4` has
/// expired; of `.5` it says nonsense, of `.6` nothing at all, and of others that it knows them not.
struct Scripted {
    api: Arc<LocalApi>,
    server: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Scripted {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("tailscaled.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let answer = Self::answer(&String::from_utf8_lossy(&request[..length]));
                // Who has heard enough hangs up.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self {
            api: Arc::new(LocalApi::new(&socket)),
            server,
            _directory: directory,
        }
    }

    fn answer(request: &str) -> String {
        let source = request
            .split_once("addr=100.64.0.")
            .and_then(|(_, rest)| rest.split_once(':'))
            .map(|(last, _)| last);
        let known = |last: &str, roles: &[&str], expired: bool| {
            let capabilities = if roles.is_empty() {
                json!(null)
            } else {
                json!({"example.com/cap/omni-scale": [{"roles": roles}]})
            };
            let body = json!({
                "Node": {
                    "StableID": format!("n{last}CNTRL"), "Name": format!("desk-{last}.tail.test."),
                    "Expired": expired,
                },
                "UserProfile": {"LoginName": format!("user-{last}@example.net")},
                "CapMap": capabilities,
            })
            .to_string();
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        match source {
            Some(last @ "1") => known(last, &["viewer", "admin"], false),
            Some(last @ "2") => known(last, &["viewer"], false),
            Some(last @ "3") => known(last, &[], false),
            Some(last @ "4") => known(last, &["admin"], true),
            Some("5") => "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>".to_owned(),
            Some("6") => String::new(),
            _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        }
    }
}

#[tokio::test]
async fn grants_are_those_of_the_source() {
    let tailnet = Scripted::new();
    let (gate, _directory) = gate(tailnet.api.clone(), POLICY);
    let from_first = operator("ada", Role::Admin, [100, 64, 0, 1]);
    let admitted = gate.admit(APPLY, Some(&from_first)).await.unwrap();
    assert_eq!(admitted.peer.node_id, "n1CNTRL");
    assert_eq!(admitted.grant.unwrap().role, Role::Admin);

    let from_second = operator("ada", Role::Admin, [100, 64, 0, 2]);
    assert!(gate.admit(DESCRIBE, Some(&from_second)).await.is_ok());
    let status = refused(&gate, APPLY, &from_second).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(
        status.message(),
        "the certificate of `ada` is in order, the tailnet's half is not: device `desk-2` (user-2@example.net, n2CNTRL) has \
         the role viewer by capability `example.com/cap/omni-scale`; this needs operator"
    );
}

#[tokio::test]
async fn a_device_without_the_capability_is_refused_with_the_grant_to_write() {
    let tailnet = Scripted::new();
    let (gate, _directory) = gate(tailnet.api.clone(), POLICY);
    let caller = operator("ada", Role::Admin, [100, 64, 0, 3]);
    let status = refused(&gate, DESCRIBE, &caller).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    for part in [
        "tailnet's half",
        "`desk-3`",
        "\"roles\": [\"operator\"]",
        "policy file",
    ] {
        assert!(status.message().contains(part), "{status}");
    }
}

#[tokio::test]
async fn who_is_no_device_of_the_tailnet_is_refused_whatever_they_show() {
    let tailnet = Scripted::new();
    for policy in ["", POLICY] {
        let (gate, _directory) = gate(tailnet.api.clone(), policy);
        // A host of the LAN, and an address that somebody on another interface made up.
        for address in [[192, 168, 1, 7], [100, 64, 0, 99]] {
            let caller = operator("ada", Role::Admin, address);
            let status = refused(&gate, DESCRIBE, &caller).await;
            assert_eq!(status.code(), Code::PermissionDenied);
            assert!(
                status
                    .message()
                    .contains("no device of this host's tailnet"),
                "{status}"
            );
            let status = refused(&gate, ENROLL, &enrolling(address)).await;
            assert_eq!(status.code(), Code::PermissionDenied);
        }
    }
}

#[tokio::test]
async fn a_device_may_enrol_without_a_grant_and_nothing_else() {
    let tailnet = Scripted::new();
    let (gate, _directory) = gate(tailnet.api.clone(), POLICY);
    let caller = enrolling([100, 64, 0, 3]);
    assert!(gate.admit(ENROLL, Some(&caller)).await.is_ok());
    // The capability without a certificate is of no use.
    let status = refused(&gate, DESCRIBE, &enrolling([100, 64, 0, 1])).await;
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_device_whose_key_has_expired_is_refused() {
    let tailnet = Scripted::new();
    let (gate, _directory) = gate(tailnet.api.clone(), POLICY);
    let caller = operator("ada", Role::Admin, [100, 64, 0, 4]);
    let status = refused(&gate, DESCRIBE, &caller).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("has expired"), "{status}");
}

#[tokio::test]
async fn what_tailscaled_does_not_say_is_never_a_permission() {
    let tailnet = Scripted::new();
    for policy in ["", POLICY] {
        let (gate, _directory) = gate(tailnet.api.clone(), policy);
        for last in [5, 6] {
            let caller = operator("ada", Role::Admin, [100, 64, 0, last]);
            let status = refused(&gate, DESCRIBE, &caller).await;
            assert_eq!(status.code(), Code::Unavailable);
            assert!(
                status.message().contains("cannot tell who is calling"),
                "{status}"
            );
        }
    }
}

#[tokio::test]
async fn a_certificate_from_somebody_elses_device_is_refused() {
    let tailnet = Scripted::new();
    let bind = "[tailnet]\nbind = { ada = ['user-1@example.net'], bob = ['n2CNTRL'] }\n";
    let (gate, _directory) = gate(tailnet.api.clone(), bind);
    for (name, last, admitted) in [
        ("ada", 1, true),
        ("bob", 2, true),
        ("ada", 2, false),
        ("bob", 1, false),
    ] {
        let caller = operator(name, Role::Viewer, [100, 64, 0, last]);
        let answer = gate.admit(DESCRIBE, Some(&caller)).await;
        assert_eq!(answer.is_ok(), admitted, "{name} from .{last}: {answer:?}");
    }
}

#[tokio::test]
async fn the_certificate_is_named_when_it_is_what_limits() {
    let tailnet = Scripted::new();
    let (gate, _directory) = gate(tailnet.api.clone(), POLICY);
    let caller = operator("ada", Role::Viewer, [100, 64, 0, 1]);
    let status = refused(&gate, APPLY, &caller).await;
    assert_eq!(
        status.message(),
        "the certificate of `ada` has the role viewer; this needs operator"
    );
}

/// `desk` with the role admin.
fn granted() -> Peer {
    let values = vec![json!({"roles": ["admin"]})];
    Peer {
        capabilities: [("example.com/cap/omni-scale".to_owned(), values)].into(),
        ..FakeTailnet::desk()
    }
}

fn fake() -> Arc<FakeTailnet> {
    let tailnet = Arc::new(FakeTailnet::running(
        "omni.tail.test",
        [100, 64, 0, 3].into(),
    ));
    tailnet.set_peer(Some(granted()));
    tailnet
}

#[tokio::test(start_paused = true)]
async fn a_capability_that_was_taken_back_is_gone_for_changes_at_once_and_for_reads_soon() {
    let tailnet = fake();
    let (gate, _directory) = gate(tailnet.clone(), POLICY);
    let caller = operator("ada", Role::Admin, [100, 64, 0, 1]);
    gate.admit(APPLY, Some(&caller)).await.unwrap();
    tailnet.set_peer(Some(FakeTailnet::desk()));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(gate.admit(DESCRIBE, Some(&caller)).await.is_ok());
    let status = refused(&gate, APPLY, &caller).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(
        refused(&gate, DESCRIBE, &caller).await.code(),
        Code::PermissionDenied
    );

    let other = operator("ada", Role::Admin, [100, 64, 0, 2]);
    tailnet.set_peer(Some(granted()));
    gate.admit(DESCRIBE, Some(&other)).await.unwrap();
    tailnet.set_peer(Some(FakeTailnet::desk()));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(
        refused(&gate, DESCRIBE, &other).await.code(),
        Code::PermissionDenied
    );
}

/// Opens a stream that would go on for ever. When it ends: after how long, and how.
async fn end_of_stream(gate: Gate, change: impl FnOnce()) -> (Duration, String) {
    let sent = Arc::new(Mutex::new(()));
    let held = sent.clone();
    let endless = service_fn(move |_: http::Request<()>| {
        let held = held.clone();
        async move {
            let frames = futures_util::stream::once(async move {
                let () = std::future::pending().await;
                drop(held);
                Ok::<_, Status>(hyper::body::Frame::data(hyper::body::Bytes::new()))
            });
            let body = Body::new(http_body_util::StreamBody::new(frames));
            Ok::<_, Infallible>(http::Response::new(body))
        }
    });
    let mut request = http::Request::new(());
    *request.uri_mut() = WATCH.parse().unwrap();
    let caller = operator("ada", Role::Viewer, [100, 64, 0, 1]);
    request.extensions_mut().insert(caller);
    let service = GateLayer::new(Arc::new(gate)).layer(endless);
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.headers().get("grpc-status"), None);
    change();
    let began = tokio::time::Instant::now();
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().unwrap();
    // What made the answer is gone with it.
    assert_eq!(Arc::strong_count(&sent), 1);
    (
        began.elapsed(),
        trailers["grpc-status"].to_str().unwrap().to_owned(),
    )
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_ends_within_a_minute_of_losing_the_right() {
    let tailnet = fake();
    let (gate, _directory) = gate(tailnet.clone(), POLICY);
    let taken_back = || tailnet.set_peer(Some(FakeTailnet::desk()));
    let (after, status) = end_of_stream(gate, taken_back).await;
    assert!(after <= Duration::from_secs(60), "{after:?}");
    assert_eq!(status, "7");
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_outlives_a_restart_of_tailscaled_but_not_its_silence() {
    let tailnet = fake();
    let (first, _directory) = gate(tailnet.clone(), POLICY);
    let back = tailnet.clone();
    let silence = || {
        tailnet.forget_peers();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            back.set_peer(Some(granted()));
            tokio::time::sleep(Duration::from_secs(600)).await;
            back.forget_peers();
        });
    };
    let (after, status) = end_of_stream(first, silence).await;
    assert!(after >= Duration::from_secs(620), "{after:?}");
    assert!(after <= Duration::from_secs(680), "{after:?}");
    assert_eq!(status, "14");
}
