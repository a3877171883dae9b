//! facts §1.4: creating VMs.

use omni_scale_proxmox_simulator::{Fault, Happening, Method, Request, Rule};
use serde_json::json;

use crate::support::{IMAGE, Lab, NET, fault_of};

const CREATE: &str = "/nodes/pve1/qemu";

/// qemu-server `Qemu.pm` :1374, pve-guest-common `AbstractConfig.pm` :254: POST is the compare-and-swap.
#[test]
fn a_vmid_is_taken_within_the_request() {
    let mut lab = Lab::new();
    assert_eq!(lab.post(CREATE, &[("vmid", "100")]).status, 200);
    let second = lab.post("/nodes/pve2/qemu", &[("vmid", "100")]);
    assert_eq!(second.status, 500);
    assert_eq!(
        second.reason,
        "unable to create VM 100 - VM 100 already exists on node 'pve1'"
    );
}

/// qemu-server `Qemu.pm` :1541: nothing but the lock until the task's last step.
#[test]
fn a_vm_that_is_being_made_has_nothing_but_its_lock() {
    let mut lab = Lab::new();
    let fields = [
        ("vmid", "100"),
        ("name", "a"),
        ("tags", "omni-scale"),
        ("smbios1", UUID),
        ("scsi0", "fast:8"),
    ];
    let answer = lab.post(CREATE, &fields);
    lab.cluster.advance(500);
    let mut config = lab.data("/nodes/pve1/qemu/100/config");
    config.as_object_mut().unwrap().remove("digest");
    assert_eq!(config, json!({"lock": "create"}));
    assert_eq!(lab.ends(&answer), "OK");
    let config = lab.data("/nodes/pve1/qemu/100/config");
    assert_eq!(config.get("lock"), None);
    assert_eq!(
        (&config["name"], &config["smbios1"]),
        (&json!("a"), &json!(UUID))
    );
}

const UUID: &str = "uuid=0d6ac2bd-6c8f-5b0a-9f3e-000000000001";

/// facts §1.5, qemu-server `Qemu.pm` :122: size literally 0, and the disk is as large as the image.
#[test]
fn an_import_has_the_images_size() {
    let mut lab = Lab::new();
    lab.image("pve1");
    let wrong = format!("fast:8,import-from={IMAGE}");
    let answer = lab.post(CREATE, &[("vmid", "100"), ("scsi0", &wrong)]);
    assert_eq!(
        fault_of(&answer, "scsi0"),
        "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"
    );
    let right = format!("fast:0,import-from={IMAGE},discard=on");
    lab.done(CREATE, &[("vmid", "100"), ("scsi0", &right)]);
    let config = lab.data("/nodes/pve1/qemu/100/config");
    assert_eq!(config["scsi0"], "fast:vm-100-disk-0,discard=on,size=3G");
}

/// facts §1.5: the source is an image or an import, on a storage that the node has, and there.
#[test]
fn an_import_needs_a_source_that_is_one() {
    let mut lab = Lab::new();
    let answer = lab.post(
        CREATE,
        &[
            ("vmid", "100"),
            ("scsi0", "fast:0,import-from=local:iso/a.iso"),
        ],
    );
    assert_eq!(
        fault_of(&answer, "scsi0"),
        "local:iso/a.iso has wrong type 'iso' - needs to be 'images' or 'import'"
    );
    let absent = format!("fast:0,import-from={IMAGE}");
    let answer = lab.post(CREATE, &[("vmid", "100"), ("scsi0", &absent)]);
    let end = lab.ends(&answer);
    assert!(
        end.starts_with("unable to create VM 100 - cannot import from 'local:import/debian.qcow2'"),
        "{end}"
    );
    let path = lab.post(
        CREATE,
        &[("vmid", "100"), ("scsi0", "fast:0,import-from=/etc/shadow")],
    );
    assert_eq!(
        path.reason,
        "Only root can pass arbitrary filesystem paths."
    );
}

/// qemu-server `Qemu.pm` :1547, :1606: a create that fails frees its volumes and its VMID.
#[test]
fn a_failed_create_leaves_nothing() {
    let mut lab = Lab::new();
    let absent = format!("fast:0,import-from={IMAGE}");
    let answer = lab.post(
        CREATE,
        &[("vmid", "100"), ("scsi0", "fast:8"), ("scsi1", &absent)],
    );
    assert_ne!(lab.ends(&answer), "OK");
    assert_eq!(lab.data("/nodes/pve1/storage/fast/content"), json!([]));
    assert_eq!(lab.data("/cluster/nextid?vmid=100"), "100");
}

