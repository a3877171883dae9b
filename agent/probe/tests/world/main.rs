//! Whole probes against servers on loopback: one test for each way to fail, and the ways to succeed.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod certificates;
mod nameserver;
mod program;
mod steps_to_the_peer;
mod web;
mod what_it_says;

use omni_scale_probe::{FailureClass, ProbeReport, Step};

/// What a report says that failed; panics when nothing did.
fn failure(report: &ProbeReport) -> (Step, FailureClass, String) {
    let failure = report.failure().expect("the probe should have failed");
    assert!(!report.met);
    assert_eq!(
        report.steps.last().map(|step| step.step),
        Some(failure.step),
        "nothing is tried after a failure"
    );
    (failure.step, failure.class, failure.message.to_owned())
}

/// The steps that a report has, in order.
fn steps(report: &ProbeReport) -> Vec<Step> {
    report.steps.iter().map(|step| step.step).collect()
}
