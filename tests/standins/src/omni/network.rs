//! What the network namespace must offer: free ports, a TUN device, and the right to use it.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use tokio::net::{TcpListener, UdpSocket};

use crate::{
    failure::{Failure, go_error},
    pace::Pace,
};

/// Bit of `CAP_NET_ADMIN` in a capability set (linux/capability.h).
const NET_ADMIN: u32 = 12;
/// How long the real one goes on with a taken WireGuard port, since its start.
const WIREGUARD_GIVES_UP: Duration = Duration::from_secs(7);
/// The address that `SideroLink` gives Omni itself; events of machines are received there.
const SIDEROLINK_ADDRESS: &str = "fdae:41e4:649b:9303::1";

/// Listens on TCP; `prefix` goes before the real one's words when it cannot.
pub(super) async fn listen(
    address: &str,
    prefix: &str,
    after_milliseconds: u64,
) -> Result<TcpListener, Failure> {
    let socket = parse(address);
    let listener = match socket {
        Some(socket) => TcpListener::bind(socket).await,
        None => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("address {address}: missing port in address"),
        )),
    };
    listener.map_err(|error| {
        let text = match error.kind() {
            io::ErrorKind::InvalidInput => format!("{prefix}: listen tcp: {error}"),
            _ => format!("{prefix}: listen tcp {address}: bind: {}", go_error(&error)),
        };
        Failure::new(after_milliseconds, text)
    })
}

/// An address as Go's `net.Listen` takes it: no host means all.
fn parse(address: &str) -> Option<SocketAddr> {
    match address.strip_prefix(':') {
        Some(port) => port
            .parse()
            .ok()
            .map(|port: u16| SocketAddr::from(([0_u16; 8], port))),
        None => address.replace("localhost:", "127.0.0.1:").parse().ok(),
    }
}

/// The device must be there and this process allowed to configure it.
pub(super) fn check_tun(device: &Path, status: &Path) -> Result<(), Failure> {
    let fail = |reason: &str| {
        Err(Failure::new(
            1_500,
            format!(
                "failed to run server: error initializing wireguard: CreateTUN(\"siderolink\") failed; {reason}"
            ),
        ))
    };
    match std::fs::File::options().read(true).write(true).open(device) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fail("/dev/net/tun does not exist");
        }
        Err(_) => return fail("operation not permitted"),
    }
    if may_configure_networks(&std::fs::read_to_string(status).unwrap_or_default()) {
        Ok(())
    } else {
        fail("operation not permitted")
    }
}

fn may_configure_networks(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| (set >> NET_ADMIN) & 1 == 1)
}

/// Takes the WireGuard port. The API serves already; the real one goes on for seconds when the port is taken.
pub(super) async fn wireguard(address: &str, pace: Pace) -> Result<UdpSocket, Failure> {
    let bound = match parse(address) {
        Some(socket) => UdpSocket::bind(socket).await,
        None => Err(io::ErrorKind::InvalidInput.into()),
    };
    match bound {
        Ok(socket) => Ok(socket),
        Err(error) => {
            pace.until(WIREGUARD_GIVES_UP).await;
            // EADDRINUSE, EADDRNOTAVAIL, EINVAL.
            let number = match error.kind() {
                io::ErrorKind::AddrInUse => 98,
                io::ErrorKind::AddrNotAvailable => 99,
                _ => 22,
            };
            Err(Failure {
                text: format!(
                    "failed to run server: error configuring Wireguard private key: read: wguser: errno=-{number}"
                ),
                after: WIREGUARD_GIVES_UP,
            })
        }
    }
}

/// The event sink listens on the WireGuard address, which a machine API on all addresses has taken already.
pub(super) fn check_event_sink(machine_api: &str, port: u64) -> Result<(), Failure> {
    let Some(taken) = parse(machine_api) else {
        return Ok(());
    };
    if taken.ip().is_unspecified() && u64::from(taken.port()) == port {
        return Err(Failure::new(
            2_000,
            format!(
                "failed to run server: listen tcp [{SIDEROLINK_ADDRESS}]:{port}: bind: address already in use"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_to_configure_networks_is_one_bit() {
        assert!(may_configure_networks(
            "Name:\tomni\nCapEff:\t0000000000001000\n"
        ));
        assert!(may_configure_networks("CapEff:\t000001ffffffffff\n"));
        assert!(!may_configure_networks("CapEff:\t00000000a80425fb\n"));
        assert!(!may_configure_networks(""));
    }

    #[test]
    fn a_missing_device_and_a_missing_right_have_their_words() {
        let status = tempfile::NamedTempFile::new().unwrap();
        let device = tempfile::NamedTempFile::new().unwrap();
        let absent = check_tun(Path::new("/does/not/exist"), status.path()).unwrap_err();
        assert!(
            absent
                .text
                .ends_with("CreateTUN(\"siderolink\") failed; /dev/net/tun does not exist")
        );
        let denied = check_tun(device.path(), status.path()).unwrap_err();
        assert!(denied.text.ends_with("operation not permitted"));
    }

    #[test]
    fn the_event_sink_clashes_only_with_all_addresses() {
        let text = check_event_sink("0.0.0.0:8090", 8090).unwrap_err().text;
        assert!(
            text.ends_with(
                "listen tcp [fdae:41e4:649b:9303::1]:8090: bind: address already in use"
            ),
            "{text}"
        );
        assert!(check_event_sink("0.0.0.0:8090", 8091).is_ok());
        assert!(check_event_sink("192.0.2.1:8090", 8090).is_ok());
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = listen("127.0.0.1:0", "failed to serve", 1).await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let text = listen(&address, "failed to serve", 1)
            .await
            .unwrap_err()
            .text;
        assert_eq!(
            text,
            format!("failed to serve: listen tcp {address}: bind: address already in use")
        );
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let text = wireguard(&udp.local_addr().unwrap().to_string(), Pace::begin(0.0))
            .await
            .unwrap_err()
            .text;
        assert!(
            text.ends_with("error configuring Wireguard private key: read: wguser: errno=-98"),
            "{text}"
        );
    }
}
