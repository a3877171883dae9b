//! Watching: states and logs as they change, over restarts of what tells of them.

use super::hosts::Lab;
use super::running::Running;
use super::site::{must_be_rolled_out, rows};
use super::tailnet::Undo;

fn watch(lab: &Lab) -> Running {
    let mut watch = lab.start(
        "op",
        &["omni-scale", "--output", "json", "status", "--watch"],
    );
    until(&mut watch, "that all is good", |state| state == "good");
    watch
}

/// Waits until the state of every row is as wanted.
fn until(watch: &mut Running, what: &str, wanted: fn(&str) -> bool) {
    watch.until(what, 90, |line| {
        let rows = rows(line);
        (rows.len() == 8 && rows.values().all(|(state, _)| wanted(state))).then_some(())
    });
}

/// Waits until the state of one row is as wanted.
fn row_until(watch: &mut Running, row: &str, wanted: &str) {
    watch.until(&format!("that {row} is {wanted}"), 90, |line| {
        rows(line)
            .get(row)
            .is_some_and(|(state, _)| state == wanted)
            .then_some(())
    });
}

/// The agent's process, and how often systemd has restarted it.
fn agent(lab: &Lab, host: &str) -> String {
    let show = "systemctl show --property MainPID,NRestarts omni-scale-agent";
    lab.script(host, show).must("ask for the agent's process")
}

#[test]
fn status_is_green_and_machine_readable() {
    let lab = Lab::take();
    let ran = lab.on("op", &["omni-scale", "--output", "json", "status"]);
    let status = ran.must("ask for the status");
    let said: serde_json::Value = serde_json::from_str(&status).expect("one JSON document");
    assert_eq!(said["version"], 1, "{status}");
    let rows = rows(&status);
    assert_eq!(rows.len(), 8, "{rows:?}");
    assert!(rows.values().all(|(state, _)| state == "good"), "{rows:?}");
}

#[test]
fn a_bus_that_restarts_is_unknown_in_between_and_the_agent_lives() {
    let lab = Lab::take();
    let mut watch = watch(&lab);
    let before = agent(&lab, "idp");
    // A restart may be over before a busy machine has told of it.
    let back = Undo::with(&lab, |lab| {
        lab.script("idp", "systemctl start dbus.socket dbus")
            .must("start the bus");
    });
    lab.script("idp", "systemctl stop dbus.socket dbus")
        .must("stop the bus");
    row_until(&mut watch, "idp/tsidp", "unknown");
    drop(back);
    row_until(&mut watch, "idp/tsidp", "good");
    watch.signal("INT");
    let (code, said) = watch.end(10);
    assert_eq!(code, 0, "{said}");
    assert_eq!(agent(&lab, "idp"), before);
    must_be_rolled_out(&lab);
}

#[test]
fn an_engine_that_restarts_is_unknown_in_between_and_the_agent_lives() {
    let lab = Lab::take();
    let mut watch = watch(&lab);
    let before = agent(&lab, "omni");
    lab.script(
        "omni",
        "systemctl reset-failed docker; systemctl restart docker",
    )
    .must("restart the Engine");
    row_until(&mut watch, "omni/omni-tailscale", "unknown");
    until(&mut watch, "that all is good again", |state| {
        state == "good"
    });
    drop(watch);
    assert_eq!(agent(&lab, "omni"), before);
    must_be_rolled_out(&lab);
}

#[test]
fn a_log_that_is_followed_shows_new_lines_and_ends_when_told() {
    let lab = Lab::take();
    let mut log = lab.start("op", &["omni-scale", "logs", "omni", "--follow", "-n", "1"]);
    log.until("its last line", 20, |_| Some(()));
    let write = "echo a new line >/proc/$(docker inspect -f '{{.State.Pid}}' omni-omni-1)/fd/1";
    lab.script("omni", write).must("write a line to Omni's log");
    log.until("the new line", 20, |line| {
        (line == "a new line").then_some(())
    });
    log.signal("INT");
    let (code, said) = log.end(10);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_journal_that_is_followed_goes_on_over_a_restart() {
    let lab = Lab::take();
    let mut log = lab.start(
        "op",
        &["omni-scale", "logs", "tsidp", "--follow", "-n", "1"],
    );
    log.until("its last line", 20, |_| Some(()));
    let restart = ["omni-scale", "restart", "tsidp"];
    lab.on("op", &restart).ends(0, &["idp: "]);
    log.until("that tsidp starts anew", 30, |line| {
        line.contains("Running tsidp").then_some(())
    });
    log.signal("INT");
    let (code, said) = log.end(10);
    assert_eq!(code, 0, "{said}");
    must_be_rolled_out(&lab);
}

#[test]
fn a_sidecar_restarted_by_hand_is_seen_at_once_and_apply_puts_it_right() {
    let lab = Lab::take();
    let mut watch = watch(&lab);
    // It is back within a second, and whoever shared its namespace has none any more.
    lab.on(
        "omni",
        &["docker", "restart", "-t", "1", "omni-omni-tailscale-1"],
    )
    .must("restart the sidecar by hand");
    // Far less than what a look without an event would take.
    watch.until("that Omni's namespace is dead", 10, |line| {
        rows(line)
            .get("omni/omni")
            .is_some_and(|(state, _)| state == "bad")
            .then_some(())
    });
    drop(watch);
    let applied = lab.on("op", &["omni-scale", "apply", "--yes"]);
    applied.ends(0, &["recreate omni", "recreate proxmox-provider"]);
    let place = |step: &str| applied.output.find(step).expect("it was done");
    assert!(
        place("verified wave 4") < place("done step 5.1"),
        "{applied}"
    );
    assert!(
        place("verified wave 5") < place("done step 6.1"),
        "{applied}"
    );
    must_be_rolled_out(&lab);
}
