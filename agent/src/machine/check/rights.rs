//! Which privileges the token lacks, all at once: pure.
//!
//! Source: qemu-server's and pve-storage's own checks; see the table of `docs/security.md`.

use std::collections::BTreeSet;

use omni_scale_proxmox::Permissions;

use super::Report;
use super::needs::Needs;

/// What making and looking after machines needs on all VMs.
const ON_VMS: [&str; 10] = [
    "VM.Allocate",
    "VM.Audit",
    "VM.PowerMgmt",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
];

/// Below this stand the zones, and below each zone its bridges or vnets.
const ZONES: &str = "/sdn/zones/";
/// The zone of the nodes' own bridges.
const LOCAL: &str = "localnetwork";

/// The zones that a bridge may be of: a vnet has one of its own, whose name only the token's paths tell. A path that
/// ends at the zone says nothing of its vnets, and counts where a node shows one of the name.
pub(super) fn zones_of<'a>(
    bridge: &'a str,
    is_vnet: bool,
    permissions: &'a Permissions,
) -> impl Iterator<Item = &'a str> {
    let below = permissions
        .paths()
        .filter_map(|path| path.strip_prefix(ZONES));
    let named = below.filter_map(move |path| {
        let mut parts = path.split('/');
        let zone = parts.next()?;
        let fits = parts.next().map_or(is_vnet, |part| part == bridge);
        (fits && zone != LOCAL).then_some(zone)
    });
    named.chain([LOCAL])
}

/// Where the use of a bridge, or of one VLAN on it, is given.
fn below(zone: &str, bridge: &str, vlan: u32) -> String {
    match vlan {
        0 => format!("{ZONES}{zone}/{bridge}"),
        vlan => format!("{ZONES}{zone}/{bridge}/{vlan}"),
    }
}

fn may_use(bridge: &str, vlan: u32, is_vnet: bool, permissions: &Permissions) -> bool {
    zones_of(bridge, is_vnet, permissions)
        .any(|zone| permissions.holds(&below(zone, bridge, vlan), "SDN.Use"))
}

pub(super) fn check(
    needs: &Needs,
    images_missing: &BTreeSet<String>,
    permissions: &Permissions,
    report: &mut Report,
) {
    let vnets = std::mem::take(&mut report.vnets);
    let mut need = |path: &str, privileges: &[&str]| {
        for privilege in privileges {
            if !permissions.holds(path, privilege) {
                report.rights = true;
                report.missing(format!("{path}: {privilege}"));
            }
        }
    };
    need("/vms", &ON_VMS);
    for (node, needs) in needs.each() {
        let path = format!("/nodes/{node}");
        need(&path, &["Sys.Audit"]);
        let modifies = permissions.holds("/", "Sys.Audit") && permissions.holds("/", "Sys.Modify");
        if images_missing.contains(node) && !modifies {
            need(&path, &["Sys.AccessNetwork"]);
        }
        for (storage, contents) in &needs.storages {
            let path = format!("/storage/{storage}");
            if contents.contains("images") {
                need(&path, &["Datastore.AllocateSpace"]);
            }
            if contents.contains("iso") || contents.contains("import") {
                need(&path, &["Datastore.AllocateTemplate"]);
                if !permissions.holds(&path, "Datastore.AllocateSpace") {
                    need(&path, &["Datastore.Audit"]);
                }
            }
        }
        for storage in &needs.iso_storages {
            // What deletes first-boot data again.
            need(&format!("/storage/{storage}"), &["Datastore.Allocate"]);
        }
        for (bridge, vlan) in &needs.networks {
            if !may_use(bridge, *vlan, vnets.contains(bridge), permissions) {
                need(&below(LOCAL, bridge, *vlan), &["SDN.Use"]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    /// Whether a token that may use networks on `path` alone may use this one.
    fn may(path: &str, bridge: &str, vlan: u32, is_vnet: bool) -> bool {
        let permissions = json!({ "/sdn": {}, path: { "SDN.Use": 1 } });
        may_use(bridge, vlan, is_vnet, &from_value(permissions).unwrap())
    }

    #[test]
    fn a_bridge_is_used_below_the_zone_of_the_nodes_and_a_vnet_below_its_own() {
        for (path, bridge, vlan, is_vnet) in [
            ("/sdn/zones", "vmbr0", 0, false),
            ("/sdn/zones/localnetwork", "vmbr0", 0, false),
            ("/sdn/zones/localnetwork/vmbr0", "vmbr0", 7, false),
            ("/sdn/zones/localnetwork/vmbr0/7", "vmbr0", 7, false),
            ("/sdn/zones/office/vnet1", "vnet1", 0, false),
            ("/sdn/zones/office/vnet1", "vnet1", 7, false),
            ("/sdn/zones/office/vnet1/7", "vnet1", 7, false),
            ("/sdn/zones/office", "vnet1", 0, true),
        ] {
            assert!(may(path, bridge, vlan, is_vnet), "{path} {bridge} {vlan}");
        }
    }

    #[test]
    fn what_may_be_used_elsewhere_is_another_network() {
        for (path, bridge, vlan) in [
            ("/sdn/zones/localnetwork/vmbr0/7", "vmbr0", 0),
            ("/sdn/zones/office/vnet2", "vnet1", 0),
            ("/sdn/zones/office/vnet1/7", "vnet1", 8),
            ("/sdn/zones/office", "vmbr0", 0),
        ] {
            assert!(!may(path, bridge, vlan, false), "{path} {bridge} {vlan}");
        }
    }
}
