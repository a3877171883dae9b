//! The adapter: HTTPS from this machine, over its own tailnet node.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, LOCATION};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, rustls};
use url::Url;

use super::{Issuers, LoginCode, LoginError, LoginRequest};
use crate::agents::grpc::TailnetNetwork;

/// A relayed connection and a first certificate take seconds.
const BOUND: Duration = Duration::from_secs(30);
/// An error page.
const LARGEST: usize = 16 << 10;
/// As much of an answer as is shown.
const SHOWN: usize = 200;

type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Issuers by their names on the tailnet.
#[derive(Debug, Clone)]
pub struct HttpsIssuers {
    network: TailnetNetwork,
}

impl HttpsIssuers {
    /// Finds issuers by this machine's tailscaled, or its resolver.
    pub const fn new(network: TailnetNetwork) -> Self {
        Self { network }
    }

    async fn ask(&self, url: &Url, extra_roots_pem: &str) -> Result<Answer, Trouble> {
        let host = url
            .host_str()
            .ok_or("its address names no host")?
            .to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let connector = connector(extra_roots_pem.to_owned()).await?;
        let name = ServerName::try_from(host.clone())?;
        let stream = connect(self.addresses(&host).await?, port).await?;
        let stream = connector.connect(name, stream).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(&url[url::Position::BeforePath..])
            .header(
                HOST,
                &url[url::Position::BeforeHost..url::Position::AfterPort],
            )
            .body(Empty::<Bytes>::new())?;
        let answer = async { Answer::read(sender.send_request(request).await?).await };
        tokio::select! {
            biased;
            answer = answer => answer,
            Err(error) = connection => Err(error.into()),
        }
    }

    async fn addresses(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        match host.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => self.network.addresses(host).await,
        }
    }
}

#[async_trait]
impl Issuers for HttpsIssuers {
    async fn code(&self, request: &LoginRequest) -> Result<LoginCode, LoginError> {
        let unreachable = |source: Trouble| LoginError::Unreachable {
            issuer: request.issuer.clone(),
            source,
        };
        let url = authorize(request).map_err(|error| unreachable(error.into()))?;
        let asked = timeout(BOUND, self.ask(&url, &request.extra_roots_pem)).await;
        let late = || format!("no answer within {} s", BOUND.as_secs()).into();
        let answer = asked.unwrap_or_else(|_| Err(late())).map_err(unreachable)?;
        judge(request, &answer)
    }
}

/// Where a browser would go.
fn authorize(request: &LoginRequest) -> Result<Url, url::ParseError> {
    let mut url = Url::parse(&format!("{}/authorize", request.issuer))?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &request.client_id)
        .append_pair("redirect_uri", &request.redirect_uri)
        // What Omni asks for.
        .append_pair("scope", "openid email profile")
        .append_pair("nonce", &request.nonce);
    Ok(url)
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Answer {
    async fn read(response: Response<Incoming>) -> Result<Self, Trouble> {
        let location = response.headers().get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let (status, location) = (response.status().as_u16(), location.map(str::to_owned));
        let body = Limited::new(response.into_body(), LARGEST)
            .collect()
            .await?;
        Ok(Self {
            status,
            location,
            body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        })
    }
}

fn judge(request: &LoginRequest, answer: &Answer) -> Result<LoginCode, LoginError> {
    let issuer = request.issuer.clone();
    let Some(location) = answer.location.as_ref().filter(|_| answer.status == 302) else {
        let words = format!("{} {}", answer.status, one_line(&answer.body));
        // The words of both tsidps for a client or an address that they do not know.
        let unknown = ["invalid client ID", "redirect_uri mismatch"];
        return Err(if unknown.iter().any(|known| answer.body.contains(known)) {
            LoginError::Client {
                issuer,
                answer: words,
            }
        } else {
            LoginError::Refused {
                issuer,
                answer: words,
            }
        });
    };
    let refused = |answer: String| LoginError::Refused {
        issuer: request.issuer.clone(),
        answer,
    };
    let url = Url::parse(location).map_err(|_| refused("it redirects to no address".to_owned()))?;
    let back = url.as_str().split('?').next() == Some(request.redirect_uri.as_str());
    if !back {
        let host = url.host_str().unwrap_or_default();
        return Err(refused(format!("it redirects elsewhere: to `{host}`")));
    }
    let value = |name: &str| {
        let mut pairs = url.query_pairs();
        let found = pairs.find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    };
    if let Some(error) = value("error") {
        let description = value("error_description").unwrap_or_default();
        return Err(refused(one_line(&format!("{error}: {description}"))));
    }
    match value("code") {
        Some(code) if !code.is_empty() => Ok(LoginCode(code)),
        _ => Err(refused("it redirects back without a code".to_owned())),
    }
}

