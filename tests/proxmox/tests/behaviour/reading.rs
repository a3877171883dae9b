//! facts §1.8: reading state, and what of it is stale.

use omni_scale_proxmox_simulator::Happening;
use serde_json::json;

use crate::support::Lab;

/// pve-manager `API2Tools.pm` :81, oip#56: names are what was last broadcast.
#[test]
fn a_recycled_vmid_shows_the_old_name_for_a_while() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    lab.cluster.advance(10_000);
    assert_eq!(lab.data("/cluster/resources?type=vm")[0]["name"], "a");
    lab.cluster.happen(Happening::ForeignRecreate {
        vmid: 100,
        name: "another".to_owned(),
    });
    assert_eq!(
        lab.data("/cluster/resources?type=vm")[0]["name"],
        "a",
        "the old VM's"
    );
    assert_eq!(lab.data("/nodes/pve1/qemu/100/config")["name"], "another");
    lab.cluster.advance(10_000);
    assert_eq!(lab.data("/cluster/resources?type=vm")[0]["name"], "another");
}

/// facts §1.8: a VM that no node has spoken of is `unknown`, its tags and lock are not.
#[test]
fn a_new_vm_is_unknown_but_its_tags_are_live() {
    let mut lab = Lab::new();
    lab.cluster.advance(1);
    lab.done(
        "/nodes/pve1/qemu",
        &[("vmid", "100"), ("name", "a"), ("tags", "omni-scale")],
    );
    let row = lab.data("/cluster/resources?type=vm")[0].clone();
    assert_eq!(
        (&row["status"], row.get("name"), &row["tags"]),
        (&json!("unknown"), None, &json!("omni-scale"))
    );
    lab.cluster.happen(Happening::ForeignLock {
        vmid: 100,
        lock: "backup".to_owned(),
        lasts: 0,
    });
    assert_eq!(lab.data("/cluster/resources?type=vm")[0]["lock"], "backup");
}

/// facts §1.8: state of a running VM comes late too.
#[test]
fn a_started_vm_is_shown_as_stopped_for_a_while() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    lab.cluster.advance(10_000);
    lab.done("/nodes/pve1/qemu/100/status/start", &[]);
    assert_eq!(
        lab.data("/cluster/resources?type=vm")[0]["status"],
        "stopped"
    );
    assert_eq!(
        lab.data("/nodes/pve1/qemu/100/status/current")["status"],
        "running"
    );
}

#[test]
fn nodes_tell_their_memory_and_resolvers() {
    let mut lab = Lab::new();
    lab.done("/nodes/pve1/qemu", &[("vmid", "100"), ("memory", "4096")]);
    let before = lab.data("/nodes/pve1/status")["memory"]["free"]
        .as_u64()
        .unwrap();
    lab.done("/nodes/pve1/qemu/100/status/start", &[]);
    let after = lab.data("/nodes/pve1/status")["memory"]["free"]
        .as_u64()
        .unwrap();
    assert_eq!(before - after, 4 << 30);
    assert_eq!(
        lab.data("/nodes/pve1/dns"),
        json!({"dns1": "192.0.2.53", "search": "lan.example"})
    );
    assert_eq!(
        lab.data("/nodes/pve1/network?type=any_bridge")[0]["iface"],
        "vmbr0"
    );
    assert_eq!(lab.data("/version")["release"], "9.2");
    let row = lab.data("/nodes")[0].clone();
    assert_eq!(
        (&row["node"], &row["status"]),
        (&json!("pve1"), &json!("online"))
    );
}
