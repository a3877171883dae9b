//! HTTPS as pveproxy speaks it: HTTP/1.1 only, reason phrases that mean something, and connections that end when it
//! says so (facts §1.1).

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderName, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::answer::{Answer, Reply};
use crate::control;
use crate::identity::{Identity, IdentityError};
use crate::request::{Method, Request};
use crate::simulator::Simulator;

/// What all of the API is below.
const BASE: &str = "/api2/json";

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// The model says so.
    #[error("the connection is cut")]
    Cut,
    /// The client went away.
    #[error("the request did not arrive")]
    Body(#[source] hyper::Error),
    /// The model could not keep its state.
    #[error("the simulator cannot keep its state")]
    State(#[source] std::io::Error),
}

impl Simulator {
    /// Answers on this listener over TLS, until it is dropped.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        identity: &Identity,
    ) -> Result<Infallible, IdentityError> {
        let acceptor = TlsAcceptor::from(identity.server_config()?);
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let (simulator, acceptor) = (Arc::clone(&self), acceptor.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    simulator.serve_connection(stream).await;
                }
            });
        }
    }

    /// Answers on one stream, which is TLS already or needs none.
    pub async fn serve_connection(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| {
            let simulator = Arc::clone(&self);
            async move { simulator.respond(request).await }
        });
        // An error here is a connection that was meant to end, or a client that left.
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn respond(
        &self,
        request: hyper::Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Ended> {
        let chunked = request.headers().contains_key(TRANSFER_ENCODING);
        let (parts, body) = request.into_parts();
        let header = |name: HeaderName| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let path = parts.uri.path();
        let refuse = |text: &str| {
            answer(&Answer {
                status: 501,
                reason: text.to_owned(),
                body: None,
            })
        };
        let Some(method) = Method::named(parts.method.as_str()) else {
            return Ok(refuse(&format!("method '{}' not available", parts.method)));
        };
        if chunked {
            return Ok(refuse("chunked transfer encoding not supported"));
        }
        let body = body
            .collect()
            .await
            .map_err(Ended::Body)?
            .to_bytes()
            .to_vec();
        if let Some(path) = path.strip_prefix(control::BASE) {
            return Ok(answer(&control::answer(
                &mut self.cluster(),
                method,
                path,
                &body,
            )));
        }
        let Some(path) = path.strip_prefix(BASE).filter(|path| path.starts_with('/')) else {
            return Ok(refuse("no such uri"));
        };
        let request = Request {
            method,
            path: path.to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            authorization: header(AUTHORIZATION),
            content_type: header(CONTENT_TYPE),
            body,
        };
        match self.call(&request).await.map_err(Ended::State)?.reply {
            Reply::Cut => Err(Ended::Cut),
            Reply::Answer(found) => Ok(answer(&found)),
        }
    }
}

fn answer(answer: &Answer) -> Response<Full<Bytes>> {
    let body = answer
        .body
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(reason) = ReasonPhrase::try_from(answer.reason.as_bytes()) {
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    if answer.body.is_some() {
        headers.insert(
            CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("application/json;charset=UTF-8"),
        );
    }
    if answer.closes() {
        headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("close"));
    }
    response
}
