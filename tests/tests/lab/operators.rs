//! Several operators: who may, who has the lease, and who takes over.

use super::coordinators::{kill_at_line, resume};
use super::hosts::Lab;
use super::site::{apply, becomes_green, containers, lasting, must_be_rolled_out, rows};

/// Another operator on a machine of their own: another user of `op`.
const GRACE: &str = "grace@op";

/// Grace has a certificate of her own with this role, the deployment, and no journal.
fn grace(lab: &Lab, role: &str) {
    let script = format!(
        "id grace >/dev/null 2>&1 || useradd --create-home --shell /bin/bash grace
         rm -rf ~grace/.local ~grace/.config
         install -o grace -g grace -m 0644 ~alice/deployment.yaml ~alice/roots.pem ~grace
         rm -f ~alice/grace.credential
         runuser -u alice -- env HOME=/home/alice omni-scale --deployment ~alice/deployment.yaml \
           operator add grace --role {role} -o ~alice/grace.credential \
           --passphrase-file ~alice/passphrase.txt
         install -o grace -g grace -m 0600 ~alice/grace.credential ~grace/grace.credential
         rm ~alice/grace.credential"
    );
    lab.on("root@op", &["bash", "-euc", &script])
        .must("make another operator");
    lab.on(
        GRACE,
        &["omni-scale", "operator", "import", "grace.credential"],
    )
    .ends(0, &["grace"]);
}

#[test]
fn another_operator_takes_over_when_the_lease_of_a_lost_one_has_run_out() {
    let lab = Lab::take();
    let state = lasting(&lab);
    grace(&lab, "operator");
    lab.on("omni", &["docker", "stop", "-t", "1", "omni-omni-1"])
        .must("stop Omni");
    // Preflight has passed, and a step was begun.
    let killed = kill_at_line(&lab, "apply --yes", 6);
    assert!(killed.unfinished, "{}", killed.last);
    let locked = lab.on(GRACE, &["omni-scale", "apply", "--yes"]);
    locked.ends(7, &["alice@op", "since 20", "it ends in "]);

    let watch = ["omni-scale", "--output", "json", "status", "--watch"];
    let mut watch = lab.start(GRACE, &watch);
    watch.until("that nobody holds the lease", 60, |line| {
        let rows = rows(line);
        let free = |host: &str| {
            rows.get(host)
                .is_some_and(|(state, detail)| state == "good" && !detail.contains("lease held"))
        };
        (free("idp/agent") && free("omni/agent")).then_some(())
    });
    lab.on(GRACE, &["omni-scale", "apply", "--yes"])
        .ends(0, &[]);
    lab.on(GRACE, &["omni-scale", "apply", "--yes"])
        .finds_nothing_to_do();

    // Who was lost and comes back does not go on where another one has been.
    resume(&lab, &killed).ends(4, &["somebody else has changed the target"]);
    lab.on("op", &["omni-scale", "abort"])
        .ends(0, &["gave up rollout"]);
    assert_eq!(lasting(&lab), state);
    must_be_rolled_out(&lab);
}

#[test]
fn the_second_of_two_coordinators_is_told_who_is_at_work() {
    let lab = Lab::take();
    grace(&lab, "operator");
    lab.on(
        "omni",
        &[
            "docker",
            "stop",
            "-t",
            "1",
            "omni-omni-1",
            "omni-proxmox-provider-1",
        ],
    )
    .must("stop Omni and the provider");
    let mut first = lab.start("op", &["omni-scale", "-v", "apply", "--yes"]);
    first.until("that it holds the leases", 60, |line| {
        line.starts_with("holding the leases").then_some(())
    });
    // Of one machine, of another one, and without a rollout: all while the first one holds a gate.
    let all: [(&str, &[&str], &[&str]); 3] = [
        ("op", &["apply", "--yes"], &["alice@op", "since 20"]),
        (
            GRACE,
            &["apply", "--yes"],
            &["alice@op", "since 20", "it ends in "],
        ),
        (
            GRACE,
            &["restart", "proxmox-provider"],
            &["alice@op", "since 20", "it ends in "],
        ),
    ];
    let mut running = all.map(|(host, words, _)| {
        let command: Vec<&str> = ["omni-scale"].iter().chain(words).copied().collect();
        lab.start(host, &command)
    });
    let ends = running.each_mut().map(|second| second.end(60));
    let (code, said) = first.end(120);
    for ((_, words, texts), (code, said)) in all.iter().zip(ends) {
        assert_eq!(code, 7, "{words:?}: {said}");
        let missing: Vec<_> = texts.iter().filter(|text| !said.contains(**text)).collect();
        assert!(missing.is_empty(), "{words:?}: {missing:?}: {said}");
    }
    assert_eq!(code, 0, "{said}");
    must_be_rolled_out(&lab);
}

#[test]
fn a_viewer_may_look_and_a_revoked_operator_may_nothing() {
    let lab = Lab::take();
    let before = containers(&lab);
    grace(&lab, "viewer");
    lab.on(GRACE, &["omni-scale", "status"])
        .ends(0, &["healthy"]);
    lab.on(GRACE, &["omni-scale", "restart", "omni"])
        .ends(1, &["viewer"]);
    lab.on(GRACE, &["omni-scale", "logs", "omni"])
        .ends(1, &["viewer"]);
    let revoke = ["omni-scale", "operator", "revoke", "grace"];
    lab.on("op", &revoke).ends(0, &["2 of 2 hosts"]);
    let refused = lab.on(GRACE, &["omni-scale", "status"]);
    refused.ends(8, &["revoked"]);
    assert_eq!(containers(&lab), before);
    becomes_green(&lab, 60);
}

#[test]
fn a_renewed_certificate_is_in_force_at_once_and_nothing_restarts() {
    let lab = Lab::take();
    let before = containers(&lab);
    let agent = "systemctl show --property MainPID,NRestarts omni-scale-agent";
    let process = lab
        .script("omni", agent)
        .must("ask for the agent's process");
    let served = |lab: &Lab| {
        let certificate = ["cat", "/var/lib/omni-scale/identity/current/agent.pem"];
        lab.on("omni", &certificate)
            .must("read the agent's certificate")
    };
    let old = served(&lab);
    lab.script(
        "op",
        "omni-scale renew omni --passphrase-file passphrase.txt",
    )
    .ends(0, &["renewed the certificate of host `omni`"]);
    assert_ne!(served(&lab), old);
    lab.script(
        "op",
        "omni-scale renew --operator --passphrase-file passphrase.txt",
    )
    .ends(0, &["renewed the certificate of operator `alice`"]);
    assert_eq!(lab.script("omni", agent).data, process);
    must_be_rolled_out(&lab);
    assert_eq!(containers(&lab), before);
}

#[test]
fn a_rollout_that_was_killed_can_be_given_up() {
    let lab = Lab::take();
    lab.on(
        "omni",
        &["docker", "stop", "-t", "1", "omni-proxmox-provider-1"],
    )
    .must("stop the provider");
    let killed = kill_at_line(&lab, "apply --yes", 4);
    assert!(killed.unfinished, "{}", killed.last);
    lab.on("op", &["omni-scale", "abort"])
        .ends(0, &["gave up rollout"]);
    lab.on("op", &["omni-scale", "abort"])
        .ends(0, &["nothing to give up"]);
    // Its lease was given back, too.
    apply(&lab).ends(0, &["done"]);
    must_be_rolled_out(&lab);
}
