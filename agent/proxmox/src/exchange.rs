//! One request and its answer, over a connection of its own.
//!
//! Connections are not kept. Proxmox closes them after every error, and one that it closes while it idles would
//! turn a mutation sent at that moment into one whose outcome is unknown. TLS sessions are resumed instead.

use std::future::pending;

use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1,
    ext::ReasonPhrase,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use crate::{
    Address, Bounds, ConnectError, LostReply,
    connection::connect,
    request::Request,
    trust::Verifier,
    upload::{Frames, UploadBody},
};

type Outgoing = Either<Full<Bytes>, UploadBody>;

/// Whom to ask, and how.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: Address,
    pub(crate) verifier: Verifier,
    pub(crate) authorization: HeaderValue,
    pub(crate) bounds: Bounds,
    /// Instead of TCP and TLS.
    #[cfg(feature = "testing")]
    pub(crate) wire: Option<crate::testing::Wire>,
}

impl Peer {
    async fn open(&self) -> Result<Box<dyn Connection>, ConnectError> {
        #[cfg(feature = "testing")]
        if let Some(wire) = &self.wire {
            return Ok(Box::new(wire.connect()));
        }
        let stream = connect(&self.address, &self.verifier, self.bounds.connect).await?;
        Ok(Box::new(stream))
    }
}

/// What bytes go over.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<Any: AsyncRead + AsyncWrite + Send + Unpin> Connection for Any {}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The reason phrase as sent, or the usual one of the status. Where PVE before 8.3 says what is wrong.
    pub(crate) reason: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body went on after [`Bounds::largest_answer`].
    pub(crate) cut: bool,
}

/// How an exchange failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing was sent.
    Connect(ConnectError),
    /// What was to be uploaded cannot be opened; nothing was sent.
    Source(std::io::Error),
    /// Something was sent.
    Lost(LostReply),
}

/// Sends `request` and reads what comes back.
pub(crate) async fn exchange(peer: &Peer, request: Request) -> Result<Answer, Failure> {
    let limit = request.limit.unwrap_or(peer.bounds.answer);
    // Opened first: a missing file is no reason to connect.
    let outgoing = outgoing(peer, request).await?;
    let stream = peer.open().await.map_err(Failure::Connect)?;
    let broken = |error| Failure::Lost(LostReply::Broken(error));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let answer = async {
        let response = sender.send_request(outgoing).await.map_err(broken)?;
        read(response, peer.bounds.largest_answer).await
    };
    // The connection only moves bytes; what becomes of the exchange is the exchange's to say.
    let driver = async {
        let _ = connection.await;
        pending::<()>().await;
    };
    timeout(limit, async {
        tokio::select! {
            biased;
            answer = answer => answer,
            () = driver => Err(Failure::Lost(LostReply::Ended)),
        }
    })
    .await
    .unwrap_or(Err(Failure::Lost(LostReply::TimedOut(limit))))
}

async fn outgoing(peer: &Peer, mut request: Request) -> Result<http::Request<Outgoing>, Failure> {
    let invalid = |error: http::Error| Failure::Source(std::io::Error::other(error));
    let mut builder = http::Request::builder()
        .method(request.call.method.as_str())
        .uri(request.target())
        .header(header::HOST, peer.address.to_string())
        .header(header::AUTHORIZATION, peer.authorization.clone())
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close")
        .header(
            header::USER_AGENT,
            concat!("omni-scale/", env!("CARGO_PKG_VERSION")),
        );
    if let Some(upload) = request.upload.take() {
        let frames = Frames::of(&upload);
        let body = UploadBody::open(upload.source, &frames)
            .await
            .map_err(Failure::Source)?;
        builder = builder
            .header(header::CONTENT_TYPE, &frames.content_type)
            .header(header::CONTENT_LENGTH, body.length());
        return builder.body(Either::Right(body)).map_err(invalid);
    }
    let body = request.body();
    if body.is_some() {
        builder = builder.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let body = Full::new(body.unwrap_or_default().into());
    builder.body(Either::Left(body)).map_err(invalid)
}

async fn read(response: http::Response<Incoming>, largest: usize) -> Result<Answer, Failure> {
    let status = response.status();
    let reason = match response.extensions().get::<ReasonPhrase>() {
        Some(phrase) => String::from_utf8_lossy(phrase.as_bytes()).into_owned(),
        None => status.canonical_reason().unwrap_or_default().to_owned(),
    };
    let mut answer = Answer {
        status: status.as_u16(),
        reason,
        body: Vec::new(),
        cut: false,
    };
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            // The status says already that it was refused, and why.
            Err(_) if status >= StatusCode::BAD_REQUEST => break,
            Err(error) => return Err(Failure::Lost(LostReply::Broken(error))),
        };
        let room = largest - answer.body.len();
        answer.body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            answer.cut = true;
            break;
        }
    }
    Ok(answer)
}
