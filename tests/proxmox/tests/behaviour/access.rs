//! facts §1.8: who may do what.

use omni_scale_proxmox_simulator::{Entry, Token};
use serde_json::json;

use crate::support::{Lab, NET};

const TOKEN: &str = "few@pve!rights=22222222-2222-3333-4444-555555555555";

/// A token with these roles on these paths.
fn with(grants: &[(&str, &str)]) -> Lab {
    let mut lab = Lab::new().with_token(TOKEN);
    let (id, secret) = TOKEN.split_once('=').expect("a token");
    let token = Token {
        secret: secret.to_owned(),
        privilege_separation: true,
    };
    lab.cluster.access.tokens.insert(id.to_owned(), token);
    for (path, role) in grants {
        for to in ["few@pve", id] {
            let entry = Entry {
                path: (*path).to_owned(),
                to: to.to_owned(),
                role: (*role).to_owned(),
                propagate: true,
            };
            lab.cluster.access.entries.push(entry);
        }
    }
    lab
}

fn missing(lab: &mut Lab, fields: &[(&str, &str)]) -> String {
    let answer = lab.post("/nodes/pve1/qemu", fields);
    assert_eq!(answer.status, 403, "{}", answer.reason);
    answer.reason
}

/// pve-access-control `RPCEnvironment.pm` :300.
#[test]
fn a_create_without_vm_allocate_says_nothing_more() {
    let mut lab = with(&[("/nodes", "PVEAuditor")]);
    assert_eq!(
        missing(&mut lab, &[("vmid", "100")]),
        "Permission check failed"
    );
}

/// facts §1.8: neither bridges nor storages come with PVEVMAdmin.
#[test]
fn a_bridge_and_a_storage_need_rights_of_their_own() {
    let mut lab = with(&[("/vms", "PVEVMAdmin")]);
    assert_eq!(
        missing(&mut lab, &[("vmid", "100"), ("net0", NET)]),
        "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)"
    );
    assert_eq!(
        missing(
            &mut lab,
            &[("vmid", "100"), ("net0", "virtio,bridge=vmbr0,tag=7")]
        ),
        "Permission check failed (/sdn/zones/localnetwork/vmbr0/7, SDN.Use)"
    );
    assert_eq!(
        missing(&mut lab, &[("vmid", "100"), ("scsi0", "fast:8")]),
        "Permission check failed (/storage/fast, Datastore.AllocateSpace)"
    );
    let grants = [
        ("/vms", "PVEVMAdmin"),
        ("/storage", "PVEDatastoreUser"),
        ("/sdn", "PVESDNUser"),
    ];
    with(&grants).vm("pve1", 100);
}

/// facts §1.8 (pve-guest-common `GuestHelpers.pm` :314): tags at create are checked in the worker, on the VM.
#[test]
fn tags_without_the_right_fail_the_task() {
    let mut lab = with(&[("/vms", "Allocator")]);
    let role = ["VM.Allocate", "VM.Audit", "VM.Config.CPU"]
        .into_iter()
        .map(str::to_owned)
        .collect();
    lab.cluster
        .access
        .roles
        .insert("Allocator".to_owned(), role);
    let answer = lab.post(
        "/nodes/pve1/qemu",
        &[("vmid", "100"), ("cores", "1"), ("tags", "a")],
    );
    assert_eq!(
        lab.ends(&answer),
        "unable to create VM 100 - 403 Permission check failed (/vms/100, VM.Config.Options)"
    );
}

/// facts §1.8: datacenter.cfg may forbid free tags.
#[test]
fn free_tags_may_be_forbidden() {
    let mut lab = with(&[("/vms", "PVEVMAdmin")]);
    lab.cluster.settings.registered_tags = Some(vec!["known".to_owned()]);
    lab.done("/nodes/pve1/qemu", &[("vmid", "100"), ("tags", "known")]);
    let answer = lab.post("/nodes/pve1/qemu", &[("vmid", "101"), ("tags", "free")]);
    assert!(
        lab.ends(&answer)
            .ends_with("(/, Sys.Modify for modifying tag 'free')")
    );
}

/// facts §1.8 (pve-access-control `API2/AccessControl.pm`): the value is the propagate flag, presence is the right.
#[test]
fn a_token_can_read_its_own_rights() {
    let mut lab = with(&[("/storage/fast", "PVEDatastoreUser")]);
    let all = lab.data("/access/permissions");
    assert_eq!(
        all["/storage/fast"],
        json!({"Datastore.AllocateSpace": 1, "Datastore.Audit": 1})
    );
    let one = lab.data("/access/permissions?path=%2Fstorage%2Flocal");
    assert_eq!(one, json!({"/storage/local": {}}));
}

/// facts §1.8: what one may not see is left out, not refused.
#[test]
fn what_may_not_be_seen_is_left_out() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    let mut few = with(&[("/nodes", "PVEAuditor")]);
    std::mem::swap(&mut lab.cluster.vms, &mut few.cluster.vms);
    assert_eq!(few.data("/cluster/resources?type=vm"), json!([]));
    assert_eq!(few.data("/nodes/pve1/network?type=bridge"), json!([]));
    assert_eq!(few.data("/nodes/pve1/storage"), json!([]));
    let answer = few.get("/nodes/pve1/qemu/100/config");
    assert_eq!(
        answer.reason,
        "Permission check failed (/vms/100, VM.Audit)"
    );
}

/// facts §1.8: download-url also needs the network of the node, or rights on `/`.
#[test]
fn a_download_needs_the_nodes_network() {
    let mut lab = with(&[("/storage/local", "PVEDatastoreAdmin")]);
    let fields = [
        ("content", "iso"),
        ("filename", "a.iso"),
        ("url", "https://images.example/a.iso"),
    ];
    let answer = lab.post("/nodes/pve1/storage/local/download-url", &fields);
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (403, "Permission check failed")
    );
    let mut lab = with(&[
        ("/storage/local", "PVEDatastoreAdmin"),
        ("/nodes", "Administrator"),
    ]);
    assert_eq!(
        lab.post("/nodes/pve1/storage/local/download-url", &fields)
            .status,
        200
    );
}

/// pve-storage `API2/Storage/Content.pm` `delete`: AllocateTemplate lets a file in, but not out.
#[test]
fn a_file_is_removed_with_datastore_allocate() {
    let mut lab = with(&[("/storage/local", "Filler")]);
    let role = ["Datastore.AllocateTemplate", "Datastore.Audit"]
        .into_iter()
        .map(str::to_owned)
        .collect();
    lab.cluster.access.roles.insert("Filler".to_owned(), role);
    let answer = lab.delete("/nodes/pve1/storage/local/content/local%3Aiso%2Fa.iso");
    assert_eq!(
        answer.reason,
        "Permission check failed (/storage/local, Datastore.Allocate)"
    );
}

/// facts §1.8: 9.x asks for VM.GuestAgent.Audit.
#[test]
fn the_guest_agent_needs_a_right_of_its_own() {
    let mut lab = with(&[("/vms", "PVEVMUser")]);
    let answer = lab.get("/nodes/pve1/qemu/100/agent/network-get-interfaces");
    assert_eq!(
        answer.reason,
        "Permission check failed (/vms/100, VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted)"
    );
}
