//! A small HTTPS server: it answers as a tsidp does, or as nobody should.

use std::sync::{Arc, Mutex};

use omni_scale_proto::client::CheckedClient;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::client::apply::tests::{checked, wire};
use crate::client::fake::{FakeTsidp, Kind};
use crate::client::issuer::TsidpEndpoints;
use crate::client::issuer::https::Https;
use crate::client::issuer::transport::{ContentType, Method, Question, Transport as _};
use crate::host_roots::HostRoots;
use omni_scale_proto::v1;

/// How it answers.
#[derive(Debug, Clone)]
pub(super) enum Answers {
    /// As this tsidp does.
    Tsidp(FakeTsidp),
    /// With these bytes, and then it hangs up.
    Bytes(Vec<u8>),
    /// With these bytes, and then it says nothing more.
    BytesAndSilence(Vec<u8>),
    /// It does not even shake hands.
    NoHandshake,
}

/// A server that runs.
pub(super) struct Server {
    port: u16,
    certificate: String,
    answers: watch::Sender<Answers>,
    requests: Arc<Mutex<Vec<String>>>,
    /// How many questions, or connections without a handshake, have come to their end.
    heard: watch::Receiver<usize>,
}

impl Server {
    pub(super) async fn start(answers: Answers) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![cert.der().clone()],
                signing_key.serialize_der().try_into().unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answers, how) = watch::channel(answers);
        let (count, heard) = watch::channel(0);
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = requests.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, answers) = (acceptor.clone(), how.borrow().clone());
                let (seen, count) = (seen.clone(), count.clone());
                tokio::spawn(async move {
                    if matches!(answers, Answers::NoHandshake) {
                        count.send_modify(|heard| *heard += 1);
                        std::future::pending::<()>().await;
                    }
                    // Who does not trust the certificate hangs up.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, answers, port, &seen, &count).await;
                    }
                });
            }
        });
        Self {
            port,
            certificate: cert.pem(),
            answers,
            requests,
            heard,
        }
    }

    /// A tsidp of this kind behind it.
    pub(super) async fn tsidp(kind: Kind) -> (Self, FakeTsidp) {
        let server = Self::start(Answers::NoHandshake).await;
        let tsidp = FakeTsidp::new(&server.issuer(), kind);
        server.answer(Answers::Tsidp(tsidp.clone()));
        (server, tsidp)
    }

    pub(super) fn answer(&self, answers: Answers) {
        self.answers.send_replace(answers);
    }

    pub(super) fn issuer(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// A client of this server, which it trusts.
    pub(super) fn client(&self) -> CheckedClient {
        checked(v1::Client {
            issuer: self.issuer(),
            extra_roots_pem: self.certificate.clone(),
            ..wire()
        })
    }

    /// The questions, as they came.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// While the clock is paused, keeps it from going on by itself until the server has heard
    /// something: what is under way on a real socket is no timer.
    pub(super) fn hold_the_clock(&self) {
        let mut heard = self.heard.clone();
        let before = *heard.borrow();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || wait.recv());
        tokio::spawn(async move {
            let _ = heard.wait_for(|heard| *heard > before).await;
            drop(release);
        });
    }
}

/// The adapter, on a host that trusts nobody by itself.
pub(super) fn endpoints() -> TsidpEndpoints<Https> {
    TsidpEndpoints::over_https(HostRoots::in_file("/nonexistent".into()))
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: Answers,
    port: u16,
    seen: &Mutex<Vec<String>>,
    count: &watch::Sender<usize>,
) {
    let (head, content) = read(&mut stream).await;
    let request = format!("{head}{}", String::from_utf8_lossy(&content));
    seen.lock().unwrap().push(request);
    let (bytes, silence) = match answers {
        Answers::Tsidp(tsidp) => (ask(&tsidp, &head, content, port).await, false),
        Answers::Bytes(bytes) => (bytes, false),
        Answers::BytesAndSilence(bytes) => (bytes, true),
        Answers::NoHandshake => (Vec::new(), true),
    };
    let _ = stream.write_all(&bytes).await;
    let _ = stream.flush().await;
    count.send_modify(|heard| *heard += 1);
    if silence {
        std::future::pending::<()>().await;
    }
    let _ = stream.shutdown().await;
}

/// The head of a request with its empty line, and its content.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(count > 0, "the request has an end");
        bytes.extend_from_slice(&chunk[..count]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length: usize = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(count > 0, "the request has an end");
        bytes.extend_from_slice(&chunk[..count]);
    }
    (head, bytes[end..end + length].to_vec())
}

pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

async fn ask(tsidp: &FakeTsidp, head: &str, content: Vec<u8>, port: u16) -> Vec<u8> {
    let mut line = head.split(' ');
    let method = match line.next() {
        Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        Some("DELETE") => Method::Delete,
        other => panic!("nobody asks with {other:?}"),
    };
    let content_type = match header(head, "content-type") {
        Some("application/json") => Some(ContentType::Json),
        Some("application/x-www-form-urlencoded") => Some(ContentType::Form),
        _ => None,
    };
    let question = Question {
        method,
        url: format!("https://localhost:{port}{}", line.next().unwrap()),
        content: content_type.map(|kind| (kind, Zeroizing::new(content))),
        extra_roots_pem: String::new(),
    };
    let reply = tsidp.ask(question).await.unwrap();
    response(reply.status, &reply.content.unwrap())
}

/// A whole answer.
pub(super) fn response(status: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status} Words\r\nContent-Length: {}\r\n\r\n",
        content.len()
    )
    .into_bytes();
    bytes.extend_from_slice(content);
    bytes
}
