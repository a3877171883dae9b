//! tailscaled's LocalAPI over its Unix socket.
//!
//! Any local user may read it. The `Host` header must be as tailscaled expects it, and there must
//! be no `Origin` or `Referer`. Source: tailscale/tailscale, ipn/localapi and safesocket.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::{Named, NodeStatus, Peer, Preferences, Tailnet, TailnetError, Warning};

/// Where Debian's package puts the socket.
pub const DEFAULT_SOCKET: &str = "/run/tailscale/tailscaled.sock";

const STATUS: &str = "/localapi/v0/status?peers=false";
const DEVICES: &str = "/localapi/v0/status";
const WHOIS: &str = "/localapi/v0/whois";
const PREFERENCES: &str = "/localapi/v0/prefs";
/// Of the initial state (2) and its health (128).
const WARNINGS: &str = "/localapi/v0/watch-ipn-bus?mask=130";
/// Of the initial state, which is the first tick.
const CHANGES: &str = "/localapi/v0/watch-ipn-bus?mask=2";
const HOST: &str = "local-tailscaled.sock";
/// A status without peers, and a device with what is granted to it, are a few KiB.
const ANSWER_LIMIT: usize = 1 << 20;
/// A device takes about one KiB in the table of all.
const DEVICES_LIMIT: usize = 32 << 20;
const BOUND: Duration = Duration::from_secs(3);

/// Asks tailscaled on its socket, one connection a question.
#[derive(Debug, Clone)]
pub struct LocalApi {
    socket: PathBuf,
}

/// The two ends of an answer that has begun: its body, and what moves its bytes.
struct Begun<Moving> {
    status: hyper::StatusCode,
    body: Incoming,
    moving: Moving,
}

impl LocalApi {
    /// Uses a socket.
    pub fn new(socket: impl AsRef<Path>) -> Self {
        Self {
            socket: socket.as_ref().to_owned(),
        }
    }

    /// Asks, and waits for the head of the answer.
    async fn begin(
        &self,
        path: &str,
    ) -> Result<Begun<impl Future<Output = hyper::Result<()>> + Send + Unpin + use<>>, TailnetError>
    {
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| {
            TailnetError::Unreachable {
                socket: self.socket.display().to_string(),
                source,
            }
        })?;
        let (mut sender, mut moving) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(TailnetError::Broken)?;
        let request = hyper::Request::get(path)
            .header(hyper::header::HOST, HOST)
            .body(Empty::<Bytes>::new())
            .expect("a path of letters, digits and an address makes a request");
        let asked = sender.send_request(request);
        // The connection's own end is of no interest once the answer is there.
        let response = tokio::select! {
            biased;
            response = asked => response,
            Err(error) = &mut moving => Err(error),
        };
        let (head, body) = response.map_err(TailnetError::Broken)?.into_parts();
        Ok(Begun {
            status: head.status,
            body,
            moving,
        })
    }

    /// The whole document of a path, or `None` where there is none. `label` is the path for messages.
    async fn document(
        &self,
        path: &str,
        label: &'static str,
        limit: usize,
    ) -> Result<Option<Bytes>, TailnetError> {
        let begun = self.begin(path).await?;
        if begun.status == hyper::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        refuse_other_than_ok(begun.status, label)?;
        let answer = Limited::new(begun.body, limit).collect();
        tokio::select! {
            biased;
            answer = answer => match answer {
                Ok(body) => Ok(Some(body.to_bytes())),
                Err(error) => Err(match error.downcast::<hyper::Error>() {
                    Ok(error) => TailnetError::Broken(*error),
                    Err(_) => TailnetError::TooLarge { path: label, limit },
                }),
            },
            Err(error) = begun.moving => Err(TailnetError::Broken(error)),
        }
    }

    /// The document of a path that tailscaled always has.
    async fn get(&self, path: &'static str) -> Result<Bytes, TailnetError> {
        self.get_within(path, ANSWER_LIMIT).await
    }

    async fn get_within(&self, path: &'static str, limit: usize) -> Result<Bytes, TailnetError> {
        let missing = || TailnetError::Refused { status: 404, path };
        within(self.document(path, path, limit))
            .await?
            .ok_or_else(missing)
    }

    /// The first line of a stream that does not end.
    async fn first_line(&self, path: &'static str) -> Result<Vec<u8>, TailnetError> {
        let Begun {
            status,
            mut body,
            mut moving,
        } = self.begin(path).await?;
        refuse_other_than_ok(status, path)?;
        let mut line = Vec::new();
        loop {
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                Err(error) = &mut moving => return Err(TailnetError::Broken(error)),
            };
            let Some(frame) = frame else { return Ok(line) };
            let Ok(bytes) = frame.map_err(TailnetError::Broken)?.into_data() else {
                continue;
            };
            let end = bytes.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            if line.len() > ANSWER_LIMIT {
                return Err(TailnetError::TooLarge {
                    path,
                    limit: ANSWER_LIMIT,
                });
            }
            if end.is_some() {
                return Ok(line);
            }
        }
    }
}

