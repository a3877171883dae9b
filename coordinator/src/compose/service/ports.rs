//! `ports`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use omni_scale_proto::v1::{PortProtocol, PublishedPort};

use super::super::entries::text_or_number;
use crate::document::{Content, Fields, Node};

/// More ports than this in one range are a slip of the keyboard.
const MAXIMUM_RANGE: usize = 1000;

pub(super) fn read(fields: &Fields<'_>) -> Option<Vec<PublishedPort>> {
    let Some(node) = fields.optional("ports") else {
        return Some(Vec::new());
    };
    let mut ports = Vec::new();
    for item in fields.report().items(node)? {
        if matches!(item.content, Content::Mapping(_)) {
            ports.push(long(fields, item)?);
        } else {
            let text = text_or_number(item, fields.report())?;
            match short(&text) {
                Ok(added) => ports.extend(added),
                Err(rule) => {
                    fields
                        .report()
                        .add(&item.location, format!("`{text}` is not a port: {rule}"));
                    return None;
                }
            }
        }
    }
    Some(ports)
}

/// `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`, each port perhaps a range.
fn short(text: &str) -> Result<Vec<PublishedPort>, &'static str> {
    let (text, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol_named(protocol).ok_or("the protocol is `tcp` or `udp`")?;
    let (front, container) = match text.rsplit_once(':') {
        Some((front, container)) => (Some(front), container),
        None => (None, text),
    };
    let container =
        range(container).ok_or("ports are numbers from 1 to 65535, or ranges of them")?;
    let (address, host) = match front {
        None => ("", None),
        Some(front) => match front.rsplit_once(':') {
            // The address may have colons of its own; then it is in brackets.
            Some((address, host)) => (address, Some(host)),
            None => ("", Some(front)),
        },
    };
    let address = host_address(address).ok_or("the address must be an IP address")?;
    let host = match host {
        None | Some("") => None,
        Some(host) => {
            Some(range(host).ok_or("ports are numbers from 1 to 65535, or ranges of them")?)
        }
    };
    if let Some(host) = &host
        && host.clone().count() != container.clone().count()
    {
        return Err("both ranges must be equally long");
    }
    if container.clone().count() > MAXIMUM_RANGE {
        return Err("the range is longer than 1000 ports");
    }
    Ok(container
        .clone()
        .map(|port| PublishedPort {
            host_address: address.clone(),
            host_port: host.as_ref().map_or(0, |host| {
                u32::from(host.start() + (port - container.start()))
            }),
            container_port: port.into(),
            protocol: protocol.into(),
        })
        .collect())
}

fn long(outer: &Fields<'_>, node: &Node) -> Option<PublishedPort> {
    let report = outer.report();
    let fields = Fields::of(node, outer.path_of("ports"), report)?;
    let number = |key: &'static str| -> Option<u16> {
        let node = fields.optional(key)?;
        let port = text_or_number(node, report)?
            .parse()
            .ok()
            .filter(|port| *port > 0);
        if port.is_none() {
            report.add(&node.location, "expected a port from 1 to 65535");
        }
        port
    };
    if fields.required("target").is_none() {
        fields.finish_but_extensions();
        return None;
    }
    let target = number("target");
    let published = number("published");
    let address = fields.optional_text("host_ip").unwrap_or_default();
    let protocol = fields.optional_text("protocol").unwrap_or("tcp".to_owned());
    // Swarm has two modes; on one host they are the same.
    if let Some(mode) = fields.optional_text("mode")
        && !matches!(mode.as_str(), "ingress" | "host")
    {
        report.add(&node.location, "`mode` is `ingress` or `host`");
    }
    // For people only.
    let _ = fields.optional_text("name");
    fields.finish_but_extensions();
    let protocol = protocol_named(&protocol);
    if protocol.is_none() {
        report.add(&node.location, "the protocol is `tcp` or `udp`");
    }
    let address = host_address(&address);
    if address.is_none() {
        report.add(&node.location, "`host_ip` must be an IP address");
    }
    Some(PublishedPort {
        host_address: address?,
        host_port: published.map_or(0, u32::from),
        container_port: target?.into(),
        protocol: protocol?.into(),
    })
}

fn protocol_named(name: &str) -> Option<PortProtocol> {
    match name.to_ascii_lowercase().as_str() {
        "tcp" => Some(PortProtocol::Tcp),
        "udp" => Some(PortProtocol::Udp),
        _ => None,
    }
}

fn host_address(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(String::new());
    }
    let literal = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    literal
        .parse::<IpAddr>()
        .ok()
        .map(|address| address.to_string())
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| -> Option<u16> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|port| digits && *port > 0)
    };
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        short(text)
            .unwrap_or_else(|rule| panic!("{text}: {rule}"))
            .into_iter()
            .map(|port| {
                let protocol = if port.protocol() == PortProtocol::Udp {
                    "udp"
                } else {
                    "tcp"
                };
                format!(
                    "{}|{}|{}|{protocol}",
                    port.host_address, port.host_port, port.container_port
                )
            })
            .collect()
    }

    #[test]
    fn short_forms_are_read() {
        assert_eq!(shown("80"), ["|0|80|tcp"]);
        assert_eq!(shown("8080:80"), ["|8080|80|tcp"]);
        assert_eq!(shown("50180:50180/udp"), ["|50180|50180|udp"]);
        assert_eq!(
            shown("192.168.1.20:8090:8090"),
            ["192.168.1.20|8090|8090|tcp"]
        );
        assert_eq!(shown("[::1]:80:81"), ["::1|80|81|tcp"]);
        assert_eq!(shown("127.0.0.1::80"), ["127.0.0.1|0|80|tcp"]);
        assert_eq!(shown("3000-3001"), ["|0|3000|tcp", "|0|3001|tcp"]);
        assert_eq!(shown("9090-9091:80-81"), ["|9090|80|tcp", "|9091|81|tcp"]);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "",
            "x",
            "0",
            "65536",
            "80/sctp",
            "a:80",
            "1.2.3.4.5:1:1",
            "1-3:1-2",
            "3-1",
            "80:",
            "+80",
            "1-60000",
        ] {
            assert!(short(text).is_err(), "{text}");
        }
    }
}