/// facts §1.4, qemu-server `Qemu.pm` :2823 and :1037: what a crash leaves can only be undone on the host.
#[test]
fn a_crash_leaves_a_stub_that_no_token_can_remove() {
    let mut lab = Lab::new();
    lab.post("/nodes/pve2/qemu", &[("vmid", "100"), ("scsi0", "fast:8")]);
    lab.cluster.advance(600);
    lab.cluster.happen(Happening::NodeCrash {
        node: "pve2".to_owned(),
        down: 1_000,
    });
    lab.cluster.advance(1_000);
    assert_eq!(lab.data("/nodes/pve2/qemu/100/config")["lock"], "create");
    let answer = lab.delete("/nodes/pve2/qemu/100?purge=1");
    assert_eq!(lab.ends(&answer), "VM is locked (create)");
    let skip = lab.delete("/nodes/pve2/qemu/100?skiplock=1");
    assert_eq!(
        fault_of(&skip, "skiplock"),
        "Only root may use this option."
    );
    let unlock = lab.put("/nodes/pve2/qemu/100/config", &[("delete", "lock")]);
    assert_eq!(unlock.reason, "only root can set 'lock' config");
    // What `qm unlock 100` does on the host.
    lab.cluster.happen(Happening::Unlock { vmid: 100 });
    let answer = lab.delete("/nodes/pve2/qemu/100?destroy-unreferenced-disks=1");
    assert_eq!(lab.ends(&answer), "OK");
    assert_eq!(lab.data("/nodes/pve2/storage/fast/content"), json!([]));
}

/// facts §1.2 (pve-common `RESTEnvironment.pm` :698): the stub was written before the worker failed to start.
#[test]
fn a_create_without_a_worker_meets_its_own_stub() {
    let mut lab = Lab::new();
    lab.cluster.faults.add(Rule::next(
        Method::Post,
        "/nodes/{node}/qemu",
        Fault::NoWorker,
    ));
    let first = lab.post(CREATE, &[("vmid", "100")]);
    assert_eq!(
        (first.status, first.reason.as_str()),
        (500, "got no worker upid - start worker failed")
    );
    let second = lab.post(CREATE, &[("vmid", "100")]);
    assert_eq!(
        second.reason,
        "unable to create VM 100 - VM 100 already exists on node 'pve1'"
    );
    assert_eq!(lab.data("/nodes/pve1/qemu/100/config")["lock"], "create");
}

/// facts §1.4: the defaults of the API, boot order among them, are not those of the GUI.
#[test]
fn what_is_not_sent_is_made_up() {
    let mut lab = Lab::new();
    lab.done(
        CREATE,
        &[
            ("vmid", "100"),
            ("scsi0", "fast:8"),
            ("ide2", "none,media=cdrom"),
            ("net0", NET),
        ],
    );
    let config = lab.data("/nodes/pve1/qemu/100/config");
    assert_eq!(config["boot"], "order=scsi0;ide2;net0");
    assert!(config["smbios1"].as_str().unwrap().starts_with("uuid="));
    assert!(
        config["net0"]
            .as_str()
            .unwrap()
            .starts_with("virtio=BC:24:11:")
    );
    assert!(
        config["meta"]
            .as_str()
            .unwrap()
            .starts_with("creation-qemu=")
    );
}

/// facts §5.1: OVMF's variables are a small volume of their own.
#[test]
fn an_efi_disk_has_its_own_size() {
    let mut lab = Lab::new();
    let fields = [
        ("vmid", "100"),
        ("bios", "ovmf"),
        ("efidisk0", "fast:1,efitype=4m,pre-enrolled-keys=0"),
    ];
    lab.done(CREATE, &fields);
    let config = lab.data("/nodes/pve1/qemu/100/config");
    assert_eq!(
        config["efidisk0"],
        "fast:vm-100-disk-0,efitype=4m,pre-enrolled-keys=0,size=528K"
    );
}

/// qemu-server `Qemu.pm` `$check_drive_param`: an ISO is attached as what it is.
#[test]
fn an_iso_must_be_a_cdrom() {
    let mut lab = Lab::new();
    let answer = lab.post(CREATE, &[("vmid", "100"), ("ide2", "local:iso/a.iso")]);
    assert_eq!(
        fault_of(&answer, "ide2"),
        "explicit 'media=cdrom' is required for iso images"
    );
    let answer = lab.post(
        CREATE,
        &[("vmid", "100"), ("ide2", "local:iso/a.iso,media=cdrom")],
    );
    assert_eq!(
        lab.ends(&answer),
        "unable to create VM 100 - volume local:iso/a.iso does not exist"
    );
}

