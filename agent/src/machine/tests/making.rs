//! A machine is made, and made once.

use omni_scale_proto::v1::{self, MachinePresence};
use omni_scale_proxmox_simulator::{Container, Fault, Faults, Happening, Method, Rule};

use super::rig::{Rig, host, image_sum, request, talos, volume};

const CREATE: &str = "/nodes/{node}/qemu";

#[tokio::test(start_paused = true)]
async fn a_host_is_made_from_its_image_and_runs() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    assert_eq!(rig.see("idp").await.presence(), MachinePresence::Absent);
    let done = rig.apply(&machine).await.unwrap();
    assert!(
        done.summary
            .ends_with("was made and runs as VM 100 on pve1"),
        "{}",
        done.summary
    );
    assert_eq!(done.warnings, Vec::<String>::new());
    assert!(rig.config(100, "scsi0").contains("size=8G"));
    assert_eq!(rig.config(100, "tags"), "omni-scale");
    assert_eq!(rig.config(100, "boot"), "order=scsi0");
    let seen = rig.see("idp").await;
    assert_eq!(seen.presence(), MachinePresence::Present);
    assert_eq!((seen.vmid, seen.status.as_str()), (100, "running"));
    assert_eq!(seen.uuid, machine.uuid);
    assert_eq!(seen.applied, Some(machine.clone()));
    assert!(seen.first_boot_attached);
    let observation = rig.observe(&[]).await;
    assert_eq!(observation.nodes[0].image_sha256, [image_sum()]);
    assert_eq!(observation.taken_vmids, [100]);
    let again = rig.apply(&machine).await.unwrap();
    assert!(
        again.summary.contains(") runs as VM 100"),
        "{}",
        again.summary
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_boot_data_is_what_was_asked_for() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    let facts = rig.simulator.cluster().facts(100).unwrap();
    let iso = facts.iso.unwrap();
    let holds = |text: &str| iso.windows(text.len()).any(|part| part == text.as_bytes());
    let identity = request(&machine).machine;
    let secret = rig.machines.enrollment_secret(&identity).unwrap();
    assert_eq!(secret.len(), 32);
    assert!(holds(&format!("key: tskey-auth-once\nsecret: {secret}")));
    assert!(holds(&machine.uuid));
}

#[tokio::test(start_paused = true)]
async fn a_talos_machine_boots_its_iso_while_its_disk_is_empty() {
    let rig = Rig::new();
    rig.apply(&talos("cp-1")).await.unwrap();
    assert_eq!(rig.config(100, "boot"), "order=scsi0;ide2");
    assert_eq!(rig.config(100, "machine"), "q35");
    assert!(rig.config(100, "efidisk0").contains("pre-enrolled-keys=0"));
    assert!(rig.config(100, "ide2").contains(&image_sum()));
    assert!(rig.config(100, "scsi30").contains(&talos("cp-1").uuid));
    assert_eq!(rig.config(100, "balloon"), "0");
}

