//! Which nameserver is asked, in which order, and what their silence and their answers mean together.
//!
//! The order is the C library's: a server that does not answer, or answers that it cannot say, is passed over for the
//! next one; NXDOMAIN and “no such address” are final. Every server gets a second chance, because UDP loses packets.

use std::net::{IpAddr, SocketAddr};

use tokio::time::Instant;

use super::{
    files::ResolvConf,
    message::{Kind, Reply},
    name::Name,
    query::{Bounds, Trouble, ask},
};
use crate::{
    fault::{Fault, span},
    report::FailureClass,
};

/// How often each server is asked before the probe gives up.
const ROUNDS: usize = 2;

/// What was found, and who was asked on the way.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) nameservers: Vec<SocketAddr>,
    pub(crate) result: Result<Vec<IpAddr>, Fault>,
}

/// The addresses of `name`, IPv4 first. Ends by the deadline.
pub(crate) async fn resolve(name: &Name, configuration: &ResolvConf, bounds: Bounds) -> Asked {
    let mut search = Search {
        servers: &configuration.nameservers,
        bounds,
        asked: Vec::new(),
    };
    let mut candidates = Vec::new();
    if name.is_searched() {
        candidates.extend(
            configuration
                .search
                .iter()
                .filter_map(|domain| name.below(domain)),
        );
    }
    candidates.push(name.clone());
    let mut result = Err(Fault::new(
        FailureClass::NoNameserver,
        "there is no nameserver to ask",
    ));
    if configuration.nameservers.is_empty() {
        candidates.clear();
    }
    for candidate in &candidates {
        result = search.one(candidate).await;
        let goes_on = matches!(&result, Err(fault)
            if matches!(fault.class, FailureClass::NameNotFound | FailureClass::NoAddress));
        if !goes_on {
            break;
        }
    }
    Asked {
        nameservers: search.asked,
        result,
    }
}

struct Search<'a> {
    servers: &'a [SocketAddr],
    bounds: Bounds,
    asked: Vec<SocketAddr>,
}

impl Search<'_> {
    async fn one(&mut self, name: &Name) -> Result<Vec<IpAddr>, Fault> {
        let mut troubles: Vec<(SocketAddr, Trouble)> = Vec::new();
        for _ in 0..ROUNDS {
            for server in self.servers {
                if Instant::now() >= self.bounds.deadline {
                    break;
                }
                if !self.asked.contains(server) {
                    self.asked.push(*server);
                }
                match ask_both(*server, name, self.bounds).await {
                    Ok(Reply::Addresses(addresses)) if addresses.is_empty() => {
                        return Err(Fault::new(
                            FailureClass::NoAddress,
                            format!("`{name}` exists and has no address, says {}", server.ip()),
                        ));
                    }
                    Ok(Reply::Addresses(addresses)) => return Ok(addresses),
                    Ok(Reply::NoSuchName) => {
                        return Err(Fault::new(
                            FailureClass::NameNotFound,
                            format!("NXDOMAIN for `{name}` from {}", server.ip()),
                        ));
                    }
                    Ok(Reply::Refused(code)) => {
                        note(&mut troubles, *server, Trouble::Failed(code_name(code)));
                    }
                    Ok(Reply::Cut) => {
                        note(
                            &mut troubles,
                            *server,
                            Trouble::Failed("an answer cut even over TCP".to_owned()),
                        );
                    }
                    Err(trouble) => note(&mut troubles, *server, trouble),
                }
            }
        }
        Err(summary(&troubles))
    }
}

/// Keeps the last trouble of each server; of two silences the longer one, since the second may be cut by the deadline.
fn note(troubles: &mut Vec<(SocketAddr, Trouble)>, server: SocketAddr, trouble: Trouble) {
    let before = troubles.iter().position(|(known, _)| *known == server);
    let trouble = match (before.map(|at| troubles.remove(at).1), trouble) {
        (Some(Trouble::Silent(first)), Trouble::Silent(second)) => {
            Trouble::Silent(first.max(second))
        }
        (_, trouble) => trouble,
    };
    troubles.push((server, trouble));
}

