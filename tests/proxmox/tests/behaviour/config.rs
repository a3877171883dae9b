//! facts §1.5 and §1.6: configurations, disks, and what a running VM takes over.

use omni_scale_proxmox_simulator::Happening;
use serde_json::json;

use crate::support::{Lab, NET, fault_of};

const CONFIG: &str = "/nodes/pve1/qemu/100/config";
const RESIZE: &str = "/nodes/pve1/qemu/100/resize";

/// facts §1.6: PUT is at once and null, POST a task, or null with a delay that is long enough.
#[test]
fn a_change_is_a_task_only_with_post() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    assert_eq!(
        lab.put(CONFIG, &[("description", "one")]).data(),
        &json!(null)
    );
    assert_eq!(lab.data(CONFIG)["description"], "one");
    lab.done(CONFIG, &[("description", "two")]);
    let waited = lab.post(
        CONFIG,
        &[("description", "three"), ("background_delay", "5")],
    );
    assert_eq!(waited.data(), &json!(null));
    assert_eq!(lab.data(CONFIG)["description"], "three");
}

/// facts §1.6, §1.2: the digest is an optimistic lock.
#[test]
fn a_change_with_an_old_digest_is_refused() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    let digest = lab.data(CONFIG)["digest"].as_str().unwrap().to_owned();
    assert_eq!(
        lab.put(CONFIG, &[("digest", &digest), ("name", "b")])
            .status,
        200
    );
    let answer = lab.put(CONFIG, &[("digest", &digest), ("name", "c")]);
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (500, "checksum mismatch (file change by other user?)")
    );
    let resize = lab.put(
        RESIZE,
        &[("digest", &digest), ("disk", "scsi0"), ("size", "9G")],
    );
    assert_eq!(
        lab.ends(&resize),
        "checksum mismatch (file change by other user?)"
    );
}

/// facts §1.2: a lock that somebody else holds may last.
#[test]
fn a_locked_configuration_is_not_changed() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    let lock = Happening::ForeignLock {
        vmid: 100,
        lock: "backup".to_owned(),
        lasts: 5_000,
    };
    lab.cluster.happen(lock);
    let answer = lab.put(CONFIG, &[("name", "b")]);
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (500, "VM is locked (backup)")
    );
    let start = lab.post("/nodes/pve1/qemu/100/status/start", &[]);
    assert_eq!(lab.ends(&start), "VM is locked (backup)");
    lab.cluster.advance(5_000);
    assert_eq!(lab.put(CONFIG, &[("name", "b")]).status, 200);
}

/// facts §1.2 (pve-guest-common `AbstractConfig.pm` :332): a worker at work blocks a change for ten seconds.
#[test]
fn a_change_beside_a_worker_times_out() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    lab.post("/nodes/pve1/qemu/100/status/start", &[]);
    lab.cluster.advance(100);
    let outcome = lab.outcome(
        omni_scale_proxmox_simulator::Request::new(
            omni_scale_proxmox_simulator::Method::Put,
            CONFIG,
        )
        .form(&[("name", "b")]),
    );
    assert_eq!(outcome.after, 10_000);
    let answer = lab.put(CONFIG, &[("name", "b")]);
    assert_eq!(
        answer.reason,
        "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
    );
}

/// facts §1.6: what cannot be plugged waits for the next cold start.
#[test]
fn a_running_vm_keeps_what_cannot_be_plugged_as_pending() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    lab.done("/nodes/pve1/qemu/100/status/start", &[]);
    lab.put(CONFIG, &[("cores", "4"), ("name", "b")]);
    assert_eq!(lab.data(&format!("{CONFIG}?current=1")).get("cores"), None);
    assert_eq!(lab.data(CONFIG)["cores"], 4, "shown as if applied");
    assert_eq!(lab.data(&format!("{CONFIG}?current=1"))["name"], "b");
    let pending = lab.data("/nodes/pve1/qemu/100/pending");
    assert!(
        pending
            .as_array()
            .unwrap()
            .contains(&json!({"key": "cores", "pending": 4}))
    );
    lab.done("/nodes/pve1/qemu/100/status/stop", &[]);
    lab.done("/nodes/pve1/qemu/100/status/start", &[]);
    assert_eq!(lab.data(&format!("{CONFIG}?current=1"))["cores"], 4);
}

