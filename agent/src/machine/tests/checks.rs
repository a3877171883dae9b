//! A cluster that will not do is told with everything that is missing.

use omni_scale_proto::v1::{self, CheckStatus};
use omni_scale_proxmox_simulator::{Cluster, Happening};

use super::rig::{IMAGE, Rig, cluster, host, hypervisor, talos};
use crate::service::checks::{Finding, MachineChecks as _};

async fn check(rig: &Rig, machines: Vec<v1::Machine>) -> Finding {
    let check = v1::HypervisorCheck {
        hypervisor: Some(hypervisor()),
        machines,
        nameservers: vec!["192.0.2.53".to_owned()],
    };
    rig.machines.hypervisor(&check).await
}

async fn missing(cluster: Cluster) -> Vec<String> {
    let mut cp = talos("cp-1");
    cp.vmid = 101;
    let finding = check(&Rig::with(cluster), vec![host("idp", 0), cp]).await;
    assert_eq!(finding.status, CheckStatus::Failed, "{finding:?}");
    finding.evidence
}

fn with_resolver(mut cluster: Cluster) -> Cluster {
    for node in cluster.nodes.values_mut() {
        node.dns = vec!["192.0.2.53".to_owned()];
    }
    cluster
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_has_everything_will_do() {
    let rig = Rig::with(with_resolver(cluster(1)));
    let finding = check(&rig, vec![host("idp", 0), talos("cp-1")]).await;
    assert_eq!(finding.status, CheckStatus::Passed, "{finding:?}");
    assert_eq!(
        finding.summary,
        "https://pve.lan:8006 will do for 2 machines"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_asks_another_resolver_is_warned_of() {
    let rig = Rig::with(cluster(1));
    for node in rig.simulator.cluster().nodes.values_mut() {
        node.dns = vec!["1.1.1.1".to_owned()];
    }
    let finding = check(&rig, vec![host("idp", 0)]).await;
    assert_eq!(finding.status, CheckStatus::Warning, "{finding:?}");
    assert!(finding.evidence[0].contains("asks 1.1.1.1 for names, and not 192.0.2.53"));
}

#[tokio::test(start_paused = true)]
async fn every_missing_privilege_is_told_at_once() {
    let mut poor = with_resolver(cluster(1));
    poor.access = omni_scale_proxmox_simulator::Access::default();
    let (token, secret) = omni_scale_proxmox_simulator::TOKEN.split_once('=').unwrap();
    poor.access.grant(token, secret, "/vms", "PVEAuditor");
    let lines = missing(poor).await;
    for line in [
        "/vms: VM.Allocate",
        "/vms: VM.PowerMgmt",
        "/vms: VM.Config.Options",
        "/storage/fast: Datastore.AllocateSpace",
        "/storage/local: Datastore.AllocateTemplate",
        "/storage/local: Datastore.Allocate",
        "/sdn/zones/localnetwork/vmbr0: SDN.Use",
        "/nodes/pve1: Sys.AccessNetwork",
        "/nodes/pve1: Sys.Audit",
    ] {
        assert!(
            lines.iter().any(|known| known == line),
            "{line}: {lines:#?}"
        );
    }
    assert!(!lines.iter().any(|line| line == "/vms: VM.Audit"));
}

#[tokio::test(start_paused = true)]
async fn tags_are_held_against_what_the_token_may_set() {
    for (allowed, modifies, will_do) in [
        (Some(vec![]), true, true),
        (Some(vec!["omni-scale".to_owned()]), false, true),
        (Some(vec!["theirs".to_owned()]), false, false),
        (None, false, true),
    ] {
        let mut strict = with_resolver(cluster(1));
        strict.settings.registered_tags = allowed;
        if !modifies {
            strict.access = omni_scale_proxmox_simulator::Access::default();
            let (token, secret) = omni_scale_proxmox_simulator::TOKEN.split_once('=').unwrap();
            for (path, role) in [
                ("/", "PVEAuditor"),
                ("/vms", "PVEVMAdmin"),
                ("/storage", "PVEDatastoreAdmin"),
                ("/sdn", "PVESDNUser"),
                ("/nodes", "Administrator"),
            ] {
                strict.access.grant(token, secret, path, role);
            }
        }
        let finding = check(&Rig::with(strict), vec![host("idp", 0)]).await;
        if will_do {
            assert_eq!(finding.status, CheckStatus::Passed, "{finding:?}");
        } else {
            let told = "does not let the token set the tag `omni-scale`";
            assert_eq!(finding.status, CheckStatus::Failed, "{finding:?}");
            assert!(finding.evidence[0].contains(told), "{finding:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn storages_bridges_vmids_and_images_are_looked_at_together() {
    let mut bare = with_resolver(cluster(1));
    bare.storages
        .get_mut("local")
        .unwrap()
        .content
        .remove("import");
    bare.storages.get_mut("fast").unwrap().kind = "lvm".to_owned();
    bare.storages.get_mut("fast").unwrap().total = 10 << 30;
    bare.nodes.get_mut("pve1").unwrap().bridges.clear();
    bare.images.get_mut(IMAGE).unwrap().reachable = false;
    for vmid in 100..199 {
        bare.happen(Happening::ForeignCreate {
            vmid,
            node: "pve2".to_owned(),
            name: "theirs".to_owned(),
        });
    }
    let lines = missing(bare).await.join("\n");
    for words in [
        "storage `local` does not take content `import`",
        "storage `fast` on `pve1` has 10 GiB free, and machines want 17 GiB of it",
        "node `pve1` has no bridge `vmbr0`",
        "2 VMIDs of 100 to 199 are needed, and 1 are free",
        "node `pve1` cannot fetch https://images.example/debian.qcow2",
    ] {
        assert!(lines.contains(words), "{words}:\n{lines}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_and_a_cluster_that_is_not_allowed_are_told() {
    let rig = Rig::new();
    rig.secret("proxmox-token", "00000000-0000-0000-0000-000000000000");
    let finding = check(&rig, vec![host("idp", 0)]).await;
    assert_eq!(finding.status, CheckStatus::Failed);
    assert!(finding.summary.contains("is not accepted"), "{finding:?}");
    let mut elsewhere = hypervisor();
    elsewhere.url = "https://evil.example:8006".to_owned();
    let check = v1::HypervisorCheck {
        hypervisor: Some(elsewhere),
        ..v1::HypervisorCheck::default()
    };
    let finding = rig.machines.hypervisor(&check).await;
    assert!(finding.hint.contains("agent.toml"), "{finding:?}");
}

#[tokio::test(start_paused = true)]
async fn machines_that_are_there_need_nothing_more() {
    let rig = Rig::with(with_resolver(cluster(1)));
    rig.apply(&host("idp", 0)).await.unwrap();
    rig.simulator
        .cluster()
        .storages
        .get_mut("fast")
        .unwrap()
        .total = 9 << 30;
    let finding = check(&rig, vec![host("idp", 0)]).await;
    assert_eq!(finding.status, CheckStatus::Passed, "{finding:?}");
}
