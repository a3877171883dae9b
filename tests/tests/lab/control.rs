//! `start` and `stop` of what is rolled out.

use super::hosts::Lab;
use super::site::{becomes_green, containers, lasting, must_be_rolled_out, rows};

fn states(lab: &Lab) -> std::collections::BTreeMap<String, (String, String)> {
    let status = lab.on("op", &["omni-scale", "--output", "json", "status"]);
    rows(&status.must("ask for the status"))
}

#[test]
fn tsidp_stops_and_starts_and_nothing_else_does() {
    let lab = Lab::take();
    let before = containers(&lab);
    lab.on("op", &["omni-scale", "stop", "tsidp"])
        .ends(0, &["idp: "]);
    let stopped = states(&lab);
    lab.on("op", &["omni-scale", "start", "tsidp"])
        .ends(0, &["idp: "]);
    assert_eq!(stopped["idp/tsidp"].0, "bad", "{stopped:?}");
    becomes_green(&lab, 60);
    assert_eq!(containers(&lab), before);
    must_be_rolled_out(&lab);
}

#[test]
fn omni_stops_and_starts_with_its_data() {
    let lab = Lab::take();
    let (before, state) = (containers(&lab), lasting(&lab));
    lab.on("op", &["omni-scale", "stop", "omni"])
        .ends(0, &["omni: "]);
    let stopped = states(&lab);
    let left = containers(&lab);
    lab.on("op", &["omni-scale", "start", "omni"])
        .ends(0, &["omni: "]);
    assert_eq!(stopped["omni/omni"].0, "bad", "{stopped:?}");
    assert_eq!(
        left.keys().collect::<Vec<_>>(),
        ["omni-tailscale", "proxmox-provider"]
    );
    becomes_green(&lab, 60);
    let id = |container: &String| container.split(' ').next().map(str::to_owned);
    assert_eq!(id(&containers(&lab)["omni"]), id(&before["omni"]));
    assert_eq!(lasting(&lab), state);
    must_be_rolled_out(&lab);
}