fn summary(troubles: &[(SocketAddr, Trouble)]) -> Fault {
    if troubles.is_empty() {
        return Fault::new(
            FailureClass::NameserverSilent,
            "no time was left to ask for it",
        );
    }
    let silent = troubles
        .iter()
        .all(|(_, trouble)| matches!(trouble, Trouble::Silent(_)));
    let class = if silent {
        FailureClass::NameserverSilent
    } else {
        FailureClass::NameserverFailed
    };
    let words: Vec<String> = troubles
        .iter()
        .map(|(server, trouble)| match trouble {
            Trouble::Silent(patience) => {
                format!("no answer from {} within {}", server.ip(), span(*patience))
            }
            Trouble::Failed(reason) => format!("{reason} from {}", server.ip()),
        })
        .collect();
    Fault::new(class, words.join("; "))
}

/// A response code by its name (RFC 1035 §4.1.1).
fn code_name(code: u8) -> String {
    match code {
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        other => format!("response code {other}"),
    }
}

/// Asks for both kinds of address. One kind is enough: a server that fails on the other is forgiven.
async fn ask_both(server: SocketAddr, name: &Name, bounds: Bounds) -> Result<Reply, Trouble> {
    let mut addresses = match ask(server, name, Kind::A, bounds).await? {
        Reply::Addresses(addresses) => addresses,
        other => return Ok(other),
    };
    match ask(server, name, Kind::Aaaa, bounds).await {
        Ok(Reply::Addresses(more)) => addresses.extend(more),
        _ if !addresses.is_empty() => {}
        other => return other,
    }
    Ok(Reply::Addresses(addresses))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::UdpSocket;

    use super::*;

    /// Answers every question with `code` and no record, from the packet itself.
    async fn server(code: u8) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                buffer[2] = 0x81;
                buffer[3] = 0x80 | code;
                socket.send_to(&buffer[..length], from).await.unwrap();
            }
        });
        address
    }

    async fn ask_all(nameservers: &[SocketAddr], patience_milliseconds: u64) -> Asked {
        let configuration = ResolvConf {
            nameservers: nameservers.to_vec(),
            search: Vec::new(),
        };
        let bounds = Bounds {
            patience: Duration::from_millis(patience_milliseconds),
            deadline: Instant::now() + Duration::from_secs(20),
        };
        resolve(
            &Name::parse("idp.tail.test").unwrap(),
            &configuration,
            bounds,
        )
        .await
    }

    #[tokio::test]
    async fn a_silent_server_is_passed_over() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let silent = (silent.local_addr().unwrap(), silent);
        let answering = server(3).await;
        let asked = ask_all(&[silent.0, answering], 60).await;
        assert_eq!(asked.result.unwrap_err().class, FailureClass::NameNotFound);
        assert_eq!(asked.nameservers, [silent.0, answering]);
    }

    #[tokio::test]
    async fn when_all_are_silent_each_is_named_once() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let fault = ask_all(&[silent.local_addr().unwrap()], 30)
            .await
            .result
            .unwrap_err();
        assert_eq!(fault.class, FailureClass::NameserverSilent);
        assert_eq!(fault.message, "no answer from 127.0.0.1 within 30 ms");
    }

    #[test]
    fn of_two_silences_the_longer_one_is_told() {
        let server = SocketAddr::from(([127, 0, 0, 1], 53));
        let mut troubles = Vec::new();
        for milliseconds in [2_000, 997] {
            let silence = Trouble::Silent(Duration::from_millis(milliseconds));
            note(&mut troubles, server, silence);
        }
        assert_eq!(
            summary(&troubles).message,
            "no answer from 127.0.0.1 within 2 s"
        );
    }

    #[tokio::test]
    async fn a_server_that_cannot_say_is_passed_over_and_quoted() {
        let (failing, refusing) = (server(2).await, server(5).await);
        let fault = ask_all(&[failing, refusing], 2_000)
            .await
            .result
            .unwrap_err();
        assert_eq!(fault.class, FailureClass::NameserverFailed);
        assert_eq!(
            fault.message,
            "SERVFAIL from 127.0.0.1; REFUSED from 127.0.0.1"
        );
    }

    #[tokio::test]
    async fn without_a_server_nothing_is_asked() {
        let asked = ask_all(&[], 1_000).await;
        assert_eq!(asked.result.unwrap_err().class, FailureClass::NoNameserver);
    }
}
