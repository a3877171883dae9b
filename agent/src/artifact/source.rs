//! Where an artifact's bytes come from: one GET over HTTP/1.1, wherever redirects lead.
//!
//! Trusts whom the host trusts, uses no proxy and retries nothing. What fails never names more of a URL than its host:
//! a query may carry a signature.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HOST, LOCATION};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::outgoing::{Stream, USER_AGENT, authority, connect, connector, server_name};

/// GitHub's releases answer with one redirect; more than a few mean a loop.
const MOST_REDIRECTS: usize = 5;
/// For each address of a server: the connection and its handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// The longest silence before an answer, and in the middle of one.
const SILENT_FOR: Duration = Duration::from_secs(30);

/// Why no bytes come.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// No server can be made out of the URL.
    #[error("neither http nor https, or without a host")]
    NotAServer,
    /// The name leads nowhere, or nobody is there.
    #[error("cannot connect to `{host}`")]
    Connect {
        /// The server.
        host: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server does not go on.
    #[error("`{host}` was silent for {} s", bound.as_secs())]
    Silent {
        /// The server.
        host: String,
        /// The bound.
        bound: Duration,
    },
    /// The server does not speak HTTP, or broke off.
    #[error("the connection to `{host}` broke")]
    Broken {
        /// The server.
        host: String,
        /// What the connection said.
        #[source]
        source: hyper::Error,
    },
    /// A loop, most likely.
    #[error("too many redirects")]
    TooManyRedirects,
    /// What was asked for under TLS may not come without it.
    #[error("a redirect from https to http")]
    LeavesTls,
}

/// An answer that is no redirect.
#[derive(Debug)]
pub(super) struct Answer {
    response: Response<Incoming>,
    host: String,
    /// Moves the bytes; ends with the answer.
    _connection: JoinSet<()>,
}

impl Answer {
    /// The HTTP status code.
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// How many bytes will come, if the server says so.
    pub(super) fn length(&self) -> Option<u64> {
        self.response.body().size_hint().exact()
    }

    /// The next bytes. `None`: all have come.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        loop {
            let frame = timeout(SILENT_FOR, self.response.body_mut().frame()).await;
            match frame.map_err(|_| silent(&self.host))? {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    // Trailers are of no interest.
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(source)) => {
                    let host = self.host.clone();
                    return Err(SourceError::Broken { host, source });
                }
            }
        }
    }
}

/// Asks for `url`, trusting the certificates in `roots_pem`. A redirect may lead to another server, but not out of TLS.
pub(super) async fn get(mut url: Url, roots_pem: &str) -> Result<Answer, SourceError> {
    let connector = connector(roots_pem);
    for _ in 0..=MOST_REDIRECTS {
        let answer = ask(&url, &connector).await?;
        let Some(next) = redirect(&answer.response, &url) else {
            return Ok(answer);
        };
        if url.scheme() == "https" && next.scheme() != "https" {
            return Err(SourceError::LeavesTls);
        }
        url = next;
    }
    Err(SourceError::TooManyRedirects)
}

/// Where an answer sends us. `None`: it is the answer itself.
fn redirect<Body>(response: &Response<Body>, asked: &Url) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let place = response.headers().get(LOCATION)?.to_str().ok()?;
    asked.join(place).ok()
}

/// One question, on a connection of its own.
async fn ask(url: &Url, connector: &TlsConnector) -> Result<Answer, SourceError> {
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Err(SourceError::NotAServer);
    };
    let tls = match url.scheme() {
        "http" => None,
        "https" => Some((
            connector,
            server_name(&host).ok_or(SourceError::NotAServer)?,
        )),
        _ => return Err(SourceError::NotAServer),
    };
    let connected = connect(&host, port, tls.as_ref(), CONNECT_WITHIN).await;
    let stream = connected.map_err(|source| SourceError::Connect {
        host: host.to_string(),
        source,
    })?;
    exchange(stream, url, host.to_string()).await
}

async fn exchange(stream: Box<dyn Stream>, url: &Url, host: String) -> Result<Answer, SourceError> {
    let broken = |source| SourceError::Broken {
        host: host.clone(),
        source,
    };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let request = Request::get(path)
        .header(HOST, authority(url, &host))
        .header(header::USER_AGENT, USER_AGENT)
        .body(Empty::<Bytes>::new())
        .map_err(|_| SourceError::NotAServer)?;
    let (mut sender, moving) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let mut connection = JoinSet::new();
    connection.spawn(async move {
        // What became of the exchange is the answer's to say.
        let _ = moving.await;
    });
    let response = timeout(SILENT_FOR, sender.send_request(request))
        .await
        .map_err(|_| silent(&host))?
        .map_err(broken)?;
    Ok(Answer {
        response,
        host,
        _connection: connection,
    })
}

fn silent(host: &str) -> SourceError {
    SourceError::Silent {
        host: host.to_owned(),
        bound: SILENT_FOR,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// A server for one question under TLS: its URL, and the certificate that it shows, as PEM.
    async fn secure_server(answer: &'static str) -> (Url, String) {
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
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            // Who does not trust the certificate hangs up.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        let url = Url::parse(&format!("https://localhost:{port}/program")).unwrap();
        (url, cert.pem())
    }

    #[tokio::test]
    async fn bytes_come_under_tls_from_a_server_that_the_host_trusts() {
        let (url, certificate) =
            secure_server("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbyte").await;
        let mut answer = get(url, &certificate).await.unwrap();
        assert_eq!((answer.status(), answer.length()), (200, Some(4)));
        assert_eq!(answer.chunk().await.unwrap().unwrap(), "byte");
        assert!(answer.chunk().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn nothing_comes_from_a_server_that_the_host_does_not_trust() {
        let (url, _) = secure_server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let error = get(url, "").await.unwrap_err();
        assert!(matches!(error, SourceError::Connect { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_redirect_does_not_leave_tls() {
        let (url, certificate) = secure_server(
            "HTTP/1.1 302 Found\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
        let error = get(url, &certificate).await.unwrap_err();
        assert!(matches!(error, SourceError::LeavesTls), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_left_at_the_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let error = get(Url::parse(&url).unwrap(), "").await.unwrap_err();
        assert!(matches!(error, SourceError::Silent { .. }), "{error}");
    }

    #[tokio::test]
    async fn other_schemes_are_not_asked() {
        for url in ["file:///etc/passwd", "ftp://localhost/x", "data:x"] {
            let error = get(Url::parse(url).unwrap(), "").await.unwrap_err();
            assert!(matches!(error, SourceError::NotAServer), "{url}: {error}");
        }
    }
}
