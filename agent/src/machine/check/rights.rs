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

pub(super) fn check(
    needs: &Needs,
    images_missing: &BTreeSet<String>,
    permissions: &Permissions,
    report: &mut Report,
) {
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
            let path = format!("/sdn/zones/localnetwork/{bridge}");
            match vlan {
                0 => need(&path, &["SDN.Use"]),
                vlan => need(&format!("{path}/{vlan}"), &["SDN.Use"]),
            }
        }
    }
}