#[tokio::test(start_paused = true)]
async fn a_vmid_that_somebody_took_is_passed_over() {
    let rig = Rig::new();
    rig.simulator.cluster().happen(Happening::ForeignCreate {
        vmid: 100,
        node: "pve2".to_owned(),
        name: "theirs".to_owned(),
    });
    let done = rig.apply(&host("idp", 0)).await.unwrap();
    assert!(done.summary.contains("VM 101"), "{}", done.summary);
    assert!(rig.simulator.cluster().violations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_container_takes_a_vmid_and_is_nothing_else() {
    let mut rig = Rig::new();
    let machine = host("idp", 0);
    // One has our tag, and one comes to have the VMID that a machine of ours had.
    let container = Container {
        node: "pve2".to_owned(),
        tags: "omni-scale".to_owned(),
    };
    rig.simulator
        .cluster()
        .containers
        .insert(100, container.clone());
    assert_eq!(rig.see("idp").await.presence(), MachinePresence::Absent);
    let done = rig.apply(&machine).await.unwrap();
    assert!(done.summary.contains("VM 101"), "{}", done.summary);
    assert_eq!(rig.observe(&[]).await.taken_vmids, [100, 101]);
    rig.simulator
        .cluster()
        .happen(Happening::ForeignDestroy { vmid: 101 });
    rig.simulator.cluster().containers.insert(101, container);
    assert_eq!(rig.see("idp").await.presence(), MachinePresence::Absent);
    rig.restart().await;
    let done = rig.apply(&machine).await.unwrap();
    assert!(done.summary.contains("VM 102"), "{}", done.summary);
}

#[tokio::test(start_paused = true)]
async fn files_that_others_named_as_they_like_are_no_hindrance() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    for id in ["local:iso/Win 11, German.iso", "local:import/a b.qcow2"] {
        let content = id.split([':', '/']).nth(1).unwrap();
        let file = volume(id, content, None);
        rig.simulator.cluster().put_volume("pve1", file);
    }
    rig.apply(&machine).await.unwrap();
    assert_eq!(rig.observe(&[]).await.nodes[0].image_sha256, [image_sum()]);
    rig.finish(&machine).await.unwrap();
    assert!(!rig.first_boot_data_is_there(&machine).await);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_paused_does_not_run() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    for detail in ["paused", "io-error", "internal-error"] {
        rig.simulator
            .cluster()
            .vms
            .get_mut(&100)
            .unwrap()
            .guest
            .detail = Some(detail.to_owned());
        assert_eq!(rig.see("idp").await.status, detail);
        let failure = rig.apply(&machine).await.unwrap_err();
        assert_eq!(failure.class, v1::FailureClass::Permanent, "{failure}");
        assert!(failure.message.contains(detail), "{failure}");
        assert!(failure.hint.unwrap().contains("`qm resume 100`"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_makes_no_second_machine() {
    for fault in [
        Fault::ReplyLost,
        Fault::Reset,
        Fault::GatewayTimeout { effect: true },
        Fault::GatewayTimeout { effect: false },
        Fault::LockTimeout,
    ] {
        let rig = Rig::new();
        let rule = Rule::next(Method::Post, CREATE, fault);
        rig.simulator.cluster().faults.add(rule);
        let machine = host("idp", 0);
        let done = rig.apply(&machine).await.unwrap();
        assert!(
            done.summary.contains("VM 100"),
            "{fault:?}: {}",
            done.summary
        );
        assert_eq!(rig.with_uuid(&machine.uuid).len(), 1, "{fault:?}");
        assert_eq!(rig.simulator.cluster().vms.len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_creation_left_half_made_is_told_and_passed_over() {
    for fault in [Fault::NoWorker, Fault::WorkerDies { after: 100 }] {
        let mut rig = Rig::new();
        let rule = Rule::next(Method::Post, CREATE, fault);
        rig.simulator.cluster().faults.add(rule);
        let machine = host("idp", 0);
        let done = rig.apply(&machine).await.unwrap();
        assert!(
            done.summary.contains("VM 101"),
            "{fault:?}: {}",
            done.summary
        );
        assert!(
            done.warnings[0].contains("qm unlock 100 && qm destroy 100"),
            "{:?}",
            done.warnings
        );
        rig.restart().await;
        let stubs = rig.observe(&[]).await.stubs;
        let expected = v1::MachineStub {
            node: "pve1".to_owned(),
            vmid: 100,
            command: "qm unlock 100 && qm destroy 100".to_owned(),
        };
        assert_eq!(stubs, [expected], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_has_moved_is_found_where_it_is() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    rig.simulator.cluster().happen(Happening::ForeignMigrate {
        vmid: 100,
        to: "pve3".to_owned(),
    });
    let done = rig.apply(&machine).await.unwrap();
    assert!(done.summary.ends_with("VM 100 on pve3"), "{}", done.summary);
    assert_eq!(rig.see("idp").await.node, "pve3");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_has_forgotten_everything_finds_its_machines() {
    let mut rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    rig.forget().await;
    assert_eq!(rig.record("idp"), None);
    let seen = rig.see("idp").await;
    assert_eq!(
        (seen.presence(), seen.vmid),
        (MachinePresence::Present, 100)
    );
    let done = rig.apply(&machine).await.unwrap();
    assert!(
        done.summary.contains(") runs as VM 100"),
        "{}",
        done.summary
    );
    assert_eq!(rig.simulator.cluster().vms.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_runs_is_told_about_and_not_changed() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    let mut larger = machine.clone();
    larger.disks[0].size_gibibytes = 16;
    rig.apply(&larger).await.unwrap();
    assert!(rig.config(100, "scsi0").contains("size=8G"));
    assert_eq!(rig.see("idp").await.applied, Some(machine));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_somebody_deleted_is_made_anew_to_its_end() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    rig.simulator
        .cluster()
        .happen(Happening::ForeignDestroy { vmid: 100 });
    let mut larger = machine.clone();
    larger.disks[0].size_gibibytes = 16;
    let done = rig.apply(&larger).await.unwrap();
    assert!(
        done.summary.contains("was made and runs"),
        "{}",
        done.summary
    );
    assert!(rig.config(100, "scsi0").contains("size=16G"));
    assert_eq!(rig.see("idp").await.applied, Some(larger));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_somebody_started_halfway_is_brought_to_its_end() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    let rule = Rule {
        times: 100,
        ..Rule::next(
            Method::Put,
            "/nodes/{node}/qemu/{vmid}/resize",
            Fault::LockTimeout,
        )
    };
    rig.simulator.cluster().faults.add(rule);
    rig.apply_within(&machine, 120).await.unwrap_err();
    rig.simulator.cluster().faults = Faults::default();
    rig.simulator.cluster().happen(Happening::HaActs {
        vmid: 100,
        running: true,
    });
    let seen = rig.see("idp").await;
    assert_eq!((seen.status.as_str(), seen.applied), ("running", None));
    assert!(!rig.config(100, "scsi0").contains("size=8G"));
    rig.apply(&machine).await.unwrap();
    assert!(rig.config(100, "scsi0").contains("size=8G"));
    assert_eq!(rig.see("idp").await.applied, Some(machine));
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_somebody_restores_is_nothing_that_was_left_half_made() {
    let restore = || Happening::ForeignRestore {
        vmid: 100,
        node: "pve1".to_owned(),
        name: "theirs".to_owned(),
        lasts: 3_600_000,
    };
    // Where the creation left something, and a person has cleared it.
    let rig = Rig::new();
    let rule = Rule::next(Method::Post, CREATE, Fault::NoWorker);
    rig.simulator.cluster().faults.add(rule);
    rig.apply(&host("idp", 0)).await.unwrap();
    rig.simulator.cluster().vms.remove(&100);
    rig.simulator.cluster().happen(restore());
    assert_eq!(rig.observe(&[]).await.stubs, []);
    // Where the creation was asked for, and nobody knows whether it was heard.
    let rig = Rig::new();
    let rule = Rule::next(Method::Post, CREATE, Fault::Reset);
    rig.simulator.cluster().faults.add(rule);
    rig.apply_within(&host("idp", 0), 1).await.unwrap_err();
    rig.simulator.cluster().happen(restore());
    let done = rig.apply(&host("idp", 0)).await.unwrap();
    assert!(done.summary.contains("VM 101"), "{}", done.summary);
    assert_eq!(done.warnings, Vec::<String>::new());
    assert_eq!(rig.observe(&[]).await.stubs, []);
}
