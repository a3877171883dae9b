//! What is known of the inside of a VM: the guest agent's answer, and the cloud-init data that Proxmox VE makes itself.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::answer::{Handled, Success};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::refusal::Refusal;

impl Cluster {
    /// facts §1.8: three ways not to answer, all 500.
    pub(crate) fn interfaces(&self, call: &Call) -> Handled {
        let vmid = call.vmid();
        let vm = self.vm_on(call.node(), vmid).map_err(Refusal::Died)?;
        if !vm.agent_enabled() {
            return Err(Refusal::died("No QEMU guest agent configured"));
        }
        if !vm.is_running() {
            return Err(Refusal::died(format!("VM {vmid} is not running")));
        }
        let interfaces = vm
            .guest
            .interfaces
            .as_ref()
            .ok_or_else(|| Refusal::died("QEMU guest agent is not running"))?;
        let rows: Vec<Value> = interfaces
            .iter()
            .map(|interface| {
                let addresses: Vec<Value> = interface
                    .addresses
                    .iter()
                    .map(|(address, prefix)| {
                        json!({
                            "ip-address": address.to_string(),
                            "ip-address-type": if address.is_ipv4() { "ipv4" } else { "ipv6" },
                            "prefix": prefix,
                        })
                    })
                    .collect();
                json!({"name": interface.name, "hardware-address": interface.mac, "ip-addresses": addresses})
            })
            .collect();
        Ok(Success::new(json!({ "result": rows })))
    }

    /// facts §5.2: the DNS of the network part is the configuration's, else the **node's**, each of the two on its own
    /// (qemu-server `Cloudinit.pm` `get_dns_conf`, :127).
    pub(crate) fn cloud_init(&self, call: &Call) -> Handled {
        let (node, vmid) = (call.node(), call.vmid());
        let vm = self.vm_on(node, vmid).map_err(Refusal::Died)?;
        let get = |key: &str| vm.config.get(key).map(String::as_str);
        let text = match call.get("type") {
            Some("network") => {
                let host = self.nodes.get(node).cloned().unwrap_or_default();
                let servers = get("nameserver").map_or(host.dns, |text| {
                    crate::schema::list(text).map(str::to_owned).collect()
                });
                let search = get("searchdomain")
                    .map(str::to_owned)
                    .or(host.search)
                    .unwrap_or_default();
                let mut text = "version: 1\nconfig:\n".to_owned();
                for key in vm.config.keys().filter(|key| key.starts_with("net")) {
                    let number = key.trim_start_matches("net");
                    let _ = write!(
                        text,
                        "    - type: physical\n      name: eth{number}\n      subnets:\n"
                    );
                    match get(&format!("ipconfig{number}")) {
                        Some(address) if !address.contains("dhcp") => {
                            let address = address
                                .trim_start_matches("ip=")
                                .split(',')
                                .next()
                                .unwrap_or_default();
                            let _ = write!(
                                text,
                                "      - type: static\n        address: '{address}'\n"
                            );
                        }
                        _ => text.push_str("      - type: dhcp4\n"),
                    }
                }
                text.push_str("    - type: nameserver\n      address:\n");
                for server in servers {
                    let _ = writeln!(text, "      - '{server}'");
                }
                text + &format!("      search:\n      - '{search}'\n")
            }
            Some("meta") => format!("instance-id: {}\n", vm.digest()),
            _ => {
                let mut text = format!(
                    "#cloud-config\nhostname: {}\nmanage_etc_hosts: true\n",
                    vm.shown_name()
                );
                if let Some(user) = get("ciuser") {
                    let _ = writeln!(text, "user: {user}");
                }
                let upgrade = get("ciupgrade") != Some("0");
                text + &format!("chpasswd:\n  expire: False\npackage_upgrade: {upgrade}\n")
            }
        };
        Ok(Success::new(text))
    }
}