/// facts §1.2: a full storage fails the task, and nothing stays.
#[test]
fn a_full_storage_fails_the_task() {
    let mut lab = Lab::new();
    let answer = lab.post(CREATE, &[("vmid", "100"), ("scsi0", "fast:2048")]);
    let end = lab.ends(&answer);
    assert!(end.contains("insufficient free space"), "{end}");
    assert!(!lab.cluster.vms.contains_key(&100));
}

/// facts §1.2: `args` and the like are root's alone, and no token is root.
#[test]
fn some_keys_are_roots_alone() {
    let mut lab = Lab::new();
    let answer = lab.post(CREATE, &[("vmid", "100"), ("args", "-s")]);
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (500, "only root can set 'args' config")
    );
}

/// facts §1.2: without quorum nothing is created, and a later try may be.
#[test]
fn no_quorum_is_said_and_passes() {
    let mut lab = Lab::new();
    lab.cluster.happen(Happening::QuorumLost { lasts: 5_000 });
    let answer = lab.post(CREATE, &[("vmid", "100")]);
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (500, "cluster not ready - no quorum?")
    );
    lab.cluster.advance(5_000);
    lab.vm("pve1", 100);
}

/// facts §1.4: nextid is a string and a hint; a taken one is a 400.
#[test]
fn the_next_id_is_a_string_and_reserves_nothing() {
    let mut lab = Lab::new();
    assert_eq!(lab.data("/cluster/nextid"), "100");
    assert_eq!(lab.data("/cluster/nextid"), "100");
    lab.vm("pve1", 100);
    assert_eq!(lab.data("/cluster/nextid"), "101");
    assert_eq!(
        fault_of(&lab.get("/cluster/nextid?vmid=100"), "vmid"),
        "VM 100 already exists"
    );
}

/// facts §1.4: a start that fails after a create is only a warning, so the task has ended well.
#[test]
fn a_start_that_fails_after_a_create_is_a_warning() {
    let mut lab = Lab::new();
    let answer = lab.post(
        CREATE,
        &[
            ("vmid", "100"),
            ("net0", "virtio,bridge=vmbr9"),
            ("start", "1"),
        ],
    );
    assert_eq!(lab.ends(&answer), "WARNINGS: 1");
    assert_eq!(
        lab.data("/nodes/pve1/qemu/100/status/current")["status"],
        "stopped"
    );
}

/// facts §4 (bpg#995, #1521): allocations on one storage of one node wait for each other, ten seconds at most.
#[test]
fn creates_on_one_storage_wait_for_its_lock() {
    let mut lab = Lab::new();
    lab.cluster.settings.allocate_ms = 6_000;
    for vmid in 100..104 {
        lab.post(CREATE, &[("vmid", &vmid.to_string()), ("scsi0", "fast:8")]);
    }
    lab.post("/nodes/pve2/qemu", &[("vmid", "200"), ("scsi0", "fast:8")]);
    assert!(lab.cluster.settle());
    let ends: Vec<String> = lab
        .cluster
        .tasks
        .iter()
        .map(|task| task.ended.as_ref().unwrap().exit_status.clone())
        .collect();
    assert_eq!(
        ends.iter().filter(|end| *end == "OK").count(),
        3,
        "two on pve1, one on pve2: {ends:?}"
    );
    let timeout = "can't lock file '/var/lock/pve-manager/pve-storage-fast' - got timeout";
    assert_eq!(
        ends.iter().filter(|end| end.ends_with(timeout)).count(),
        2,
        "{ends:?}"
    );
}

/// facts §1.4 (schema): what the schema does not know is refused, and nothing is made.
#[test]
fn an_unknown_parameter_creates_nothing() {
    let mut lab = Lab::new();
    let answer = lab.post(CREATE, &[("vmid", "100"), ("memori", "512")]);
    assert!(fault_of(&answer, "memori").starts_with("property is not defined in schema"));
    assert!(lab.cluster.vms.is_empty());
    let property = lab.post(CREATE, &[("vmid", "100"), ("scsi0", "fast:8,colour=red")]);
    assert!(fault_of(&property, "scsi0").starts_with("invalid format - invalid key"));
    assert_eq!(lab.send(Request::new(Method::Post, CREATE)).status, 400);
}
