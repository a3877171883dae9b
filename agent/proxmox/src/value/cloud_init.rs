//! Proxmox's own cloud-init drive: for guests that need no more than its fixed set of keys.

use std::{collections::BTreeMap, net::IpAddr};

use super::{IpConfig, SshKeys};

/// What Proxmox writes on its drive. Resolver and search domain are not optional: whichever is left out, the guest
/// inherits from the host's `resolv.conf`, even with DHCP (qemu-server, Cloudinit.pm).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudInit {
    /// The user who gets the keys.
    pub user: String,
    /// Who may log in.
    pub keys: SshKeys,
    /// By the number of the interface.
    pub addresses: BTreeMap<u8, IpConfig>,
    /// Whom the guest asks for names; at least one.
    pub nameservers: Vec<IpAddr>,
    /// Where the guest looks for short names.
    pub search_domain: String,
}

impl CloudInit {
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let servers: Vec<String> = self.nameservers.iter().map(ToString::to_string).collect();
        let mut parameters = vec![
            ("citype", "nocloud".to_owned()),
            ("ciuser", self.user.clone()),
            // By default the first boot upgrades every package, and reboots.
            ("ciupgrade", "0".to_owned()),
            ("sshkeys", self.keys.to_string()),
            ("nameserver", servers.join(" ")),
            ("searchdomain", self.search_domain.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect::<Vec<_>>();
        let addresses = self.addresses.iter();
        parameters.extend(
            addresses.map(|(number, address)| (format!("ipconfig{number}"), address.to_string())),
        );
        parameters
    }
}
