//! Whatever is asked, in whatever order: no VMID twice, no volume without an owner, no task log out of order.

use std::collections::BTreeSet;

use omni_scale_proxmox_simulator::{Cluster, Faults, Happening, Method, Request, TOKEN};
use proptest::prelude::*;
use serde_json::Value;

#[derive(Clone, Debug)]
enum Move {
    Create { vmid: u32, node: u32, disks: u32 },
    Start(u32),
    Stop(u32),
    Shutdown(u32),
    Destroy { vmid: u32, unreferenced: bool },
    Resize { vmid: u32, gigabytes: u32 },
    Detach(u32),
    Migrate { vmid: u32, node: u32 },
    Recreate(u32),
    Wait(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let vmid = 100..106_u32;
    let node = 1..4_u32;
    let one = prop_oneof![
        (vmid.clone(), node.clone(), 0..3_u32).prop_map(|(vmid, node, disks)| Move::Create {
            vmid,
            node,
            disks
        }),
        vmid.clone().prop_map(Move::Start),
        vmid.clone().prop_map(Move::Stop),
        vmid.clone().prop_map(Move::Shutdown),
        (vmid.clone(), any::<bool>())
            .prop_map(|(vmid, unreferenced)| Move::Destroy { vmid, unreferenced }),
        (vmid.clone(), 4..16_u32).prop_map(|(vmid, gigabytes)| Move::Resize { vmid, gigabytes }),
        vmid.clone().prop_map(Move::Detach),
        (vmid.clone(), node).prop_map(|(vmid, node)| Move::Migrate { vmid, node }),
        vmid.prop_map(Move::Recreate),
        (0..3_000_u64).prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 1..60)
}

fn node_of(cluster: &Cluster, vmid: u32) -> String {
    cluster
        .vms
        .get(&vmid)
        .map_or_else(|| "pve1".to_owned(), |vm| vm.node.clone())
}

fn play(cluster: &mut Cluster, step: &Move) {
    let vm = |vmid: u32, rest: &str| format!("/nodes/{}/qemu/{vmid}{rest}", node_of(cluster, vmid));
    let request = match step {
        Move::Create { vmid, node, disks } => {
            let vmid = vmid.to_string();
            let disks: Vec<String> = (0..*disks).map(|disk| format!("scsi{disk}")).collect();
            let mut fields = vec![("vmid", vmid.as_str())];
            fields.extend(disks.iter().map(|disk| (disk.as_str(), "fast:4")));
            Request::new(Method::Post, &format!("/nodes/pve{node}/qemu")).form(&fields)
        }
        Move::Start(vmid) => Request::new(Method::Post, &vm(*vmid, "/status/start")),
        Move::Stop(vmid) => Request::new(Method::Post, &vm(*vmid, "/status/stop")),
        Move::Shutdown(vmid) => Request::new(Method::Post, &vm(*vmid, "/status/shutdown")),
        Move::Destroy { vmid, unreferenced } => {
            let rest = if *unreferenced {
                "?destroy-unreferenced-disks=1"
            } else {
                ""
            };
            Request::new(Method::Delete, &vm(*vmid, rest))
        }
        Move::Resize { vmid, gigabytes } => {
            let size = format!("{gigabytes}G");
            Request::new(Method::Put, &vm(*vmid, "/resize"))
                .form(&[("disk", "scsi0"), ("size", &size)])
        }
        Move::Detach(vmid) => {
            Request::new(Method::Put, &vm(*vmid, "/config")).form(&[("delete", "scsi0")])
        }
        Move::Migrate { vmid, node } => {
            return cluster.happen(Happening::ForeignMigrate {
                vmid: *vmid,
                to: format!("pve{node}"),
            });
        }
        Move::Recreate(vmid) => {
            return cluster.happen(Happening::ForeignRecreate {
                vmid: *vmid,
                name: "theirs".to_owned(),
            });
        }
        Move::Wait(time) => return cluster.advance(*time),
    };
    cluster.handle(&request.token(TOKEN));
}

fn rows(cluster: &mut Cluster, path: &str) -> Vec<Value> {
    let outcome = cluster.handle(&Request::new(Method::Get, path).token(TOKEN));
    match outcome.reply {
        omni_scale_proxmox_simulator::Reply::Answer(answer) => {
            answer.data().as_array().cloned().unwrap_or_default()
        }
        omni_scale_proxmox_simulator::Reply::Cut => Vec::new(),
    }
}

fn check(cluster: &mut Cluster) {
    let ids: Vec<u64> = rows(cluster, "/cluster/resources?type=vm")
        .iter()
        .filter_map(|row| row["vmid"].as_u64())
        .collect();
    assert_eq!(
        ids.len(),
        ids.iter().collect::<BTreeSet<_>>().len(),
        "a VMID twice"
    );
    let mut seen = 0;
    for node in ["pve1", "pve2", "pve3"] {
        let here = rows(cluster, &format!("/nodes/{node}/qemu"));
        seen += here.len();
        for volume in rows(cluster, &format!("/nodes/{node}/storage/fast/content")) {
            let owner = volume["vmid"]
                .as_u64()
                .and_then(|vmid| u32::try_from(vmid).ok())
                .expect("an owner");
            let vm = cluster
                .vms
                .get(&owner)
                .unwrap_or_else(|| panic!("{volume} has no owner"));
            assert_eq!(vm.node, node, "{volume} is not where its owner is");
        }
    }
    assert_eq!(seen, ids.len(), "a VM on two nodes or on none");
    for task in &cluster.tasks {
        let ends = task
            .log
            .iter()
            .filter(|line| line.starts_with("TASK "))
            .count();
        assert_eq!(ends, usize::from(task.ended.is_some()), "{}", task.upid);
        assert!(
            task.ended.is_none()
                || task
                    .log
                    .last()
                    .is_some_and(|line| line.starts_with("TASK "))
        );
        assert!(
            task.ended
                .as_ref()
                .is_none_or(|ended| ended.at >= task.started)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_requests_breaks_the_cluster(moves in moves()) {
        let mut cluster = Cluster::with_nodes(5, 3);
        for step in &moves {
            play(&mut cluster, step);
            check(&mut cluster);
        }
        assert!(cluster.settle());
        check(&mut cluster);
    }

    /// With faults and crashes volumes may be left over, as they are by the real one; VMIDs are never taken twice.
    #[test]
    fn no_fault_takes_a_vmid_twice(seed in any::<u64>(), moves in moves()) {
        let mut cluster = Cluster::with_nodes(seed, 3);
        cluster.faults = Faults::seeded(seed);
        cluster.unsettle(seed, 100..106, 30_000);
        for step in &moves {
            play(&mut cluster, step);
            let ids: BTreeSet<u32> = cluster.vms.keys().copied().collect();
            let by_node: usize = ["pve1", "pve2", "pve3"]
                .iter()
                .map(|node| cluster.vms.values().filter(|vm| vm.node == **node).count())
                .sum();
            assert_eq!(by_node, ids.len());
        }
        assert!(cluster.settle());
    }
}
