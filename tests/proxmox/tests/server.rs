//! The model on a stream: reason phrases that get through, connections that end, state and power that outlive it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use omni_scale_proxmox_simulator::{
    Cluster, Facts, Fault, Identity, Machines, Method, Reply, Request, Rule, Simulator, TOKEN,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Sends one request as text and reads until the other end closes.
async fn exchange(simulator: &Arc<Simulator>, text: &str) -> String {
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let served = tokio::spawn(Arc::clone(simulator).serve_connection(far));
    near.write_all(text.as_bytes())
        .await
        .expect("the request is taken");
    let mut answer = String::new();
    near.read_to_string(&mut answer)
        .await
        .expect("the stream ends");
    served.await.expect("no panic");
    answer
}

fn get(path: &str, more: &str) -> String {
    format!(
        "GET /api2/json{path} HTTP/1.1\r\nHost: pve\r\nAuthorization: PVEAPIToken={TOKEN}\r\n{more}\r\n"
    )
}

/// facts §1.1, §1.2: the message is the reason phrase, and from 400 on the connection ends.
#[tokio::test(start_paused = true)]
async fn a_message_is_the_reason_phrase_and_ends_the_connection() {
    let simulator = Arc::new(Simulator::new(Cluster::with_nodes(1, 1), 1));
    let answer = exchange(&simulator, &get("/nodes/pve1/qemu/100/config", "")).await;
    let expected =
        "HTTP/1.1 500 Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist\r\n";
    assert!(answer.starts_with(expected), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

/// facts §1.1: statuses that no standard knows.
#[tokio::test(start_paused = true)]
async fn a_status_beyond_the_standard_gets_through() {
    let mut cluster = Cluster::with_nodes(1, 1);
    cluster
        .faults
        .add(Rule::next(Method::Get, "/version", Fault::NoRoute));
    let simulator = Arc::new(Simulator::new(cluster, 1));
    let answer = exchange(&simulator, &get("/version", "")).await;
    assert!(
        answer.starts_with("HTTP/1.1 595 No route to host\r\n"),
        "{answer}"
    );
}

/// pve-http-server `AnyEvent.pm` :1643: three seconds, no body.
#[tokio::test(start_paused = true)]
async fn a_401_is_late_and_empty() {
    let simulator = Arc::new(Simulator::new(Cluster::with_nodes(1, 1), 1));
    let began = tokio::time::Instant::now();
    let answer = exchange(
        &simulator,
        "GET /api2/json/version HTTP/1.1\r\nHost: pve\r\n\r\n",
    )
    .await;
    assert!(began.elapsed() >= Duration::from_secs(3));
    assert!(
        answer.starts_with("HTTP/1.1 401 No ticket\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cut_connection_ends_without_an_answer() {
    let mut cluster = Cluster::with_nodes(1, 1);
    cluster
        .faults
        .add(Rule::next(Method::Get, "/version", Fault::Reset));
    let simulator = Arc::new(Simulator::new(cluster, 1));
    assert_eq!(exchange(&simulator, &get("/version", "")).await, "");
    assert!(
        exchange(&simulator, &get("/version", "Connection: close\r\n"))
            .await
            .contains("200 OK")
    );
}

/// pve-http-server `AnyEvent.pm`: bodies come with their length.
#[tokio::test(start_paused = true)]
async fn a_chunked_body_is_not_taken() {
    let simulator = Arc::new(Simulator::new(Cluster::with_nodes(1, 1), 1));
    let head = "Transfer-Encoding: chunked\r\n";
    let answer = exchange(&simulator, &(get("/version", head) + "0\r\n\r\n")).await;
    assert!(
        answer.starts_with("HTTP/1.1 501 chunked transfer encoding not supported"),
        "{answer}"
    );
}

/// Time runs with tokio's: who waits lets tasks end.
#[tokio::test(start_paused = true)]
async fn tasks_go_on_while_the_client_waits() {
    let simulator = Simulator::new(Cluster::with_nodes(1, 1), 1);
    let create = Request::new(Method::Post, "/nodes/pve1/qemu")
        .form(&[("vmid", "100")])
        .token(TOKEN);
    let outcome = simulator.call(&create).await.unwrap();
    assert!(matches!(outcome.reply, Reply::Answer(answer) if answer.status == 200));
    assert_eq!(simulator.cluster().vms[&100].lock(), Some("create"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(simulator.cluster().vms[&100].lock(), None);
}

/// Remembers what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

#[async_trait]
impl Machines for Told {
    async fn started(&self, vm: &Facts) {
        self.0
            .lock()
            .expect("no panic")
            .push(format!("started {}", vm.vmid));
    }

    async fn stopped(&self, vm: &Facts) {
        self.0
            .lock()
            .expect("no panic")
            .push(format!("stopped {}", vm.vmid));
    }
}

/// A simulator that was killed goes on, and tells of every VM again.
#[tokio::test(start_paused = true)]
async fn a_killed_simulator_comes_back_with_its_state() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("cluster.json");
    let told = Arc::new(Told::default());
    {
        let simulator = Arc::new(
            Simulator::new(Cluster::with_nodes(1, 1), 1)
                .with_state(state.clone())
                .with_machines(told.clone()),
        );
        let running = tokio::spawn({
            let simulator = Arc::clone(&simulator);
            async move { simulator.run().await }
        });
        // It tells of what is there before the first VM is.
        tokio::task::yield_now().await;
        for (path, fields) in [
            ("/nodes/pve1/qemu", &[("vmid", "100")][..]),
            ("/nodes/pve1/qemu/100/status/start", &[]),
        ] {
            simulator
                .call(&Request::new(Method::Post, path).form(fields).token(TOKEN))
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        running.abort();
    }
    assert_eq!(*told.0.lock().unwrap(), ["started 100"]);
    let cluster: Cluster = serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
    assert!(cluster.vms[&100].is_running());
    let again = Arc::new(Told::default());
    let simulator = Simulator::new(cluster, 1).with_machines(again.clone());
    let _ = tokio::time::timeout(Duration::from_secs(1), simulator.run()).await;
    assert_eq!(*again.0.lock().unwrap(), ["started 100"]);
}

/// Every exchange is kept, without the token.
#[tokio::test(start_paused = true)]
async fn the_record_holds_exchanges_and_no_token() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("traffic.jsonl");
    let simulator = Simulator::new(Cluster::with_nodes(1, 1), 1)
        .with_record(&path)
        .unwrap();
    let create = Request::new(Method::Post, "/nodes/pve1/qemu")
        .form(&[("vmid", "100"), ("cipassword", "s3cret")]);
    simulator.call(&create.token(TOKEN)).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(
        (&line["method"], &line["path"], &line["status"]),
        (&"POST".into(), &"/nodes/pve1/qemu".into(), &200.into())
    );
    assert_eq!(line["params"]["vmid"], "100");
    assert!(
        !text.contains("s3cret") && !text.contains("11111111"),
        "{text}"
    );
}

/// On a socket it is TLS, with the certificate that the identity says.
#[tokio::test]
async fn the_listener_shows_the_certificate_of_its_identity() {
    let identity = Identity::generate(&["127.0.0.1".to_owned()]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let simulator = Arc::new(Simulator::new(Cluster::with_nodes(1, 1), 1));
    let certificate = identity.certificate();
    let server = tokio::spawn(async move { simulator.serve(listener, &identity).await });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.into()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream
        .write_all(get("/version", "Connection: close\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    // The end may come without TLS's own farewell.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(String::from_utf8_lossy(&answer).contains("\"release\":\"9.2\""));
    server.abort();
}