fn refuse_other_than_ok(status: hyper::StatusCode, path: &'static str) -> Result<(), TailnetError> {
    if status == hyper::StatusCode::OK {
        return Ok(());
    }
    Err(TailnetError::Refused {
        status: status.as_u16(),
        path,
    })
}

async fn within<Answer>(
    answer: impl Future<Output = Result<Answer, TailnetError>>,
) -> Result<Answer, TailnetError> {
    tokio::time::timeout(BOUND, answer)
        .await
        .map_err(|_| TailnetError::TimedOut { bound: BOUND })?
}

const fn malformed(path: &'static str) -> impl FnOnce(serde_json::Error) -> TailnetError {
    move |source| TailnetError::Malformed { path, source }
}

#[async_trait]
impl Tailnet for LocalApi {
    async fn status(&self) -> Result<NodeStatus, TailnetError> {
        NodeStatus::parse(&self.get(STATUS).await?).map_err(malformed(STATUS))
    }

    async fn whois(&self, address: SocketAddr) -> Result<Option<Peer>, TailnetError> {
        // Brackets of an IPv6 address have no place in a query.
        let address = address.to_string().replace('[', "%5B").replace(']', "%5D");
        let path = format!("{WHOIS}?addr={address}&proto=tcp");
        match within(self.document(&path, WHOIS, ANSWER_LIMIT)).await? {
            Some(document) => Peer::parse(&document).map(Some).map_err(malformed(WHOIS)),
            None => Ok(None),
        }
    }

    async fn named(&self, dns_name: &str) -> Result<Option<Named>, TailnetError> {
        let document = self.get_within(DEVICES, DEVICES_LIMIT).await?;
        Named::parse(&document, dns_name).map_err(malformed(DEVICES))
    }

    async fn preferences(&self) -> Result<Preferences, TailnetError> {
        Preferences::parse(&self.get(PREFERENCES).await?).map_err(malformed(PREFERENCES))
    }

    async fn warnings(&self) -> Result<Vec<Warning>, TailnetError> {
        let line = within(self.first_line(WARNINGS)).await?;
        Warning::parse(&line).map_err(malformed(WARNINGS))
    }

