//! What cannot be is said clearly, and nothing is made.

use omni_scale_proto::v1::FailureClass;
use omni_scale_proxmox_simulator::Happening;

use super::rig::{IMAGE, Rig, cluster, host, hypervisor, question, talos};
use crate::operation::Failure;

async fn refused(rig: &Rig) -> Failure {
    let failure = rig.apply_within(&host("idp", 0), 60).await.unwrap_err();
    assert!(rig.simulator.cluster().vms.is_empty(), "{failure}");
    failure
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_root_does_not_allow_is_not_asked() {
    let rig = Rig::new();
    for (url, class) in [
        ("https://evil.example:8006", FailureClass::Refused),
        ("https://pve.lan:8007", FailureClass::Refused),
        ("http://pve.lan:8006", FailureClass::Permanent),
        ("https://user@pve.lan:8006", FailureClass::Permanent),
    ] {
        let mut question = question(&["idp"]);
        question.hypervisor.url = url.to_owned();
        let failure = rig.machines.client(&question.hypervisor).await.unwrap_err();
        assert_eq!(failure.class, class, "{failure}");
        assert!(!rig.machines.observe(&question).await.known);
    }
    let mut allowed = hypervisor();
    for url in ["https://PVE.lan", "https://pve.lan:8006/"] {
        url.clone_into(&mut allowed.url);
        assert!(rig.machines.client(&allowed).await.is_ok(), "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_set_or_not_accepted_is_told() {
    let rig = Rig::new();
    rig.secret("proxmox-token", "00000000-0000-0000-0000-000000000000");
    let failure = refused(&rig).await;
    assert_eq!(failure.class, FailureClass::Refused);
    assert!(
        failure.message.contains("the API token is not accepted"),
        "{failure}"
    );
    assert!(failure.hint.unwrap().contains("omni-scale secret set"));
    assert!(!failure.message.contains("00000000-0000"));
    rig.secrets
        .consume(&"proxmox-token".parse().unwrap())
        .unwrap();
    let failure = refused(&rig).await;
    assert!(
        failure
            .message
            .contains("`proxmox-token`, the API token's, is not set"),
        "{failure}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_image_of_another_sum_makes_nothing() {
    let mut wrong = cluster(1);
    let image = wrong.images.get_mut(IMAGE).unwrap();
    image.sums.insert("sha256".to_owned(), "0".repeat(64));
    let failure = refused(&Rig::with(wrong)).await;
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(failure.message.contains("checksum"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_had_makes_nothing() {
    let mut unreachable = cluster(1);
    unreachable.images.clear();
    let failure = refused(&Rig::with(unreachable)).await;
    assert!(failure.message.contains("download failed"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_full_storage_makes_nothing() {
    let mut full = cluster(1);
    full.storages.get_mut("fast").unwrap().total = 1 << 30;
    let rig = Rig::with(full);
    let failure = refused(&rig).await;
    assert_eq!(failure.class, FailureClass::Permanent, "{failure}");
    // What it would have been told, its secrets among it, does not lie there for whoever may read the storage.
    assert!(!rig.first_boot_data_is_there(&host("idp", 0)).await);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_missing_is_named_before_anything_is_made() {
    let rig = Rig::new();
    rig.secrets.consume(&"omni-join".parse().unwrap()).unwrap();
    let failure = rig.apply(&talos("worker-1")).await.unwrap_err();
    assert!(
        failure.message.contains("secret `omni-join` is not set"),
        "{failure}"
    );
    assert!(rig.simulator.cluster().vms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_range_without_a_free_vmid_is_told() {
    let rig = Rig::new();
    let mut machine = host("idp", 0);
    machine.vmid_range = Some(omni_scale_proto::v1::VmidRange {
        first: 100,
        last: 101,
    });
    for vmid in [100, 101] {
        rig.simulator.cluster().happen(Happening::ForeignCreate {
            vmid,
            node: "pve2".to_owned(),
            name: "theirs".to_owned(),
        });
    }
    let failure = rig.apply(&machine).await.unwrap_err();
    assert!(
        failure.message.contains("all of 100 to 101 are taken"),
        "{failure}"
    );
    assert_eq!(rig.simulator.cluster().vms.len(), 2);
    assert!(!rig.first_boot_data_is_there(&machine).await);
}

#[tokio::test(start_paused = true)]
async fn an_identity_of_another_deployment_is_refused() {
    let rig = Rig::new();
    let mut machine = host("idp", 0);
    machine.uuid = "6a1f4d3e-5c0b-4a9e-8f27-0c9e5d2b7a11".to_owned();
    let failure = rig.apply(&machine).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Refused, "{failure}");
    let mut next = host("idp", 0);
    rig.apply(&next).await.unwrap();
    next = host("idp", 1);
    let failure = rig.apply(&next).await.unwrap_err();
    assert!(failure.message.contains("already"), "{failure}");
    assert_eq!(rig.simulator.cluster().vms.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_is_not_there_is_told_at_once() {
    let rig = Rig::new();
    let began = tokio::time::Instant::now();
    let changes: [fn(&mut omni_scale_proto::v1::Machine); 2] = [
        |machine| "none".clone_into(&mut machine.iso_storage),
        |machine| "none".clone_into(&mut machine.disks[0].storage),
    ];
    for change in changes {
        let mut machine = host("idp", 0);
        change(&mut machine);
        let failure = rig.apply(&machine).await.unwrap_err();
        assert!(
            failure.message.contains("'none' does not exist"),
            "{failure}"
        );
    }
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    assert!(rig.simulator.cluster().vms.is_empty());
}
