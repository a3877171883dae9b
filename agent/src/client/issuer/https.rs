//! The adapter of [`Transport`]: HTTP/1.1 under TLS from this host, on a connection of its own for
//! each question.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, ACCEPT, CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use url::Url;
use zeroize::Zeroizing;

use super::transport::{
    ANSWERED_WITHIN, ContentType, LARGEST_ANSWER, Method, Question, Reply, Transport,
    TransportError,
};
use crate::error::chain;
use crate::host_roots::HostRoots;
use crate::outgoing::{Stream, USER_AGENT, authority, connect, connector, server_name};

/// For each address of an issuer: one that leads nowhere leaves time for the next.
const CONNECTED_WITHIN: Duration = Duration::from_secs(4);

/// Asks over HTTPS, trusting whom the host trusts and the question's roots.
#[derive(Debug, Clone)]
pub struct Https {
    roots: HostRoots,
}

impl Https {
    /// Trusts whom the host trusts.
    pub fn new(roots: HostRoots) -> Self {
        Self { roots }
    }

    async fn connect(&self, url: &Url, extra_pem: String) -> io::Result<Box<dyn Stream>> {
        let no_server = || io::Error::new(io::ErrorKind::InvalidInput, "its address is none");
        let (Some(host), Some(port), "https") =
            (url.host(), url.port_or_known_default(), url.scheme())
        else {
            return Err(no_server());
        };
        let name = server_name(&host).ok_or_else(no_server)?;
        let roots = self.roots.clone();
        let roots = tokio::task::spawn_blocking(move || roots.with(&extra_pem)).await;
        let roots = roots.map_err(io::Error::other)?.map_err(io::Error::other)?;
        let connector = connector(&roots);
        connect(&host, port, Some(&(&connector, name)), CONNECTED_WITHIN).await
    }
}

#[async_trait]
impl Transport for Https {
    async fn ask(&self, question: Question) -> Result<Reply, TransportError> {
        let deadline = Instant::now() + ANSWERED_WITHIN;
        let url =
            Url::parse(&question.url).map_err(|error| TransportError::NotSent(Box::new(error)))?;
        let request =
            request(&question, &url).map_err(|error| TransportError::NotSent(Box::new(error)))?;
        let connecting = self.connect(&url, question.extra_roots_pem);
        let stream = timeout_at(deadline, connecting)
            .await
            .unwrap_or_else(|_| Err(late()))
            .map_err(|error| TransportError::NotSent(Box::new(error)))?;
        exchange(stream, request, deadline).await
    }
}

fn late() -> io::Error {
    let text = format!("it took more than {} s", ANSWERED_WITHIN.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

fn request(question: &Question, url: &Url) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let host = url.host().map(|host| host.to_string()).unwrap_or_default();
    let method = match question.method {
        Method::Get => hyper::Method::GET,
        Method::Post => hyper::Method::POST,
        Method::Delete => hyper::Method::DELETE,
    };
    let request = Request::builder()
        .method(method)
        .uri(url.path())
        .header(HOST, authority(url, &host))
        .header(header::USER_AGENT, USER_AGENT)
        // Errors then come as JSON, with a code.
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close");
    match &question.content {
        None => request.body(Full::default()),
        Some((content_type, content)) => {
            let content_type = match content_type {
                ContentType::Json => "application/json",
                ContentType::Form => "application/x-www-form-urlencoded",
            };
            // Wiped with the last of its handles.
            let content = Bytes::from_owner(content.clone());
            request
                .header(CONTENT_TYPE, content_type)
                .body(Full::new(content))
        }
    }
}

async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    deadline: Instant,
) -> Result<Reply, TransportError> {
    let lost = |error: hyper::Error| TransportError::Lost(Box::new(error));
    let (mut sender, moving) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(lost)?;
    // Moves the bytes; ends with this question.
    let mut connection = JoinSet::new();
    connection.spawn(async move {
        // What became of the exchange is the answer's to say.
        let _ = moving.await;
    });
    let response = timeout_at(deadline, sender.send_request(request))
        .await
        .map_err(|_| TransportError::Lost(Box::new(late())))?
        .map_err(lost)?;
    let status = response.status().as_u16();
    let content = timeout_at(deadline, content(response))
        .await
        .unwrap_or_else(|_| Err(format!("its content was cut off: {}", late())));
    Ok(Reply { status, content })
}

async fn content(mut response: Response<Incoming>) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut content = Zeroizing::new(Vec::with_capacity(LARGEST_ANSWER));
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame.map_err(|error| format!("its content was cut off: {}", chain(&error)))?;
        // Trailers are of no interest.
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        if content.len() + bytes.len() > LARGEST_ANSWER {
            return Err(format!("its content has more than {LARGEST_ANSWER} bytes"));
        }
        // There is room for all of it: no copy is left behind.
        content.extend_from_slice(&bytes);
    }
    Ok(content)
}
