//! tailscaled's LocalAPI over its Unix socket.
//!
//! Any local user may read it. The `Host` header must be as tailscaled expects it, and there must
//! be no `Origin` or `Referer`. Source: tailscale/tailscale, ipn/localapi and safesocket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::{NodeStatus, Tailnet, TailnetError};

/// Where Debian's package puts the socket.
pub const DEFAULT_SOCKET: &str = "/run/tailscale/tailscaled.sock";

const STATUS: &str = "/localapi/v0/status?peers=false";
const HOST: &str = "local-tailscaled.sock";
/// A status without peers is a few KiB.
const ANSWER_LIMIT: usize = 1 << 20;
const BOUND: Duration = Duration::from_secs(3);

/// Asks tailscaled on its socket, one connection a question.
#[derive(Debug, Clone)]
pub struct LocalApi {
    socket: PathBuf,
}

impl LocalApi {
    /// Uses a socket.
    pub fn new(socket: impl AsRef<Path>) -> Self {
        Self {
            socket: socket.as_ref().to_owned(),
        }
    }

    async fn get(&self, path: &'static str) -> Result<Bytes, TailnetError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| {
            TailnetError::Unreachable {
                socket: self.socket.display().to_string(),
                source,
            }
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(TailnetError::Broken)?;
        let request = hyper::Request::get(path)
            .header(hyper::header::HOST, HOST)
            .body(Empty::<Bytes>::new())
            .expect("a constant path and header make a request");
        let answer = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(TailnetError::Broken)?;
            let status = response.status();
            if status != hyper::StatusCode::OK {
                return Err(TailnetError::Refused {
                    status: status.as_u16(),
                    path,
                });
            }
            let body = Limited::new(response.into_body(), ANSWER_LIMIT)
                .collect()
                .await;
            body.map(http_body_util::Collected::to_bytes)
                .map_err(|error| match error.downcast::<hyper::Error>() {
                    Ok(error) => TailnetError::Broken(*error),
                    Err(_) => TailnetError::TooLarge {
                        path,
                        limit: ANSWER_LIMIT,
                    },
                })
        };
        // The connection's own end is of no interest once the answer is there.
        tokio::select! {
            biased;
            answer = answer => answer,
            Err(error) = connection => Err(TailnetError::Broken(error)),
        }
    }
}

#[async_trait]
impl Tailnet for LocalApi {
    async fn status(&self) -> Result<NodeStatus, TailnetError> {
        let document = tokio::time::timeout(BOUND, self.get(STATUS))
            .await
            .map_err(|_| TailnetError::TimedOut { bound: BOUND })??;
        NodeStatus::parse(&document).map_err(|source| TailnetError::Malformed {
            path: STATUS,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    /// Answers one connection with these bytes, after it has read the request.
    async fn scripted(answer: Vec<u8>, keep_open: bool) -> Result<NodeStatus, TailnetError> {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("tailscaled.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            // A client that has heard enough hangs up: that is no fault of this side.
            let _ = stream.write_all(&answer).await;
            if keep_open {
                std::future::pending::<()>().await;
            }
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let status = LocalApi::new(&socket).status().await;
        if keep_open {
            server.abort();
        } else {
            let request = server.await.unwrap();
            assert!(request.contains("host: local-tailscaled.sock"), "{request}");
        }
        status
    }

    fn document(body: &str) -> Vec<u8> {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    #[tokio::test]
    async fn the_status_is_read() {
        let status = scripted(
            document(r#"{"BackendState":"Running","TailscaleIPs":["100.64.0.1"]}"#),
            false,
        )
        .await;
        assert!(status.unwrap().ipv4.is_some());
    }

    #[tokio::test]
    async fn no_socket_is_unreachable() {
        let error = LocalApi::new("/nonexistent/socket")
            .status()
            .await
            .unwrap_err();
        assert!(
            matches!(error, TailnetError::Unreachable { .. }),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn refusals_and_nonsense_are_errors() {
        let refused = scripted(
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec(),
            false,
        )
        .await;
        assert!(
            matches!(refused, Err(TailnetError::Refused { status: 403, .. })),
            "{refused:?}"
        );
        let nonsense = scripted(document("<html>"), false).await;
        assert!(
            matches!(nonsense, Err(TailnetError::Malformed { .. })),
            "{nonsense:?}"
        );
        let cut = scripted(
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec(),
            false,
        )
        .await;
        assert!(matches!(cut, Err(TailnetError::Broken(_))), "{cut:?}");
        let large = scripted(document(&" ".repeat(ANSWER_LIMIT + 1)), false).await;
        assert!(
            matches!(large, Err(TailnetError::TooLarge { .. })),
            "{large:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_the_bound() {
        let silent = scripted(Vec::new(), true).await;
        assert!(
            matches!(silent, Err(TailnetError::TimedOut { .. })),
            "{silent:?}"
        );
    }
}
