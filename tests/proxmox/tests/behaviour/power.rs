//! facts §1.6: start, stop, shutdown, delete.

use omni_scale_proxmox_simulator::{Happening, Interface, PowerEvent};
use serde_json::json;

use crate::support::{Lab, NET, fault_of};

const VM: &str = "/nodes/pve1/qemu/100";

fn status(lab: &mut Lab) -> String {
    lab.data("/nodes/pve1/qemu/100/status/current")["status"]
        .as_str()
        .expect("a status")
        .to_owned()
}

/// qemu-server `QemuServer.pm` :5531: what is wrong with a start is wrong in its task.
#[test]
fn the_faults_of_a_start_are_the_tasks() {
    let mut lab = Lab::new();
    let absent = lab.post(&format!("{VM}/status/start"), &[]);
    assert_eq!(
        lab.ends(&absent),
        "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"
    );
    lab.vm("pve1", 100);
    lab.done(&format!("{VM}/status/start"), &[]);
    assert_eq!(status(&mut lab), "running");
    let again = lab.post(&format!("{VM}/status/start"), &[]);
    assert_eq!(lab.ends(&again), "VM 100 already running");
}

/// qemu-server `QemuServer.pm` `vm_stop`: a VM that does not run is stopped already.
#[test]
fn a_stop_can_be_repeated() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    lab.done(&format!("{VM}/status/start"), &[]);
    for _ in 0..2 {
        lab.done(&format!("{VM}/status/stop"), &[]);
        assert_eq!(status(&mut lab), "stopped");
    }
}

/// facts §1.6: a guest that does not answer lets its shutdown fail, unless it is forced.
#[test]
fn a_shutdown_that_is_not_obeyed_times_out() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    lab.cluster.vms.get_mut(&100).unwrap().guest.shutdown_ms = None;
    lab.done(&format!("{VM}/status/start"), &[]);
    let began = lab.cluster.now();
    let answer = lab.post(&format!("{VM}/status/shutdown"), &[("timeout", "20")]);
    assert_eq!(lab.ends(&answer), "VM quit/powerdown failed - got timeout");
    assert!(lab.cluster.now() - began >= 20_000);
    assert_eq!(status(&mut lab), "running");
    lab.done(
        &format!("{VM}/status/shutdown"),
        &[("timeout", "5"), ("forceStop", "1")],
    );
    assert_eq!(status(&mut lab), "stopped");
}

/// facts §1.6 (karpenter-provider-proxmox#188): a running VM is not deleted, so a stop must be waited for.
#[test]
fn a_running_vm_is_not_deleted() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    lab.done(&format!("{VM}/status/start"), &[]);
    let stop = lab.post(&format!("{VM}/status/stop"), &[]);
    let answer = lab.delete(VM);
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (500, "VM 100 is running - destroy failed")
    );
    assert_eq!(lab.ends(&stop), "OK");
    let answer = lab.delete(&format!("{VM}?purge=1"));
    assert_eq!(lab.ends(&answer), "OK");
    assert_eq!(lab.data("/nodes/pve1/storage/fast/content"), json!([]));
    let gone = lab.delete(VM);
    assert_eq!(
        gone.reason,
        "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"
    );
}

/// facts §1.6: destroy-unreferenced-disks takes every disk of the VMID, the config's or not.
#[test]
fn unreferenced_disks_go_only_when_asked() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    lab.cluster
        .vms
        .get_mut(&100)
        .unwrap()
        .config
        .remove("scsi0");
    let keep = lab.delete(VM);
    assert_eq!(lab.ends(&keep), "OK");
    assert_eq!(
        lab.data("/nodes/pve1/storage/fast/content")
            .as_array()
            .unwrap()
            .len(),
        1
    );
    lab.done("/nodes/pve1/qemu", &[("vmid", "100")]);
    let all = lab.delete(&format!("{VM}?destroy-unreferenced-disks=1"));
    assert_eq!(lab.ends(&all), "OK");
    assert_eq!(lab.data("/nodes/pve1/storage/fast/content"), json!([]));
}

/// qemu-server `Qemu.pm` :2823: skiplock is root's, and no token is root.
#[test]
fn no_token_may_skip_a_lock() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    for path in ["status/start", "status/stop", "status/shutdown"] {
        let answer = lab.post(&format!("{VM}/{path}"), &[("skiplock", "1")]);
        assert_eq!(
            fault_of(&answer, "skiplock"),
            "Only root may use this option."
        );
    }
}

