//! What is ours is deleted, and nothing else.

use omni_scale_proto::machine::machine_uuid;
use omni_scale_proto::v1::{FailureClass, MachinePresence};
use omni_scale_proxmox_simulator::{Fault, Faults, Happening, Method, Rule};

use super::rig::{Rig, auth_key, deployment, host, request, volume};
use crate::machine::check_typed_name;
use crate::machine::record::{Attempt, Place};
use crate::machine::settings::first_boot_file;

#[tokio::test(start_paused = true)]
async fn deleting_twice_succeeds_twice_and_the_next_one_is_another() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    let done = rig.delete(&machine).await.unwrap();
    assert!(
        done.summary.ends_with("VM 100, is deleted"),
        "{}",
        done.summary
    );
    assert!(rig.simulator.cluster().vms.is_empty());
    let again = rig.delete(&machine).await.unwrap();
    assert!(
        again.summary.starts_with("there is no machine"),
        "{}",
        again.summary
    );
    let next = rig.see("idp").await;
    assert_eq!(next.presence(), MachinePresence::Absent);
    assert_eq!(next.incarnation, 1);
    let uuid = machine_uuid(deployment(), "idp", 1).to_string();
    assert_eq!(next.uuid, uuid);
    let refused = rig.apply(&machine).await.unwrap_err();
    assert!(refused.message.contains("was deleted"), "{refused}");
    rig.apply(&host("idp", 1)).await.unwrap();
    assert_eq!(rig.with_uuid(&uuid).len(), 1);
    // What was deleted stays so, and the one of now is left alone.
    rig.delete(&machine).await.unwrap();
    assert_eq!(rig.with_uuid(&uuid).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_machine_leaves_no_file_and_no_secret_behind() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    rig.delete(&machine).await.unwrap();
    let identity = request(&machine).machine;
    assert!(rig.machines.enrollment_secret(&identity).is_err());
    let secret = rig.secrets.record(&"enrollment-idp".parse().unwrap());
    assert!(secret.unwrap().consumed);
    assert!(!rig.first_boot_data_is_there(&machine).await);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_another_vm_left_under_the_vmid_stays() {
    let rig = Rig::new();
    let left = "fast:vm-100-disk-9";
    let disk = volume(left, "images", Some(100));
    rig.simulator.cluster().put_volume("pve1", disk);
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    let own = rig.config(100, "scsi0");
    let own = own.split(',').next().unwrap();
    rig.delete(&machine).await.unwrap();
    let cluster = rig.simulator.cluster();
    assert!(cluster.volume("pve1", own).is_none());
    assert!(cluster.volume("pve1", left).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_never_came_to_its_end_leaves_no_secret_behind() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    let current = "/nodes/{node}/qemu/{vmid}/status/current";
    let rule = Rule {
        skip: 1,
        times: 1000,
        ..Rule::next(Method::Get, current, Fault::NoRoute)
    };
    rig.simulator.cluster().faults.add(rule);
    rig.apply_within(&machine, 60).await.unwrap_err();
    rig.simulator.cluster().faults = Faults::default();
    assert!(rig.simulator.cluster().vms[&100].is_running());
    rig.delete(&machine).await.unwrap();
    for name in ["enrollment-idp", &auth_key("idp")] {
        let secret = rig.secrets.record(&name.parse().unwrap()).unwrap();
        assert!(secret.consumed, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_vmid_that_is_anothers_by_now_is_left_alone() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    rig.simulator.cluster().happen(Happening::ForeignRecreate {
        vmid: 100,
        name: "theirs".to_owned(),
    });
    let theirs = rig.simulator.cluster().vms[&100].uuid().unwrap().to_owned();
    let done = rig.delete(&machine).await.unwrap();
    assert!(done.warnings[0].contains(&theirs), "{:?}", done.warnings);
    assert!(rig.simulator.cluster().vms.contains_key(&100));
    assert!(rig.simulator.cluster().violations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_in_every_way_ours_is_refused() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    for (key, words) in [("tags", "not the tag"), ("description", "not its marker")] {
        let kept = {
            let mut cluster = rig.simulator.cluster();
            let vm = cluster.vms.get_mut(&100).unwrap();
            vm.config.remove(key).unwrap()
        };
        let refused = rig.delete(&machine).await.unwrap_err();
        assert_eq!(refused.class, FailureClass::Refused, "{refused}");
        assert!(refused.message.contains(words), "{refused}");
        let mut cluster = rig.simulator.cluster();
        let vm = cluster.vms.get_mut(&100).unwrap();
        vm.config.insert(key.to_owned(), kept);
    }
    let mut other = machine.clone();
    other.uuid = "6a1f4d3e-5c0b-4a9e-8f27-0c9e5d2b7a11".to_owned();
    let refused = rig.delete(&other).await.unwrap_err();
    assert!(
        refused.message.contains("is no machine of deployment"),
        "{refused}"
    );
    rig.simulator
        .cluster()
        .vms
        .get_mut(&100)
        .unwrap()
        .config
        .insert("protection".to_owned(), "1".to_owned());
    let refused = rig.delete(&machine).await.unwrap_err();
    assert!(refused.message.contains("is protected"), "{refused}");
    assert_eq!(rig.simulator.cluster().vms.len(), 1);
}

#[test]
fn only_the_typed_name_deletes() {
    let machine = request(&host("idp", 0)).machine;
    assert!(check_typed_name(&machine, "idp").is_ok());
    for typed in ["", "IDP", "idp ", "omni"] {
        let refused = check_typed_name(&machine, typed).unwrap_err();
        assert_eq!(refused.class, FailureClass::Refused);
        assert_eq!(refused.hint.as_deref(), Some("type `idp`"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_may_keep_the_iso_and_that_is_told() {
    for (iso_is_gone, warnings) in [(false, 0), (true, 1)] {
        let rig = Rig::new();
        let machine = host("idp", 0);
        rig.apply(&machine).await.unwrap();
        if iso_is_gone {
            rig.finish(&machine).await.unwrap();
        }
        let down = Some(u64::MAX);
        rig.simulator
            .cluster()
            .nodes
            .get_mut("pve2")
            .unwrap()
            .down_until = down;
        let done = rig.delete(&machine).await.unwrap();
        assert_eq!(done.warnings.len(), warnings, "{:?}", done.warnings);
        for warning in done.warnings {
            let command = format!("`pvesm free local:iso/{}`", first_boot_file(&machine.uuid));
            assert!(
                warning.contains("node pve2 is not online") && warning.contains(&command),
                "{warning}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_nobody_named_is_told_of_and_left_alone() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    {
        let mut cluster = rig.simulator.cluster();
        let mut copy = cluster.vms[&100].clone();
        (copy.vmid, copy.node) = (107, "pve2".to_owned());
        cluster.vms.insert(107, copy);
    }
    let refused = rig.delete(&machine).await.unwrap_err();
    assert_eq!(refused.class, FailureClass::Refused, "{refused}");
    assert!(refused.message.contains("VM 107 on pve2"), "{refused}");
    assert_eq!(rig.with_uuid(&machine.uuid), [107].into());
    // Whoever has been told, and types the name again, means this one.
    rig.delete(&machine).await.unwrap();
    assert!(rig.simulator.cluster().vms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_does_not_answer_keeps_no_deletion_from_its_end() {
    let content = "/nodes/{node}/storage/{storage}/content";
    let volume = "/nodes/{node}/storage/{storage}/content/{volume}";
    for (method, template) in [(Method::Get, content), (Method::Delete, volume)] {
        let rig = Rig::new();
        let machine = host("idp", 0);
        rig.apply(&machine).await.unwrap();
        let rule = Rule {
            times: 1000,
            ..Rule::next(method, template, Fault::NoRoute)
        };
        rig.simulator.cluster().faults.add(rule);
        let done = rig.delete(&machine).await.unwrap();
        let command = format!("`pvesm free local:iso/{}`", first_boot_file(&machine.uuid));
        let told = done.warnings.iter().filter(|said| said.contains(&command));
        assert!(told.count() > 0, "{:?}", done.warnings);
        assert_eq!(rig.see("idp").await.incarnation, 1);
        rig.simulator.cluster().faults = Faults::default();
        assert!(rig.first_boot_data_is_there(&machine).await);
        // Asked for once more, it is seen to.
        let done = rig.delete(&machine).await.unwrap();
        assert_eq!(done.warnings, Vec::<String>::new());
        assert!(!rig.first_boot_data_is_there(&machine).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_answers_at_the_second_try_is_cleaned() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    let content = "/nodes/{node}/storage/{storage}/content";
    let rule = Rule::next(Method::Get, content, Fault::Reset);
    rig.simulator.cluster().faults.add(rule);
    let done = rig.delete(&machine).await.unwrap();
    assert_eq!(done.warnings, Vec::<String>::new());
    assert!(!rig.first_boot_data_is_there(&machine).await);
}

#[tokio::test(start_paused = true)]
async fn the_secrets_of_the_next_machine_outlive_the_one_before() {
    let rig = Rig::new();
    let first = host("idp", 0);
    rig.apply(&first).await.unwrap();
    rig.delete(&first).await.unwrap();
    let next = host("idp", 1);
    rig.apply(&next).await.unwrap();
    rig.delete(&first).await.unwrap();
    assert!(rig.secrets.get(&auth_key("idp").parse().unwrap()).is_some());
    let identity = request(&next).machine;
    assert!(rig.machines.enrollment_secret(&identity).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_ends_while_it_is_looked_at_leaves_nothing_behind() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    let whole = {
        let mut cluster = rig.simulator.cluster();
        let vm = cluster.vms.get_mut(&100).unwrap();
        let half = [("lock".to_owned(), "create".to_owned())].into();
        std::mem::replace(&mut vm.config, half)
    };
    let attempt = Attempt {
        uuid: machine.uuid.clone(),
        place: Place {
            node: "pve1".parse().unwrap(),
            vmid: omni_scale_proxmox::Vmid::new(100).unwrap(),
        },
        digest: String::new(),
        since_unix_seconds: 0,
        task: None,
        not_begun: false,
    };
    let name = "idp".parse().unwrap();
    let kept = rig.machines.keep(deployment(), &name, |record| {
        record.place = None;
        record.attempt = Some(attempt);
    });
    kept.await.unwrap();
    let ends = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let mut cluster = rig.simulator.cluster();
        cluster.vms.get_mut(&100).unwrap().config = whole;
    };
    let (done, ()) = tokio::join!(rig.delete(&machine), ends);
    assert_eq!(done.unwrap().warnings, Vec::<String>::new());
    assert!(rig.simulator.cluster().vms.is_empty());
}
