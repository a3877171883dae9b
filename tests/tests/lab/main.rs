//! The rollout on real hosts: what must hold on the lab that `tests/lab/up` has brought up.
//!
//! Every test leaves the lab as it found it: rolled out, everything running. They take turns,
//! because there is one lab.

mod hosts;

use std::collections::BTreeMap;

use hosts::{Lab, Ran};

/// Containers of the stack by service: their id and when they were started.
fn containers(lab: &Lab) -> BTreeMap<String, String> {
    let format =
        r#"{{index .Config.Labels "com.docker.compose.service"}} {{.Id}} {{.State.StartedAt}}"#;
    let script = format!(
        "docker ps -q --filter label=com.docker.compose.project=omni | xargs docker inspect -f '{format}'"
    );
    let listed = lab
        .on("omni", &["sh", "-c", &script])
        .must("list the containers");
    listed
        .lines()
        .map(|line| {
            let (service, rest) = line
                .split_once(' ')
                .expect("a service and what is known of it");
            (service.to_owned(), rest.to_owned())
        })
        .collect()
}

/// Omni's own account of its state, as its stand-in keeps it on the volumes.
fn omni_state(lab: &Lab) -> serde_json::Value {
    let url = "https://sidero.tail.test/stand-in/state";
    let answer = lab
        .on("op", &["curl", "-fsS", "--max-time", "20", url])
        .must("ask Omni for its state");
    serde_json::from_str(&answer).expect("the state is JSON")
}

fn apply(lab: &Lab) -> Ran {
    lab.on("op", &["omni-scale", "apply", "--yes"])
}

/// Replaces Omni's tag in the operator's deployment.
fn omni_tag(lab: &Lab, from: &str, to: &str) {
    let edit = format!("s|/omni:{from}|/omni:{to}|");
    lab.on("op", &["sed", "-i", &edit, "deployment.yaml"])
        .must("edit the deployment");
}

#[test]
fn apply_again_finds_nothing_to_do_and_restarts_nothing() {
    let lab = Lab::take();
    let before = containers(&lab);
    assert_eq!(before.len(), 3, "{before:?}");
    let ran = apply(&lab);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.output.contains("nothing to do"), "{ran}");
    assert_eq!(containers(&lab), before);
}

#[test]
fn status_is_green_and_machine_readable() {
    let lab = Lab::take();
    let ran = lab.on("op", &["omni-scale", "--output", "json", "status"]);
    assert_eq!(ran.code, 0, "{ran}");
    let status: serde_json::Value = serde_json::from_str(&ran.data).expect("status is JSON");
    assert_eq!(status["version"], 1);
    let rows = status["status"].as_array().expect("rows");
    assert_eq!(rows.len(), 8, "{rows:?}");
    assert!(rows.iter().all(|row| row["state"] == "good"), "{rows:?}");
}

#[test]
fn another_image_recreates_that_service_only_and_its_volumes_keep_their_data() {
    let lab = Lab::take();
    let (before, state) = (containers(&lab), omni_state(&lab));
    omni_tag(&lab, "v1.9.3", "v1.9.4");
    let ran = apply(&lab);
    let after = containers(&lab);
    let later = omni_state(&lab);
    omni_tag(&lab, "v1.9.4", "v1.9.3");
    let back = apply(&lab);
    assert_eq!((ran.code, back.code), (0, 0), "{ran}\n{back}");
    let changed: Vec<&String> = before
        .keys()
        .filter(|service| before[*service] != after[*service])
        .collect();
    assert_eq!(changed, ["omni"], "{before:?} {after:?}");
    for kept in ["account", "users", "key_fingerprint"] {
        assert_eq!(state[kept], later[kept], "{state} {later}");
    }
}

#[test]
fn a_coordinator_killed_at_any_record_resumes_to_the_same_end() {
    let lab = Lab::take();
    for records in [1, 4, 9] {
        // A stopped container gives every round something to do.
        lab.on(
            "omni",
            &["docker", "stop", "-t", "1", "omni-proxmox-provider-1"],
        )
        .must("stop the provider");
        let script = format!(
            "omni-scale apply --yes >apply.log 2>&1 & pid=$!; \
             journal() {{ ls -t ~/.local/state/omni-scale/*/rollouts/*.jsonl | head -n 1; }}; \
             while kill -0 $pid 2>/dev/null; do \
               [ \"$(wc -l <\"$(journal)\")\" -ge {records} ] && [ \"$(journal)\" -nt apply.start ] && break; \
             done; kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null; true"
        );
        lab.on("op", &["sh", "-c", &format!("touch apply.start; {script}")])
            .must("kill the coordinator");
        let resumed = lab.on(
            "op",
            &["sh", "-c", "omni-scale resume || omni-scale apply --yes"],
        );
        assert_eq!(resumed.code, 0, "after {records} records: {resumed}");
        let again = apply(&lab);
        assert!(
            again.code == 0 && again.output.contains("nothing to do"),
            "after {records} records: {again}"
        );
        assert_eq!(containers(&lab).len(), 3);
    }
}

#[test]
fn a_killed_agent_serves_again_and_touches_nothing() {
    let lab = Lab::take();
    let before = containers(&lab);
    lab.on(
        "omni",
        &["systemctl", "kill", "-s", "KILL", "omni-scale-agent"],
    )
    .must("kill the agent");
    lab.on("omni", &["systemctl", "restart", "omni-scale-agent"])
        .must("start the agent");
    let ran = apply(&lab);
    assert!(
        ran.code == 0 && ran.output.contains("nothing to do"),
        "{ran}"
    );
    assert_eq!(containers(&lab), before);
}

#[test]
fn bad_input_is_named_with_its_place_and_changes_nothing() {
    let lab = Lab::take();
    let before = containers(&lab);
    let script = "sed 's/^omni:/omnii:/' deployment.yaml >broken.yaml; omni-scale --deployment broken.yaml apply --yes";
    let ran = lab.on("op", &["sh", "-c", script]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(
        ran.output.contains("broken.yaml:") && ran.output.contains("omnii"),
        "{ran}"
    );
    assert_eq!(containers(&lab), before);
}
