//! What is rolled out, as the tests look at it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::hosts::{Lab, Ran};

/// Rows of the status table when all is rolled out: agent and tailnet of both hosts, tsidp, and
/// three services.
const ROWS: usize = 8;

/// Containers of the stack that run, by service: their id and when they were started.
pub(crate) fn containers(lab: &Lab) -> BTreeMap<String, String> {
    let format =
        r#"{{index .Config.Labels "com.docker.compose.service"}} {{.Id}} {{.State.StartedAt}}"#;
    let script = format!(
        "docker ps -q --filter label=com.docker.compose.project=omni | xargs -r docker inspect -f '{format}'"
    );
    let listed = lab.script("omni", &script).must("list the containers");
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
pub(crate) fn omni_state(lab: &Lab) -> Value {
    let url = "https://sidero.tail.test/stand-in/state";
    let answer = lab
        .on("op", &["curl", "-fsS", "--max-time", "20", url])
        .must("ask Omni for its state");
    serde_json::from_str(&answer).expect("the state is JSON")
}

/// What must survive whatever is done to the containers.
pub(crate) fn lasting(lab: &Lab) -> Value {
    let state = omni_state(lab);
    ["account", "users", "key_fingerprint"]
        .map(|kept| state[kept].clone())
        .into()
}

/// Rolls out the operator's deployment.
pub(crate) fn apply(lab: &Lab) -> Ran {
    lab.on("op", &["omni-scale", "apply", "--yes"])
}

/// Another deployment file beside the operator's: the same, changed by a script for sed.
pub(crate) fn variant(lab: &Lab, file: &str, edit: &str) {
    let script = format!("sed '{edit}' deployment.yaml >{file} && ! cmp -s deployment.yaml {file}");
    lab.script("op", &script)
        .must(&format!("change the deployment by `{edit}`"));
}

/// Demands that all is rolled out and runs, by who knows best: the plan, and then the status.
pub(crate) fn must_be_rolled_out(lab: &Lab) {
    apply(lab).finds_nothing_to_do();
    assert_eq!(containers(lab).len(), 3);
    becomes_green(lab, 60);
}

/// Waits until every row of the status is good.
pub(crate) fn becomes_green(lab: &Lab, seconds: u64) {
    let watch = ["omni-scale", "--output", "json", "status", "--watch"];
    let mut watch = lab.start("op", &watch);
    watch.until("that all is good", seconds, |line| {
        let rows = rows(line);
        (rows.len() == ROWS && rows.values().all(|(state, _)| state == "good")).then_some(())
    });
}

/// Rows of a status in JSON, by host and target: state, and what is said of it.
pub(crate) fn rows(line: &str) -> BTreeMap<String, (String, String)> {
    let status: Value = serde_json::from_str(line).unwrap_or_default();
    let rows = status["status"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| {
            let name = format!("{}/{}", text(&row["host"]), text(&row["target"]));
            (name, (text(&row["state"]), text(&row["detail"])))
        })
        .collect()
}

/// What a rollout leaves to be done when nothing runs: tsidp and all containers.
pub(crate) fn stop_everything(lab: &Lab) {
    lab.script("idp", "systemctl stop tsidp").must("stop tsidp");
    let stop =
        "docker ps -q --filter label=com.docker.compose.project=omni | xargs docker stop -t 1";
    lab.script("omni", stop).must("stop the containers");
}
