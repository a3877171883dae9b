//! Hosts that omni-scale has made itself: on the lab that `tests/lab/up --from-nothing` has
//! brought up.

use std::collections::BTreeSet;

use serde_json::Value;

use super::hosts::Lab;

/// The hosts that are machines.
const MACHINES: [&str; 2] = ["idp", "omni"];
/// As in `tests/lab/images/pve`.
const TOKEN: &str =
    "Authorization: PVEAPIToken=omni-scale@pve!lab=6f2b1a7c-3d4e-4f5a-8b6c-7d8e9f0a1b2c";
const TRAFFIC: &str = "/var/lib/proxmox-simulator/traffic.jsonl";

/// What the cluster answers.
fn cluster(lab: &Lab, path: &str) -> Value {
    let url = format!("https://localhost:8006/api2/json{path}");
    let answer = lab
        .on("pve", &["curl", "-fsSk", "-H", TOKEN, &url])
        .must("ask the cluster");
    let answer: Value = serde_json::from_str(&answer).expect("an answer is JSON");
    answer["data"].clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The virtual machines, as the cluster lists them.
fn machines(lab: &Lab) -> Vec<Value> {
    let listed = cluster(lab, "/cluster/resources?type=vm");
    listed.as_array().cloned().unwrap_or_default()
}

/// The configuration of a machine.
fn configuration(lab: &Lab, name: &str) -> Value {
    let machines = machines(lab);
    let machine = machines
        .iter()
        .find(|machine| machine["name"] == name)
        .unwrap_or_else(|| panic!("no machine is called {name}: {machines:?}"));
    let path = format!(
        "/nodes/{}/qemu/{}/config",
        text(&machine["node"]),
        machine["vmid"]
    );
    cluster(lab, &path)
}

/// The sums that files had when they were uploaded, told by whoever uploaded them.
fn uploaded_sums(lab: &Lab) -> BTreeSet<String> {
    let traffic = lab
        .on("pve", &["cat", TRAFFIC])
        .must("read what was asked of the cluster");
    traffic
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|exchange| text(&exchange["path"]).ends_with("/upload"))
        .map(|exchange| text(&exchange["params"]["checksum"]))
        .collect()
}

#[test]
fn everything_is_rolled_out_and_a_plan_finds_nothing_to_do() {
    let lab = Lab::take();
    lab.on("op", &["omni-scale", "plan"]).finds_nothing_to_do();
    lab.on("op", &["omni-scale", "status"])
        .must("ask for the status");
}

#[test]
fn a_host_has_booted_from_exactly_the_iso_that_was_uploaded() {
    let lab = Lab::take();
    let uploaded = uploaded_sums(&lab);
    let boots = lab
        .on("pve", &["cat", "/var/log/lab-machines"])
        .must("read which ISO each machine booted from");
    for name in MACHINES {
        let boot: Vec<&str> = boots
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|boot| boot[0] == name)
            .unwrap_or_else(|| panic!("{name} did not boot: {boots}"));
        let (uuid, sum) = (boot[1], boot[2]);
        assert!(uploaded.contains(sum), "{name}: {sum} of {uploaded:?}");
        let smbios = text(&configuration(&lab, name)["smbios1"]);
        assert!(smbios.contains(uuid), "{name}: {smbios}, {uuid}");
        // The machine itself says the same.
        lab.script(name, &format!("test -d /var/lib/cloud/instances/{uuid}"))
            .must("find the machine's UUID in what cloud-init keeps");
    }
}

#[test]
fn the_iso_is_neither_attached_nor_on_the_storage() {
    let lab = Lab::take();
    for name in MACHINES {
        let configuration = configuration(&lab, name).to_string();
        assert!(!configuration.contains(".iso"), "{name}: {configuration}");
    }
    let content = cluster(&lab, "/nodes/pve1/storage/local/content");
    let uuids: Vec<String> = MACHINES
        .iter()
        .map(|name| text(&configuration(&lab, name)["smbios1"]))
        .map(|smbios| smbios.replace("uuid=", ""))
        .collect();
    for uuid in uuids {
        let content = content.to_string();
        assert!(!content.contains(&uuid), "{uuid}: {content}");
    }
}

#[test]
fn cloud_init_is_off_and_no_user_data_is_on_the_disk() {
    let lab = Lab::take();
    for name in MACHINES {
        let script = format!(
            "test -e /etc/cloud/cloud-init.disabled && ! test -e /run/omni-scale-first-boot && \
             test -z \"$(find / -xdev -type f \\( -name 'user-data*' -o -name obj.pkl \\) 2>/dev/null)\" && \
             ! grep -rqs tskey-auth-lab-{name}-machine /var/lib /var/log /etc /run"
        );
        lab.script(name, &script)
            .must("see that cloud-init is off and has kept nothing");
        let told = lab
            .script(name, "grep '^omni-scale: ' /var/log/cloud-init-output.log")
            .must("read what the first boot told");
        assert!(
            told.ends_with("omni-scale: done; this host waits to be enrolled\n"),
            "{told}"
        );
    }
}

#[test]
fn what_a_machine_was_first_booted_with_is_used_up() {
    let lab = Lab::take();
    for name in MACHINES {
        lab.script(name, "! test -e /var/lib/omni-scale/identity/token.json")
            .must("see that no enrolment is open");
        let listed = lab
            .on("op", &["omni-scale", "secret", "list", "pve"])
            .must("list the secrets of pve");
        for secret in [
            format!("enrollment-{name}"),
            format!("{name}-machine-auth-key"),
        ] {
            let line = listed.lines().find(|line| line.contains(&secret));
            assert!(
                line.is_some_and(|line| line.contains("used up")),
                "{secret}: {listed}"
            );
        }
    }
}

#[test]
fn a_host_that_boots_again_is_the_same_host() {
    let lab = Lab::take();
    lab.reboot("idp");
    lab.script("idp", "cloud-init status | grep -q disabled")
        .must("see that cloud-init stays off");
    lab.on("op", &["omni-scale", "plan"]).finds_nothing_to_do();
}

#[test]
fn control_planes_run_on_nodes_of_their_own() {
    let lab = Lab::take();
    // The cluster's own table of resources lags behind by some seconds.
    let listed = lab.on("op", &["omni-scale", "machines", "list"]);
    let listed = listed.must("list the machines");
    let planes: Vec<Vec<&str>> = listed
        .lines()
        .filter(|line| line.starts_with("talos-"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(planes.len(), 3, "{listed}");
    assert!(planes.iter().all(|plane| plane[1] == "running"), "{listed}");
    let nodes: BTreeSet<&str> = planes.iter().map(|plane| plane[2]).collect();
    assert_eq!(nodes.len(), 3, "{listed}");
}
