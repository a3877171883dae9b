//! Ports of the host: two containers cannot have the same one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::invalid::InvalidStack;
use crate::v1::{self, PublishedPort};

/// Refuses a stack that publishes a port of the host twice. Ports that the Engine chooses, and
/// the same line written twice, clash with nothing.
pub(super) fn check(stack: &v1::Stack) -> Result<(), InvalidStack> {
    let mut taken: BTreeMap<(i32, u32), Vec<(&str, &PublishedPort)>> = BTreeMap::new();
    for service in &stack.services {
        let published = service.ports.iter().filter(|port| port.host_port != 0);
        for port in published {
            let before = taken.entry((port.protocol, port.host_port)).or_default();
            let clash = before.iter().find(|(other, known)| {
                let again = *other == service.name && *known == port;
                !again && overlap(&known.host_address, &port.host_address)
            });
            if let Some((other, _)) = clash {
                let reason = format!(
                    "publishes port {} of the host, which service `{other}` publishes already",
                    port.host_port
                );
                return Err(InvalidStack::new(
                    format!("services.{}.ports", service.name),
                    reason,
                ));
            }
            before.push((&service.name, port));
        }
    }
    Ok(())
}

/// Whether listening on one address excludes listening on the other.
fn overlap(one: &str, other: &str) -> bool {
    one == other || is_any(one) || is_any(other)
}

/// An empty address means all of them; so does the unspecified one.
fn is_any(address: &str) -> bool {
    address.is_empty() || address.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::PortProtocol;

    fn port(address: &str, host: u32, container: u32, protocol: PortProtocol) -> PublishedPort {
        PublishedPort {
            host_address: address.to_owned(),
            host_port: host,
            container_port: container,
            protocol: protocol.into(),
        }
    }

    fn stack(a: Vec<PublishedPort>, b: Vec<PublishedPort>) -> v1::Stack {
        let service = |name: &str, ports| v1::Service {
            name: name.to_owned(),
            ports,
            ..v1::Service::default()
        };
        v1::Stack {
            services: vec![service("a", a), service("b", b)],
            ..v1::Stack::default()
        }
    }

    #[test]
    fn a_port_that_two_services_publish_is_named_with_both() {
        let tcp = PortProtocol::Tcp;
        for (one, other) in [("", ""), ("192.168.1.20", ""), ("0.0.0.0", "10.0.0.1")] {
            let both = stack(
                vec![port(one, 8090, 1, tcp)],
                vec![port(other, 8090, 2, tcp)],
            );
            assert_eq!(
                check(&both).unwrap_err().to_string(),
                "stack field `services.b.ports`: publishes port 8090 of the host, which service \
                 `a` publishes already"
            );
        }
        let one = stack(vec![port("", 80, 1, tcp), port("", 80, 2, tcp)], Vec::new());
        assert!(check(&one).is_err());
    }

    #[test]
    fn other_addresses_other_protocols_and_chosen_ports_do_not_clash() {
        let (tcp, udp) = (PortProtocol::Tcp, PortProtocol::Udp);
        let apart = stack(
            vec![
                port("10.0.0.1", 53, 53, tcp),
                port("10.0.0.1", 53, 53, udp),
                port("", 0, 80, tcp),
                port("", 443, 443, tcp),
                port("", 443, 443, tcp),
            ],
            vec![port("10.0.0.2", 53, 53, tcp), port("", 0, 80, tcp)],
        );
        assert_eq!(check(&apart), Ok(()));
    }
}
