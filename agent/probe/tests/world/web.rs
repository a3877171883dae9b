//! Web servers on loopback that answer each connection once, byte for byte as told.

use std::{net::SocketAddr, sync::Arc};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// From the path that is asked for to the bytes that are answered.
pub(crate) type Pages = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

/// An answer in HTTP/1.1.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn always(bytes: Vec<u8>) -> Pages {
    Arc::new(move |_| bytes.clone())
}

/// Serves `pages`, over TLS when there is a configuration. Lives as long as the test's runtime.
pub(crate) async fn serve(pages: Pages, tls: Option<Arc<ServerConfig>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (pages, tls) = (pages.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    // A client that refuses the certificate ends the handshake: that is the test, not a fault of the server.
                    Some(tls) => {
                        if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                            exchange(stream, &pages).await;
                        }
                    }
                    None => exchange(stream, &pages).await,
                }
            });
        }
    });
    address
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, pages: &Pages) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap_or_default();
    // The probe may have seen enough before everything is written.
    let _ = stream.write_all(&pages(path)).await;
    let _ = stream.shutdown().await;
}