/// facts §5.1: OVMF without a disk for its variables is a warning, and a warning is a success.
#[test]
fn a_start_without_an_efi_disk_ends_with_a_warning() {
    let mut lab = Lab::new();
    lab.done("/nodes/pve1/qemu", &[("vmid", "100"), ("bios", "ovmf")]);
    let answer = lab.post(&format!("{VM}/status/start"), &[]);
    assert_eq!(lab.ends(&answer), "WARNINGS: 1");
    assert_eq!(status(&mut lab), "running");
}

/// facts §1.6: with HA the task only asks.
#[test]
fn an_ha_vm_starts_after_its_task() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    lab.cluster.vms.get_mut(&100).unwrap().ha_managed = true;
    lab.done(&format!("{VM}/status/start"), &[]);
    assert_eq!(status(&mut lab), "stopped");
    lab.cluster.advance(10_000);
    assert_eq!(status(&mut lab), "running");
    lab.done(&format!("{VM}/status/stop"), &[]);
    lab.cluster.advance(10_000);
    let answer = lab.delete(VM);
    assert_eq!(
        answer.reason,
        "unable to remove VM 100 - used in HA resources and purge parameter not set."
    );
}

/// A VM too large for its node does not start.
#[test]
fn a_node_without_memory_starts_nothing_more() {
    let mut lab = Lab::new();
    lab.done("/nodes/pve1/qemu", &[("vmid", "100"), ("memory", "65536")]);
    let answer = lab.post(&format!("{VM}/status/start"), &[]);
    assert_eq!(lab.ends(&answer), "start failed: QEMU exited with code 1");
}

/// facts §4 (oip#75, capmox#848): a VM that was migrated is on another node, and only there.
#[test]
fn a_migrated_vm_is_found_on_its_new_node_only() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    lab.cluster.happen(Happening::ForeignMigrate {
        vmid: 100,
        to: "pve3".to_owned(),
    });
    let answer = lab.get("/nodes/pve1/qemu/100/config");
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (
            500,
            "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"
        )
    );
    assert_eq!(lab.data("/nodes/pve3/qemu/100/config")["name"], "a");
    let rows = lab.data("/cluster/resources?type=vm");
    assert_eq!(rows[0]["node"], "pve3");
    lab.done("/nodes/pve3/qemu/100/status/start", &[]);
}

/// facts §1.8: three ways in which the guest agent does not answer, and one in which it does.
#[test]
fn the_guest_agent_answers_when_it_runs() {
    let mut lab = Lab::new();
    let path = format!("{VM}/agent/network-get-interfaces");
    lab.vm("pve1", 100);
    assert_eq!(lab.get(&path).reason, "No QEMU guest agent configured");
    lab.put(&format!("{VM}/config"), &[("agent", "1")]);
    assert_eq!(lab.get(&path).reason, "VM 100 is not running");
    lab.done(&format!("{VM}/status/start"), &[]);
    assert_eq!(lab.get(&path).reason, "QEMU guest agent is not running");
    let address = "192.0.2.10".parse().unwrap();
    lab.cluster.vms.get_mut(&100).unwrap().guest.interfaces = Some(vec![Interface {
        name: "eth0".into(),
        mac: "bc:24:11:00:00:01".into(),
        addresses: vec![(address, 24)],
    }]);
    let data = lab.data(&path);
    let expected = json!({"ip-address": "192.0.2.10", "ip-address-type": "ipv4", "prefix": 24});
    assert_eq!(data["result"][0]["ip-addresses"][0], expected);
}

/// The lab's machines: told of every start and stop, with the very bytes of the ISO.
#[test]
fn a_start_hands_over_the_iso_that_was_uploaded() {
    let mut lab = Lab::new();
    crate::images::upload(&mut lab, "seed.iso", b"the bytes");
    let fields = [
        ("vmid", "100"),
        ("net0", NET),
        ("ide2", "local:iso/seed.iso,media=cdrom"),
    ];
    lab.done("/nodes/pve1/qemu", &fields);
    lab.done(&format!("{VM}/status/start"), &[]);
    let events = lab.cluster.take_power_events();
    let [PowerEvent::Started(facts)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(facts.iso.as_deref(), Some(b"the bytes".as_slice()));
    lab.cluster.happen(Happening::NodeCrash {
        node: "pve1".to_owned(),
        down: 1,
    });
    assert!(matches!(
        lab.cluster.take_power_events().as_slice(),
        [PowerEvent::Stopped(_)]
    ));
}