    async fn changes(&self) -> Result<mpsc::Receiver<()>, TailnetError> {
        let Begun {
            status,
            mut body,
            mut moving,
        } = within(self.begin(CHANGES)).await?;
        refuse_other_than_ok(status, CHANGES)?;
        // One tick waits at most: who reads it looks at everything anyway.
        let (ticks, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let frame = tokio::select! {
                    () = ticks.closed() => return,
                    frame = body.frame() => frame,
                    _ = &mut moving => return,
                };
                let Some(Ok(frame)) = frame else { return };
                // Nothing is kept of it: the netmap of a large tailnet is many MiB.
                if frame.data_ref().is_some_and(|bytes| bytes.contains(&b'\n')) {
                    let _ = ticks.try_send(());
                }
            }
        });
        Ok(receiver)
    }

    fn has_address(&self, address: Ipv4Addr) -> Option<bool> {
        // Without IP_FREEBIND only an address that an interface has can be bound.
        match UdpSocket::bind((address, 0)) {
            Ok(_) => Some(true),
            Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => Some(false),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    /// Asks a tailscaled that answers one connection with these bytes. `keep_open`: it does not
    /// hang up after them. Returns what was asked, too.
    async fn scripted<Answer>(
        answer: Vec<u8>,
        keep_open: bool,
        ask: impl AsyncFnOnce(LocalApi) -> Answer,
    ) -> (Answer, String) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("tailscaled.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (asked, question) = tokio::sync::oneshot::channel();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let _ = asked.send(String::from_utf8_lossy(&request[..length]).into_owned());
            // A client that has heard enough hangs up: that is no fault of this side.
            let _ = stream.write_all(&answer).await;
            if keep_open {
                std::future::pending::<()>().await;
            }
        });
        let answer = ask(LocalApi::new(&socket)).await;
        let question = question.await.unwrap();
        server.abort();
        (answer, question)
    }

    async fn status(answer: Vec<u8>, keep_open: bool) -> Result<NodeStatus, TailnetError> {
        let ask = async |api: LocalApi| api.status().await;
        scripted(answer, keep_open, ask).await.0
    }

    async fn whois(answer: Vec<u8>, keep_open: bool) -> Result<Option<Peer>, TailnetError> {
        let ask = async |api: LocalApi| api.whois(([100, 64, 0, 1], 4711).into()).await;
        scripted(answer, keep_open, ask).await.0
    }

    fn document(body: &str) -> Vec<u8> {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn chunked(lines: &[&str]) -> Vec<u8> {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for line in lines {
            answer.extend(format!("{:x}\r\n{line}\r\n", line.len()).into_bytes());
        }
        answer
    }

    fn refusal(status: u16) -> Vec<u8> {
        format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").into_bytes()
    }

    #[tokio::test]
    async fn the_status_is_read() {
        let answer = document(r#"{"BackendState":"Running","TailscaleIPs":["100.64.0.1"]}"#);
        let ask = async |api: LocalApi| api.status().await;
        let (status, question) = scripted(answer, false, ask).await;
        assert!(status.unwrap().ipv4.is_some());
        assert!(
            question.contains("host: local-tailscaled.sock"),
            "{question}"
        );
    }

    #[tokio::test]
    async fn whois_asks_for_the_very_connection() {
        let answer = document(r#"{"Node":{"StableID":"n1","Name":"desk.tail.test."}}"#);
        let ask = async |api: LocalApi| api.whois(([100, 64, 0, 1], 4711).into()).await;
        let (peer, question) = scripted(answer, false, ask).await;
        assert_eq!(peer.unwrap().unwrap().node_id, "n1");
        let line = "GET /localapi/v0/whois?addr=100.64.0.1:4711&proto=tcp HTTP/1.1";
        assert!(question.starts_with(line), "{question}");
    }

    #[tokio::test]
    async fn whom_tailscaled_does_not_know_is_no_device() {
        assert_eq!(whois(refusal(404), false).await.unwrap(), None);
    }

    #[tokio::test]
    async fn no_other_answer_of_whois_is_a_device_or_none() {
        for status in [400, 403, 500] {
            let answer = whois(refusal(status), false).await;
            assert!(
                matches!(answer, Err(TailnetError::Refused { .. })),
                "{answer:?}"
            );
        }
        for nonsense in ["<html>", "{}", "null", r#"{"Node":{"StableID":""}}"#] {
            let answer = whois(document(nonsense), false).await;
            assert!(
                matches!(answer, Err(TailnetError::Malformed { .. })),
                "{answer:?}"
            );
        }
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Node\"".to_vec();
        let answer = whois(cut, false).await;
        assert!(matches!(answer, Err(TailnetError::Broken(_))), "{answer:?}");
        let answer = whois(document(&" ".repeat(ANSWER_LIMIT + 1)), false).await;
        assert!(
            matches!(answer, Err(TailnetError::TooLarge { .. })),
            "{answer:?}"
        );
        let answer = whois(Vec::new(), false).await;
        assert!(matches!(answer, Err(TailnetError::Broken(_))), "{answer:?}");
    }

    #[tokio::test]
    async fn preferences_and_warnings_are_read_and_the_stream_is_left() {
        let ask = async |api: LocalApi| api.preferences().await;
        let (preferences, _) = scripted(document(r#"{"Hostname":"omni"}"#), false, ask).await;
        assert_eq!(preferences.unwrap().hostname, "omni");
        let ask = async |api: LocalApi| api.warnings().await;
        let lines = [
            "{\"Health\":{\"Warnings\":{\"a\":{",
            "\"Severity\":\"low\"}}}}\n",
            "{}\n",
        ];
        let (warnings, question) = scripted(chunked(&lines), true, ask).await;
        assert_eq!(warnings.unwrap()[0].code, "a");
        assert!(question.contains("watch-ipn-bus?mask=130 "), "{question}");
    }

    #[tokio::test]
    async fn changes_tick_and_end_with_tailscaled() {
        let ask = async |api: LocalApi| {
            let mut changes = api.changes().await.unwrap();
            assert_eq!(changes.recv().await, Some(()));
            changes
        };
        let (mut changes, _) = scripted(chunked(&["{}\n"]), true, ask).await;
        // The scripted tailscaled is gone.
        while changes.recv().await.is_some() {}
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
        for code in [403, 404] {
            let refused = status(refusal(code), false).await;
            assert!(
                matches!(refused, Err(TailnetError::Refused { .. })),
                "{refused:?}"
            );
        }
        let nonsense = status(document("<html>"), false).await;
        assert!(
            matches!(nonsense, Err(TailnetError::Malformed { .. })),
            "{nonsense:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_the_bound() {
        let silent = status(Vec::new(), true).await;
        assert!(
            matches!(silent, Err(TailnetError::TimedOut { .. })),
            "{silent:?}"
        );
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec();
        let slow = whois(half, true).await;
        assert!(
            matches!(slow, Err(TailnetError::TimedOut { .. })),
            "{slow:?}"
        );
        let ask = async |api: LocalApi| api.warnings().await;
        let (endless, _) = scripted(chunked(&["{"]), true, ask).await;
        assert!(
            matches!(endless, Err(TailnetError::TimedOut { .. })),
            "{endless:?}"
        );
    }

    #[test]
    fn an_address_is_there_or_not() {
        let api = LocalApi::new("unused");
        assert_eq!(api.has_address(Ipv4Addr::LOCALHOST), Some(true));
        assert_eq!(api.has_address([203, 0, 113, 7].into()), Some(false));
    }
}
