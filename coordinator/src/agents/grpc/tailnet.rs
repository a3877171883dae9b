//! Agents by the tailnet's own table of devices, so that neither this machine's resolver nor a wait
//! for nobody decides where they are.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use omni_scale_proto::AGENT_PORT;
use omni_scale_proto::id::HostName;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::dial::{Network, SystemNetwork, Wire, system_addresses};
use super::peers::{Found, PeerTable};

/// Where Tailscale's packages put tailscaled's socket, which any user may read.
const SOCKET: &str = "/run/tailscale/tailscaled.sock";
const STATUS: &str = "/localapi/v0/status";
/// What tailscaled expects; it refuses another one. Source: tailscale/tailscale, ipn/localapi.
const LOCAL_HOST: &str = "local-tailscaled.sock";
/// A device takes about one KiB in the table.
const LARGEST: usize = 64 << 20;
const BOUND: Duration = Duration::from_secs(3);

/// The tailnet as this machine's tailscaled knows it. Where there is none, or for names that are
/// not the tailnet's, the system's resolver.
#[derive(Debug, Clone)]
pub struct TailnetNetwork {
    socket: PathBuf,
}

impl Default for TailnetNetwork {
    fn default() -> Self {
        Self::at(SOCKET)
    }
}

impl TailnetNetwork {
    /// Asks the tailscaled behind this socket.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// The table, or why it is not known.
    async fn peers(&self) -> io::Result<PeerTable> {
        let asked = timeout(BOUND, self.status()).await;
        let document = asked.map_err(|_| {
            let message = format!("tailscaled does not answer within {} s", BOUND.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, message)
        })??;
        PeerTable::parse(&document).map_err(io::Error::other)
    }

    async fn status(&self) -> io::Result<Bytes> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let request = hyper::Request::get(STATUS)
            .header(hyper::header::HOST, LOCAL_HOST)
            .body(Empty::<Bytes>::new())
            .map_err(io::Error::other)?;
        let answer = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(io::Error::other)?;
            if response.status() != hyper::StatusCode::OK {
                let message = format!("tailscaled answers {} to `{STATUS}`", response.status());
                return Err(io::Error::other(message));
            }
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            body.map(http_body_util::Collected::to_bytes)
                .map_err(io::Error::other)
        };
        // The connection's own end is of no interest once the answer is there.
        tokio::select! {
            biased;
            answer = answer => answer,
            Err(error) = connection => Err(io::Error::other(error)),
        }
    }
}

impl TailnetNetwork {
    /// The addresses of a device, or of another host whose full name this is.
    pub(crate) async fn addresses(&self, dns_name: &str) -> io::Result<Vec<IpAddr>> {
        let own_state = match self.peers().await.map(|table| table.find(dns_name)) {
            Ok(Found::At(addresses)) => return Ok(addresses),
            Ok(Found::Not(trouble)) => return Err(io::Error::other(trouble)),
            Ok(Found::Unknown(own_state)) => own_state,
            // Without a tailscaled, or with one that says nothing, the system may still know.
            Err(_) => None,
        };
        let resolved = system_addresses(dns_name).await;
        resolved.map_err(|error| match own_state {
            Some(state) => io::Error::new(
                error.kind(),
                format!("{error}; this machine's own node is not on the tailnet: {state}"),
            ),
            None => error,
        })
    }
}

#[async_trait]
impl Network for TailnetNetwork {
    async fn resolve(&self, _host: &HostName, dns_name: &str) -> io::Result<Vec<SocketAddr>> {
        let addresses = self.addresses(dns_name).await?.into_iter();
        let at = |address| SocketAddr::new(address, AGENT_PORT);
        Ok(addresses.map(at).collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Wire> {
        SystemNetwork.connect(address).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::grpc::PeerTrouble;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    /// Resolves a name while tailscaled answers with these bytes.
    async fn resolve(answer: &str, dns_name: &str) -> io::Result<Vec<SocketAddr>> {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("tailscaled.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let answer = answer.to_owned();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let network = TailnetNetwork::at(&socket);
        let resolved = network.resolve(&"omni".parse().unwrap(), dns_name).await;
        let request = server.await.unwrap();
        assert!(
            request.starts_with("GET /localapi/v0/status HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("host: local-tailscaled.sock"), "{request}");
        resolved
    }

    fn table(state: &str) -> String {
        let body = format!(
            r#"{{"BackendState":"{state}","MagicDNSSuffix":"tail.test","Self":{{"Online":true}},"Peer":{{"nodekey:1":{{"DNSName":"omni.tail.test.","TailscaleIPs":["100.64.0.2"],"Online":true}}}}}}"#
        );
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    #[tokio::test]
    async fn a_device_of_the_tailnet_is_where_its_table_says() {
        let addresses = resolve(&table("Running"), "omni.tail.test").await.unwrap();
        assert_eq!(addresses, ["100.64.0.2:7443".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_device_that_is_not_there_is_said_at_once() {
        let error = resolve(&table("Running"), "idp.tail.test")
            .await
            .unwrap_err();
        let trouble = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<PeerTrouble>());
        assert!(
            matches!(trouble, Some(PeerTrouble::Absent { .. })),
            "{error}"
        );
    }

    #[tokio::test]
    async fn without_a_word_of_tailscaled_the_system_is_asked() {
        let nowhere = TailnetNetwork::at("/nonexistent/socket");
        let host = "omni".parse().unwrap();
        let addresses = nowhere.resolve(&host, "localhost").await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        for answer in [
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        ] {
            let addresses = resolve(answer, "localhost").await.unwrap();
            assert!(!addresses.is_empty(), "{answer}");
        }
    }
}
