//! NoCloud `network-config`. Name servers and search domain are always given: those that a
//! machine would otherwise get rarely know the names of the site.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::deployment::{HostMachine, Proxmox};

/// For a host, in version 2.
///
/// Names of interfaces differ between firmwares and releases, so the first one that is
/// wired is meant, whatever it is called.
pub fn host_network_configuration(proxmox: &Proxmox, machine: &HostMachine) -> String {
    let mut text = String::from(
        "version: 2\n\
         ethernets:\n  \
           lan:\n    \
             match:\n      \
               name: \"e*\"\n",
    );
    match &machine.address {
        None => text.push_str(
            "    dhcp4: true\n    \
               dhcp4-overrides:\n      \
                 use-dns: false\n      \
                 use-domains: false\n",
        ),
        Some(given) => {
            let everywhere = match given.gateway {
                IpAddr::V4(_) => "0.0.0.0/0",
                IpAddr::V6(_) => "::/0",
            };
            let _ = write!(
                text,
                "    addresses:\n      \
                   - \"{}/{}\"\n    \
                   routes:\n      \
                   - to: \"{everywhere}\"\n        \
                     via: \"{}\"\n",
                given.address, given.prefix_length, given.gateway
            );
        }
    }
    text.push_str("    nameservers:\n      addresses:\n");
    for server in &proxmox.nameservers {
        let _ = writeln!(text, "        - \"{server}\"");
    }
    let _ = write!(text, "      search:\n        - \"{}\"\n", proxmox.search);
    text
}

/// For Talos, in version 1. It asks every interface's DHCP server by itself, unless one is
/// named, and how its interfaces are called nobody knows before it boots.
pub fn talos_network_configuration(proxmox: &Proxmox) -> String {
    let mut text = String::from("version: 1\nconfig:\n  - type: nameserver\n    address:\n");
    for server in &proxmox.nameservers {
        let _ = writeln!(text, "      - \"{server}\"");
    }
    let _ = write!(text, "    search:\n      - \"{}\"\n", proxmox.search);
    text
}
