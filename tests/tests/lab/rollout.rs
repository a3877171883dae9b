//! Rolling out: what changes, and what does not.

use super::hosts::Lab;
use super::site::{apply, containers, lasting, must_be_rolled_out, variant};

#[test]
fn apply_again_finds_nothing_to_do_and_restarts_nothing() {
    let lab = Lab::take();
    let before = containers(&lab);
    assert_eq!(before.len(), 3, "{before:?}");
    apply(&lab).finds_nothing_to_do();
    assert_eq!(containers(&lab), before);
}

#[test]
fn another_image_recreates_that_service_only_and_its_volumes_keep_their_data() {
    let lab = Lab::take();
    let (before, state) = (containers(&lab), lasting(&lab));
    variant(&lab, "newer.yaml", "s|/omni:v1.9.3|/omni:v1.9.4|");
    let newer = ["omni-scale", "--deployment", "newer.yaml", "apply", "--yes"];
    lab.on("op", &newer).ends(0, &[]);
    let (after, later) = (containers(&lab), lasting(&lab));
    apply(&lab).ends(0, &[]);
    let changed: Vec<&String> = before
        .keys()
        .filter(|service| before[*service] != after[*service])
        .collect();
    assert_eq!(changed, ["omni"], "{before:?} {after:?}");
    assert_eq!(state, later);
    must_be_rolled_out(&lab);
}

#[test]
fn bad_input_is_named_with_its_place_and_changes_nothing() {
    let lab = Lab::take();
    let before = containers(&lab);
    variant(&lab, "broken.yaml", "s/^omni:/omnii:/");
    let broken = [
        "omni-scale",
        "--deployment",
        "broken.yaml",
        "apply",
        "--yes",
    ];
    lab.on("op", &broken).ends(2, &["broken.yaml:", "omnii"]);
    assert_eq!(containers(&lab), before);
}
