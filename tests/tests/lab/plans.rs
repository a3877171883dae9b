//! Plans in files.

use super::hosts::Lab;
use super::site::{containers, must_be_rolled_out};

#[test]
fn a_plan_in_a_file_is_run_once_and_refused_when_the_hosts_have_changed() {
    let lab = Lab::take();
    let before = containers(&lab);
    let stop = ["docker", "stop", "-t", "1", "omni-proxmox-provider-1"];
    lab.on("omni", &stop).must("stop the provider");
    lab.on("op", &["omni-scale", "plan", "-o", "change.plan"])
        .ends(0, &["proxmox-provider", "omni-scale apply change.plan"]);
    let apply = ["omni-scale", "apply", "change.plan", "--yes"];
    let first = lab.on("op", &apply);
    let after = containers(&lab);
    lab.on("omni", &stop).must("stop the provider once more");
    let second = lab.on("op", &apply);
    let running = containers(&lab);
    lab.on("op", &["omni-scale", "apply", "--yes"])
        .ends(0, &["done"]);

    first.ends(0, &["done"]);
    assert_eq!(after.len(), 3, "{after:?}");
    second.ends(3, &["generation of stack/omni", "make a new plan"]);
    assert_eq!(running.len(), 2, "{running:?}");
    assert_eq!(running["omni"], before["omni"]);
    must_be_rolled_out(&lab);
}
