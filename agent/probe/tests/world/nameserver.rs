//! A nameserver on loopback with a zone of a few names, over UDP and TCP on one port.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

/// What a name is.
#[derive(Clone)]
pub(crate) enum Entry {
    Addresses(Vec<IpAddr>),
    /// Another name; its addresses are in the same answer.
    Alias(&'static str),
    /// A response code.
    Code(u8),
    /// The answer over UDP is cut.
    OnlyOverTcp(IpAddr),
    /// Bytes that are no message after the header.
    Nonsense,
    Silence,
}

type Zone = BTreeMap<&'static str, Entry>;

/// Serves the zone; other names do not exist.
pub(crate) async fn serve(zone: impl IntoIterator<Item = (&'static str, Entry)>) -> SocketAddr {
    let zone: Arc<Zone> = Arc::new(zone.into_iter().collect());
    let (udp, tcp) = sockets().await;
    let address = udp.local_addr().unwrap();
    let over_udp = zone.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            if let Some(answer) = reply(&over_udp, &buffer[..length], false) {
                udp.send_to(&answer, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let length = stream.read_u16().await.unwrap();
            let mut question = vec![0; usize::from(length)];
            stream.read_exact(&mut question).await.unwrap();
            if let Some(answer) = reply(&zone, &question, true) {
                stream
                    .write_u16(u16::try_from(answer.len()).unwrap())
                    .await
                    .unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        }
    });
    address
}

/// A UDP and a TCP socket on one port. A free UDP port may be taken for TCP, so a few are tried.
async fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..50 {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

fn reply(zone: &Zone, question: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
    let (name, end) = asked(question);
    let kind = u16::from_be_bytes([question[end], question[end + 1]]);
    let mut answer = question[..end + 4].to_vec();
    answer[2] = 0x81;
    answer[3] = 0x80;
    match zone.get(name.as_str()) {
        None => answer[3] |= 3,
        Some(Entry::Code(code)) => answer[3] |= code,
        Some(Entry::Silence) => return None,
        Some(Entry::Nonsense) => {
            answer[7] = 9;
            answer.extend_from_slice(&[0xff; 9]);
        }
        Some(Entry::OnlyOverTcp(address)) if over_tcp => {
            record(&mut answer, &[0xc0, 12], kind, *address);
        }
        Some(Entry::OnlyOverTcp(_)) => answer[2] |= 0x02,
        Some(Entry::Addresses(addresses)) => {
            for address in addresses {
                record(&mut answer, &[0xc0, 12], kind, *address);
            }
        }
        Some(Entry::Alias(target)) => {
            let wire = wire(target);
            answer[7] += 1;
            answer.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 1]);
            answer.extend_from_slice(&u16::try_from(wire.len()).unwrap().to_be_bytes());
            answer.extend_from_slice(&wire);
            if let Some(Entry::Addresses(addresses)) = zone.get(target) {
                for address in addresses {
                    record(&mut answer, &wire, kind, *address);
                }
            }
        }
    }
    Some(answer)
}

/// Appends an address record when the address is of the kind asked for.
fn record(answer: &mut Vec<u8>, owner: &[u8], kind: u16, address: IpAddr) {
    let (record_kind, octets) = match address {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (28, address.octets().to_vec()),
    };
    if record_kind != kind {
        return;
    }
    answer[7] += 1;
    answer.extend_from_slice(owner);
    answer.extend_from_slice(&kind.to_be_bytes());
    answer.extend_from_slice(&[0, 1, 0, 0, 0, 1]);
    answer.extend_from_slice(&u16::try_from(octets.len()).unwrap().to_be_bytes());
    answer.extend_from_slice(&octets);
}

fn asked(question: &[u8]) -> (String, usize) {
    let mut labels = Vec::new();
    let mut at = 12;
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8(question[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    (labels.join("."), at + 1)
}

fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