/// The first line, without what a terminal would obey.
fn one_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let shown = line.chars().filter(|character| !character.is_control());
    shown.take(SHOWN).collect()
}

async fn connect(addresses: Vec<IpAddr>, port: u16) -> std::io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, port))
        .collect();
    TcpStream::connect(addresses.as_slice()).await
}

/// TLS that trusts whom this machine trusts, and these.
async fn connector(extra_roots_pem: String) -> Result<TlsConnector, Trouble> {
    let roots = spawn_blocking(move || {
        let mut roots = RootCertStore::empty();
        // What of the system's cannot be read trusts nobody.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let extra = CertificateDer::pem_slice_iter(extra_roots_pem.as_bytes()).flatten();
        roots.add_parsable_certificates(extra);
        roots
    })
    .await?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(tls)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    fn request(issuer: &str, roots: &str) -> LoginRequest {
        LoginRequest {
            issuer: issuer.to_owned(),
            client_id: "c1".to_owned(),
            redirect_uri: "https://omni.tail.test/oidc/consume".to_owned(),
            nonce: "n1".to_owned(),
            extra_roots_pem: roots.to_owned(),
        }
    }

    /// Asks an issuer on this machine that answers with these bytes; also what it was asked.
    async fn ask(answer: &'static str) -> (Result<LoginCode, LoginError>, String) {
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key.unwrap())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("https://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(server));
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        let issuers = HttpsIssuers::new(TailnetNetwork::at("/nonexistent"));
        let code = issuers.code(&request(&issuer, &signed.cert.pem())).await;
        (code, serving.await.unwrap())
    }

    #[tokio::test]
    async fn the_issuer_is_asked_as_a_browser_would() {
        let (code, asked) = ask(
            "HTTP/1.1 302 Found\r\nLocation: https://omni.tail.test/oidc/consume?code=abc\r\n\
             Content-Length: 0\r\n\r\n",
        )
        .await;
        assert_eq!(code.unwrap(), LoginCode("abc".to_owned()));
        let expected = "GET /authorize?response_type=code&client_id=c1&redirect_uri=\
            https%3A%2F%2Fomni.tail.test%2Foidc%2Fconsume&scope=openid+email+profile&nonce=n1 \
            HTTP/1.1\r\n";
        assert!(asked.starts_with(expected), "{asked}");
        assert!(asked.contains("host: 127.0.0.1:"), "{asked}");
    }

    #[tokio::test]
    async fn what_is_no_code_is_told_apart() {
        let (unknown, _) =
            ask("HTTP/1.1 400 Bad Request\r\nContent-Length: 25\r\n\r\ntsidp: invalid client ID\n")
                .await;
        let unknown = unknown.unwrap_err();
        assert!(matches!(unknown, LoginError::Client { .. }), "{unknown}");
        let (error, _) = ask(
            "HTTP/1.1 302 Found\r\nLocation: https://omni.tail.test/oidc/consume?\
             error=invalid_scope&error_description=no%1b%5b31m\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
        let error = error.unwrap_err();
        assert!(matches!(error, LoginError::Refused { .. }));
        assert!(
            error.to_string().ends_with("invalid_scope: no[31m"),
            "{error}"
        );
        for answer in [
            "HTTP/1.1 302 Found\r\nLocation: https://evil.test/?code=abc\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: https://omni.tail.test/oidc/consume\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: ::\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        ] {
            let (code, _) = ask(answer).await;
            assert!(
                matches!(code, Err(LoginError::Refused { .. })),
                "{answer}: {code:?}"
            );
        }
        let (cut, _) = ask("HTTP/1.1 302 Found\r\nLocat").await;
        assert!(
            matches!(cut, Err(LoginError::Unreachable { .. })),
            "{cut:?}"
        );
    }

    #[tokio::test]
    async fn an_issuer_that_nobody_vouches_for_is_not_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        let issuers = HttpsIssuers::new(TailnetNetwork::at("/nonexistent"));
        let code = issuers.code(&request(&issuer, "")).await;
        assert!(
            matches!(code, Err(LoginError::Unreachable { .. })),
            "{code:?}"
        );
        assert_eq!(format!("{:?}", LoginCode("abc".to_owned())), "LoginCode(…)");
    }
}
