//! The host of Omni reboots.

use super::hosts::Lab;
use super::site::{becomes_green, lasting, must_be_rolled_out};

#[test]
fn after_a_reboot_everything_is_green_again_by_itself() {
    let lab = Lab::take();
    let state = lasting(&lab);
    lab.reboot("omni");
    becomes_green(&lab, 120);
    assert_eq!(lasting(&lab), state);
    must_be_rolled_out(&lab);
}
