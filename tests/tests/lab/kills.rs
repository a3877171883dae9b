//! Killed at any moment of a rollout: the coordinator, an agent, the Engine. The end is the same as
//! without.

use super::coordinators::{kill_at_line, resume};
use super::hosts::{Lab, Ran, say};
use super::seed::Seed;
use super::site::{apply, containers, lasting, must_be_rolled_out, stop_everything, variant};

/// Lines of the journal of a rollout that starts everything; a kill after the last one kills
/// nothing, which is a case, too.
const JOURNAL_LINES: u64 = 18;

#[test]
fn a_coordinator_killed_at_any_record_resumes_to_the_same_end() {
    let lab = Lab::take();
    let state = lasting(&lab);
    let mut seed = Seed::new("moments to kill the coordinator at");
    // One in each third, so that a sample never lies in one place.
    let third = JOURNAL_LINES / 3;
    for round in 0..3 {
        stop_everything(&lab);
        let line = seed.pick(round * third + 1, (round + 1) * third);
        let killed = kill_at_line(&lab, "apply --yes", line);
        say(&format!("killed at line {line}: {}", killed.last.trim()));
        resume(&lab, &killed).ends(0, &[]);
        apply(&lab).finds_nothing_to_do();
        assert_eq!(containers(&lab).len(), 3, "killed at line {line}");
    }
    assert_eq!(lasting(&lab), state);
    must_be_rolled_out(&lab);
}

#[test]
fn a_killed_agent_serves_again_and_touches_nothing() {
    let lab = Lab::take();
    let before = containers(&lab);
    lab.script(
        "omni",
        "systemctl kill -s KILL omni-scale-agent && systemctl restart omni-scale-agent",
    )
    .must("kill the agent, and start it");
    apply(&lab).finds_nothing_to_do();
    assert_eq!(containers(&lab), before);
}

/// A rollout that recreates every container, during which a command runs on the Omni host: as soon
/// as the Engine has told of so many events of our containers.
pub(crate) fn during_a_rollout(lab: &Lab, deployment: &str, events: u64, command: &str) -> Ran {
    let since = lab.on("omni", &["date", "+%s.%N"]).must("ask for the time");
    // The watcher is ended by hand: after the last event of a rollout no write of its own would
    // tell it that nobody reads any more.
    let script = format!(
        "exec 3< <(exec docker events --since {} \
           --filter label=com.docker.compose.project=omni \
           --filter event=create --filter event=start --filter event=die --filter event=destroy \
           --format '{{{{.Action}}}} {{{{.Actor.Attributes.name}}}}'); watcher=$!; \
         head -n {events} <&3 | tail -n 1; {command}; kill $watcher 2>/dev/null || true",
        since.trim()
    );
    let mut beside = lab.start("omni", &["bash", "-c", &script]);
    let run = format!("omni-scale --deployment {deployment} apply --yes");
    let ran = lab.script("op", &run);
    let (_, moment) = beside.end(60);
    say(&format!(
        "`{command}` after event {events}: {moment}: exit code {}",
        ran.code
    ));
    ran
}

/// The same with a command that kills something, which may need a `resume`.
fn kill_during_a_rollout(lab: &Lab, deployment: &str, events: u64, kill: &str) {
    let ran = during_a_rollout(lab, deployment, events, kill);
    if ran.code != 0 {
        say(&format!("it needs a resume: {ran}"));
        let resume = format!("omni-scale --deployment {deployment} resume");
        let resumed = lab.script("op", &resume);
        say(&format!("resumed: {resumed}"));
        resumed.ends(0, &[]);
    }
    let again = format!("omni-scale --deployment {deployment} apply --yes");
    lab.script("op", &again).finds_nothing_to_do();
    assert_eq!(containers(lab).len(), 3, "{ran}");
}

/// The sidecar's environment is another one, so all is recreated.
pub(crate) fn changed(lab: &Lab) -> &'static str {
    variant(
        lab,
        "changed.yaml",
        "s/TS_DISABLE_PORTMAPPER:.*/&\\n      LAB_ROUND: \"1\"/",
    );
    "changed.yaml"
}

#[test]
fn an_agent_killed_in_the_middle_of_a_rollout_is_no_obstacle() {
    let lab = Lab::take();
    let state = lasting(&lab);
    let mut seed = Seed::new("moments to kill the agent at");
    let kill = "systemctl kill -s KILL omni-scale-agent";
    kill_during_a_rollout(&lab, changed(&lab), seed.pick(1, 5), kill);
    kill_during_a_rollout(&lab, "deployment.yaml", seed.pick(6, 10), kill);
    assert_eq!(lasting(&lab), state);
    must_be_rolled_out(&lab);
}

#[test]
fn an_engine_killed_in_the_middle_of_a_rollout_is_no_obstacle() {
    let lab = Lab::take();
    let state = lasting(&lab);
    let mut seed = Seed::new("moments to kill the Engine at");
    let kill = "systemctl kill -s KILL docker";
    kill_during_a_rollout(&lab, changed(&lab), seed.pick(1, 5), kill);
    kill_during_a_rollout(&lab, "deployment.yaml", seed.pick(6, 10), kill);
    assert_eq!(lasting(&lab), state);
    must_be_rolled_out(&lab);
}
