//! A newer agent, and one that is restarted, while it has work in hand: nobody has to do anything.

use super::hosts::Lab;
use super::kills::{changed, during_a_rollout};
use super::seed::Seed;
use super::site::{apply, containers, lasting, must_be_rolled_out};

/// Installs from the repository that the lab serves.
const INSTALL: &str = "apt-get --yes --no-install-recommends --allow-downgrades install";

/// The version that is installed on the Omni host.
fn version(lab: &Lab) -> String {
    let query = "dpkg-query --show --showformat '${Version}' omni-scale-agent";
    lab.script("omni", query).must("ask for the version")
}

#[test]
fn a_rollout_goes_on_over_an_upgrade_and_a_way_back() {
    let lab = Lab::take();
    let (state, old) = (lasting(&lab), version(&lab));
    let mut seed = Seed::new("moments to upgrade at");
    let quietly = ">/dev/null 2>&1; echo upgraded: $?";
    let newest = format!("{INSTALL} omni-scale-agent {quietly}");
    let back = format!("{INSTALL} omni-scale-agent={old} {quietly}");
    for (deployment, command, wanted) in [
        (changed(&lab), newest, format!("{old}+next")),
        ("deployment.yaml", back, old),
    ] {
        let ran = during_a_rollout(&lab, deployment, seed.pick(1, 10), &command);
        ran.ends(0, &[]);
        assert_eq!(version(&lab), wanted);
        let again = format!("omni-scale --deployment {deployment} apply --yes");
        lab.script("op", &again).finds_nothing_to_do();
        assert_eq!(containers(&lab).len(), 3, "{ran}");
    }
    assert_eq!(lasting(&lab), state);
    must_be_rolled_out(&lab);
}

#[test]
fn an_upgrade_restarts_the_agent_and_nothing_else() {
    let lab = Lab::take();
    let (old, running) = (version(&lab), containers(&lab));
    let tsidp = "systemctl show --property MainPID --value tsidp";
    let serving = lab.script("idp", tsidp).must("look at tsidp");
    for host in ["idp", "omni"] {
        for package in [
            "omni-scale-agent".to_owned(),
            format!("omni-scale-agent={old}"),
        ] {
            lab.script(host, &format!("{INSTALL} {package}"))
                .must("install another version");
            apply(&lab).finds_nothing_to_do();
        }
    }
    assert_eq!(containers(&lab), running);
    assert_eq!(lab.script("idp", tsidp).must("look at tsidp"), serving);
}

#[test]
fn an_agent_that_is_restarted_again_and_again_loses_no_operation() {
    let lab = Lab::take();
    let state = lasting(&lab);
    let mut seed = Seed::new("moments to restart the agent at");
    for deployment in [changed(&lab), "deployment.yaml"] {
        let restart = "for _ in 1 2 3; do systemctl restart omni-scale-agent; done";
        let ran = during_a_rollout(&lab, deployment, seed.pick(1, 10), restart);
        ran.ends(0, &[]);
        let again = format!("omni-scale --deployment {deployment} apply --yes");
        lab.script("op", &again).finds_nothing_to_do();
    }
    assert_eq!(lasting(&lab), state);
    must_be_rolled_out(&lab);
}
