//! HTTP/1.1 on one port, plain or with TLS, for as long as the program runs.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{
    application::Application,
    certificates::Certificates,
    pages::{Page, Service, answer},
};

/// How long a connection may take to send its request, or its handshake.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves until the runtime ends.
pub(super) async fn serve(
    listener: TcpListener,
    certificates: Option<Arc<Certificates>>,
    application: Arc<Application>,
    service: Service,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: others have to close first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (certificates, application) = (certificates.clone(), application.clone());
        tokio::spawn(async move {
            match certificates {
                None => exchange(stream, application, service).await,
                Some(certificates) => {
                    let handshake = TlsAcceptor::from(certificates.current()).accept(stream);
                    if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, handshake).await {
                        exchange(stream, application, service).await;
                    }
                }
            }
        });
    }
}

async fn exchange<S>(stream: S, application: Arc<Application>, service: Service)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let respond = service_fn(move |request: Request<Incoming>| {
        let uri = request.uri();
        let page = answer(
            &application,
            service,
            request.method(),
            uri.path(),
            uri.query().unwrap_or_default(),
        );
        std::future::ready(Ok::<_, Infallible>(response(page)))
    });
    // What a client does to its own connection is no concern of ours.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), respond)
        .await;
}

fn response(page: Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page.body)));
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    if let Some(content_type) = page.content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let Some(location) = page
        .location
        .and_then(|location| HeaderValue::try_from(location).ok())
    {
        headers.insert(header::LOCATION, location);
    }
    response
}