/// qemu-server `Qemu.pm` `resize_vm`: an absolute size can be asked for again, `+` cannot, and nothing shrinks.
#[test]
fn an_absolute_resize_is_idempotent() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    for _ in 0..2 {
        let answer = lab.put(RESIZE, &[("disk", "scsi0"), ("size", "16G")]);
        assert_eq!(lab.ends(&answer), "OK");
    }
    assert_eq!(lab.data(CONFIG)["scsi0"], "fast:vm-100-disk-0,size=16G");
    for _ in 0..2 {
        let answer = lab.put(RESIZE, &[("disk", "scsi0"), ("size", "+1G")]);
        assert_eq!(lab.ends(&answer), "OK");
    }
    assert_eq!(lab.data(CONFIG)["scsi0"], "fast:vm-100-disk-0,size=18G");
    let shrink = lab.put(RESIZE, &[("disk", "scsi0"), ("size", "8G")]);
    assert_eq!(lab.ends(&shrink), "shrinking disks is not supported");
    let absent = lab.put(RESIZE, &[("disk", "scsi1"), ("size", "8G")]);
    assert_eq!(lab.ends(&absent), "disk 'scsi1' does not exist");
    let letters = lab.put(RESIZE, &[("disk", "scsi0"), ("size", "64GB")]);
    assert_eq!(
        fault_of(&letters, "size"),
        "value does not match the regex pattern"
    );
}

/// qemu-server `Qemu.pm` `$update_vm_api`: what a change may not say.
#[test]
fn a_change_that_makes_no_sense_is_refused() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    assert_eq!(lab.put(CONFIG, &[]).reason, "no options specified");
    let unknown = lab.put(CONFIG, &[("delete", "colour")]);
    assert_eq!(fault_of(&unknown, "delete"), "unknown option 'colour'");
    let both = lab.put(CONFIG, &[("delete", "name"), ("name", "b")]);
    assert_eq!(
        fault_of(&both, "delete"),
        "you can't use '-name' and -delete name' at the same time"
    );
    let boot = lab.put(CONFIG, &[("boot", "order=scsi7")]);
    assert_eq!(
        boot.reason,
        "invalid bootorder: device 'scsi7' does not exist'"
    );
}

/// qemu-server: a disk that is detached becomes unused, a CD-ROM goes; both leave the boot order.
#[test]
fn a_detached_disk_is_kept_as_unused() {
    let mut lab = Lab::new();
    let fields = [
        ("vmid", "100"),
        ("scsi0", "fast:8"),
        ("ide2", "none,media=cdrom"),
        ("boot", "order=scsi0;ide2"),
    ];
    lab.done("/nodes/pve1/qemu", &fields);
    lab.put(CONFIG, &[("delete", "ide2")]);
    lab.put(CONFIG, &[("delete", "scsi0")]);
    let config = lab.data(CONFIG);
    assert_eq!(
        (&config["unused0"], &config["boot"]),
        (&json!("fast:vm-100-disk-0"), &json!("order="))
    );
    lab.put(CONFIG, &[("delete", "unused0")]);
    assert_eq!(lab.data("/nodes/pve1/storage/fast/content"), json!([]));
}

/// facts §5.2: DNS that is not set is the **node's**, each of the two by itself.
#[test]
fn cloud_init_inherits_the_dns_of_the_node() {
    let mut lab = Lab::new();
    let fields = [
        ("vmid", "100"),
        ("net0", NET),
        ("ipconfig0", "ip=dhcp"),
        ("searchdomain", "tail.example"),
    ];
    lab.done("/nodes/pve1/qemu", &fields);
    let dump = lab.data("/nodes/pve1/qemu/100/cloudinit/dump?type=network");
    let dump = dump.as_str().unwrap();
    assert!(
        dump.contains("'192.0.2.53'") && dump.contains("'tail.example'"),
        "{dump}"
    );
    lab.put(CONFIG, &[("nameserver", "198.51.100.1")]);
    let dump = lab.data("/nodes/pve1/qemu/100/cloudinit/dump?type=network");
    assert!(!dump.as_str().unwrap().contains("192.0.2.53"));
}

/// facts §1.5: an ISO is ejected by an empty drive, also while the VM runs.
#[test]
fn a_medium_is_ejected_from_a_running_vm() {
    let mut lab = Lab::new();
    lab.done(
        "/nodes/pve1/qemu",
        &[("vmid", "100"), ("ide2", "fast:cloudinit")],
    );
    lab.done("/nodes/pve1/qemu/100/status/start", &[]);
    lab.put(CONFIG, &[("ide2", "none,media=cdrom")]);
    assert_eq!(
        lab.data(&format!("{CONFIG}?current=1"))["ide2"],
        "none,media=cdrom"
    );
}

/// facts §1.6: protection keeps disks and VM.
#[test]
fn protection_refuses_removal() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    lab.put(CONFIG, &[("protection", "1")]);
    let disk = lab.put(CONFIG, &[("delete", "scsi0")]);
    assert_eq!(
        disk.reason,
        "can't remove drive 'scsi0' - protection mode enabled"
    );
    let vm = lab.delete("/nodes/pve1/qemu/100");
    assert_eq!(vm.reason, "can't remove VM 100 - protection mode enabled");
}
