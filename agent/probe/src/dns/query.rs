//! One question to one nameserver: over UDP, and over TCP when the answer was cut.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout_at},
};

use super::{
    message::{self, Kind, MessageError, Reply},
    name::Name,
};

/// Larger than any answer without EDNS, so that a server that ignores the limit is still understood.
const LARGEST_DATAGRAM: usize = 4096;

/// How long asking may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// For one question to one server.
    pub(crate) patience: Duration,
    /// For everything.
    pub(crate) deadline: Instant,
}

/// Why one server did not help.
#[derive(Debug)]
pub(super) enum Trouble {
    Silent(Duration),
    Failed(String),
}

/// Asks once. Ends within the bounds.
pub(super) async fn ask(
    server: SocketAddr,
    name: &Name,
    kind: Kind,
    bounds: Bounds,
) -> Result<Reply, Trouble> {
    let id = transaction()
        .map_err(|()| Trouble::Failed("no random number for a question".to_owned()))?;
    let question = message::question(id, name, kind);
    let began = Instant::now();
    let until = bounds.deadline.min(began + bounds.patience);
    let silent = |_| Trouble::Silent((until - began).max(Duration::from_millis(1)));
    let bytes = timeout_at(
        until,
        over_udp(server, &question, |bytes| {
            message::reply(bytes, id, name, kind) != Err(MessageError::Foreign)
        }),
    )
    .await
    .map_err(silent)?
    .map_err(|error| failed(&error))?;
    let first = read(&bytes, id, name, kind)?;
    if first != Reply::Cut {
        return Ok(first);
    }
    let bytes = timeout_at(until, over_tcp(server, &question))
        .await
        .map_err(silent)?
        .map_err(|error| failed(&error))?;
    read(&bytes, id, name, kind)
}

fn read(bytes: &[u8], id: u16, name: &Name, kind: Kind) -> Result<Reply, Trouble> {
    message::reply(bytes, id, name, kind)
        .map_err(|_| Trouble::Failed("an unreadable answer".to_owned()))
}

fn failed(error: &io::Error) -> Trouble {
    Trouble::Failed(match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => format!("an error ({error})"),
    })
}

async fn over_udp(
    server: SocketAddr,
    question: &[u8],
    is_ours: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    // Connected, so that only this server's packets arrive, and its host's refusal does too.
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if is_ours(&buffer[..length]) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(question).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// An unguessable transaction id.
fn transaction() -> Result<u16, ()> {
    let mut bytes = [0; 2];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| ())?;
    Ok(u16::from_be_bytes(bytes))
}
