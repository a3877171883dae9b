//! A node for tests: HTTPS on loopback with a certificate of its own, that records what it is asked and answers, byte
//! for byte, as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{Address, ApiToken, Bounds, Client, Fingerprint, Trust};

pub(crate) const SECRET: &str = "5f2c3a1e-0000-4000-8000-00000000beef";

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(key, _)| key == name);
        header.map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// These bytes, then the end.
    Raw(Vec<u8>),
    /// The end, without an answer.
    Close,
    /// Nothing, for as long as the client waits.
    Hang,
}

impl Reply {
    pub(crate) fn json(status: u16, reason: &str, body: &Value) -> Self {
        Self::text(status, reason, &body.to_string())
    }

    pub(crate) fn text(status: u16, reason: &str, body: &str) -> Self {
        let length = body.len();
        Self::Raw(format!("HTTP/1.1 {status} {reason}\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes())
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better with `json!`")]
    pub(crate) fn data(data: Value) -> Self {
        Self::json(200, "OK", &json!({ "data": data }))
    }
}

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: KeyPair,
}

impl Identity {
    /// Self-signed for `localhost`, after `change`.
    pub(crate) fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        change(&mut parameters);
        let certificate = parameters.self_signed(&key).unwrap();
        Self {
            certificate: certificate.der().clone(),
            key,
        }
    }
}

pub(crate) struct Scripted {
    socket: SocketAddr,
    pub(crate) fingerprint: Fingerprint,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    pub(crate) async fn start(answer: impl FnMut(&Received) -> Reply + Send + 'static) -> Self {
        Self::start_as(&Identity::self_signed(|_| {}), answer).await
    }

    pub(crate) async fn start_as(
        identity: &Identity,
        mut answer: impl FnMut(&Received) -> Reply + Send + 'static,
    ) -> Self {
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
        let configuration = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate.clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(configuration));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let record = received.clone();
        let task = tokio::spawn(async move {
            let mut hanging = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let Some(request) = read(&mut stream).await else {
                    continue;
                };
                let reply = answer(&request);
                record
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(request);
                match reply {
                    Reply::Raw(bytes) => {
                        let _ = stream.write_all(&bytes).await;
                        let _ = stream.shutdown().await;
                    }
                    Reply::Close => drop(stream),
                    Reply::Hang => hanging.push(stream),
                }
            }
        });
        Self {
            socket,
            fingerprint: Fingerprint::of(&identity.certificate),
            received,
            task,
        }
    }

    pub(crate) fn address(&self) -> Address {
        format!("https://127.0.0.1:{}", self.socket.port())
            .parse()
            .unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with(&Trust::Pins(vec![self.fingerprint]), Bounds::default())
    }

    pub(crate) fn client_with(&self, trust: &Trust, bounds: Bounds) -> Client {
        let token: ApiToken = format!("omni@pve!scale={SECRET}").parse().unwrap();
        Client::new(self.address(), token, trust, bounds).unwrap()
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.received()
            .into_iter()
            .map(|request| request.target)
            .collect()
    }
}

/// Short limits, for replies that do not come.
pub(crate) fn hasty() -> Bounds {
    Bounds {
        answer: Duration::from_millis(50),
        largest_answer: 1000,
        ..Bounds::default()
    }
}

async fn read(stream: &mut TlsStream<tokio::net::TcpStream>) -> Option<Received> {
    let mut bytes = Vec::new();
    let end = loop {
        let mut piece = [0; 4096];
        let length = stream
            .read(&mut piece)
            .await
            .ok()
            .filter(|length| *length > 0)?;
        bytes.extend_from_slice(&piece[..length]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut request = Received {
        method: first.next()?,
        target: first.next()?,
        headers,
        body: bytes[end..].to_vec(),
    };
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    while request.body.len() < length {
        let mut piece = [0; 4096];
        let read = stream
            .read(&mut piece)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        request.body.extend_from_slice(&piece[..read]);
    }
    Some(request)
}
