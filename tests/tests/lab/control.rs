//! `start` and `stop` of what is rolled out.

use super::hosts::Lab;
use super::site::{becomes_green, containers, must_be_rolled_out, rows};

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
