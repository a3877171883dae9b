//! facts §1.1, §1.2: answers that say nothing about what happened.

use omni_scale_proxmox_simulator::{
    Cluster, Fault, Faults, Happening, Method, Reply, Request, Rule, TOKEN,
};

use crate::support::Lab;

fn create(lab: &mut Lab, fault: Fault) -> omni_scale_proxmox_simulator::Outcome {
    lab.cluster
        .faults
        .add(Rule::next(Method::Post, "/nodes/{node}/qemu", fault));
    lab.outcome(Request::new(Method::Post, "/nodes/pve2/qemu").form(&[("vmid", "100")]))
}

fn status(outcome: &omni_scale_proxmox_simulator::Outcome) -> u16 {
    match &outcome.reply {
        Reply::Answer(answer) => answer.status,
        Reply::Cut => 0,
    }
}

/// facts §1.1: after a 596 the work may have happened, or not.
#[test]
fn a_gateway_timeout_says_nothing_about_the_effect() {
    for effect in [true, false] {
        let mut lab = Lab::new();
        let outcome = create(&mut lab, Fault::GatewayTimeout { effect });
        assert_eq!((status(&outcome), outcome.after), (596, 30_000));
        assert_eq!(lab.cluster.vms.contains_key(&100), effect);
    }
}

#[test]
fn a_cut_connection_says_nothing_about_the_effect() {
    for (fault, effect) in [(Fault::ReplyLost, true), (Fault::Reset, false)] {
        let mut lab = Lab::new();
        assert_eq!(create(&mut lab, fault).reply, Reply::Cut);
        assert_eq!(lab.cluster.vms.contains_key(&100), effect);
    }
}

#[test]
fn a_lock_timeout_and_a_missing_route_have_no_effect() {
    for (fault, expected) in [(Fault::LockTimeout, 500), (Fault::NoRoute, 595)] {
        let mut lab = Lab::new();
        assert_eq!(status(&create(&mut lab, fault)), expected);
        assert!(lab.cluster.vms.is_empty());
    }
    let mut lab = Lab::new();
    assert_eq!(create(&mut lab, Fault::Slow { by: 7_000 }).after, 7_000);
}

/// The listener stands on the first node: with it goes the whole API.
#[test]
fn a_crash_of_the_listeners_node_cuts_everything() {
    let mut lab = Lab::new();
    lab.cluster.happen(Happening::NodeCrash {
        node: "pve1".to_owned(),
        down: 1_000,
    });
    assert_eq!(
        lab.outcome(Request::new(Method::Get, "/version")).reply,
        Reply::Cut
    );
    lab.cluster.advance(1_000);
    assert_eq!(lab.get("/version").status, 200);
}

/// What is done to somebody else's VM is written down.
#[test]
fn a_change_of_a_foreign_vm_is_noted() {
    let mut lab = Lab::new();
    let foreign = Happening::ForeignCreate {
        vmid: 100,
        node: "pve1".to_owned(),
        name: "theirs".to_owned(),
    };
    lab.cluster.happen(foreign);
    assert_eq!(lab.data("/nodes/pve1/qemu/100/config")["name"], "theirs");
    assert!(lab.cluster.violations().is_empty(), "reading is fine");
    lab.put("/nodes/pve1/qemu/100/config", &[("name", "ours")]);
    assert_eq!(
        lab.cluster.violations(),
        ["PUT /nodes/{node}/qemu/{vmid}/config on VM 100"]
    );
}

/// The same seed, the same story: every answer and the state at the end.
#[test]
fn a_seed_tells_the_same_story_twice() {
    let story = |seed: u64| -> (Vec<String>, String) {
        let mut cluster = Cluster::with_nodes(seed, 3);
        cluster.faults = Faults::seeded(seed);
        cluster.unsettle(seed, 100..110, 60_000);
        let mut answers = Vec::new();
        for number in 0..30 {
            let vmid = (100 + number % 10).to_string();
            let node = format!("/nodes/pve{}/qemu", 1 + number % 3);
            let fields = [("vmid", vmid.as_str()), ("scsi0", "fast:8")];
            let outcome =
                cluster.handle(&Request::new(Method::Post, &node).form(&fields).token(TOKEN));
            answers.push(format!("{outcome:?}"));
            cluster.advance(1_000);
        }
        cluster.settle();
        (answers, serde_json::to_string(&cluster).unwrap())
    };
    for seed in 0..10 {
        assert_eq!(story(seed), story(seed));
    }
    assert_ne!(story(1), story(2));
}

/// A simulator that is killed comes back as it was.
#[test]
fn a_cluster_survives_being_written_down() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    lab.post("/nodes/pve1/qemu/100/status/start", &[]);
    lab.cluster.advance(200);
    let text = serde_json::to_string(&lab.cluster).unwrap();
    let mut again: Cluster = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
    assert!(again.settle());
    assert!(again.vms[&100].is_running());
}
