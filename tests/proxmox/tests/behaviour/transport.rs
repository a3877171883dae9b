//! facts §1.1 and §1.2.

use omni_scale_proxmox_simulator::{Method, Request};
use serde_json::json;

use crate::support::{Lab, NET, fault_of};

/// pve-http-server `AnyEvent.pm` :890: a `;` that is not encoded cuts the form.
#[test]
fn a_bare_semicolon_in_a_form_loses_the_rest() {
    let mut lab = Lab::new();
    let mut request = Request::new(Method::Post, "/nodes/pve1/qemu").form(&[("vmid", "100")]);
    request.body.extend_from_slice(b"&tags=a;b=1");
    assert_eq!(
        fault_of(&lab.send(request), "b"),
        "property is not defined in schema and the schema does not allow additional properties"
    );
    lab.done("/nodes/pve1/qemu", &[("vmid", "100"), ("tags", "b;a")]);
    assert_eq!(lab.data("/nodes/pve1/qemu/100/config")["tags"], "a;b");
}

/// pve-http-server `AnyEvent.pm` :1657: a DELETE says what it wants in its query.
#[test]
fn a_delete_takes_its_parameters_from_the_query_only() {
    let mut lab = Lab::new();
    lab.vm("pve1", 100);
    let body = Request::new(Method::Delete, "/nodes/pve1/qemu/100").form(&[("purge", "1")]);
    assert_eq!(lab.send(body).status, 501);
    let answer = lab.delete("/nodes/pve1/qemu/100?purge=1");
    assert_eq!(lab.ends(&answer), "OK");
}

/// facts §1.1: JSON bodies are taken as forms are.
#[test]
fn a_json_body_creates_a_vm_too() {
    let mut lab = Lab::new();
    let body = json!({"vmid": 100, "cores": 2, "onboot": true, "net0": NET});
    let answer = lab.send(Request::new(Method::Post, "/nodes/pve1/qemu").json(&body));
    assert_eq!(lab.ends(&answer), "OK");
    let config = lab.data("/nodes/pve1/qemu/100/config");
    assert_eq!(
        (&config["cores"], &config["onboot"]),
        (&json!(2), &json!(1))
    );
}

/// facts §1.1: `memory` is text in a configuration, counts are numbers.
#[test]
fn a_configuration_mixes_numbers_and_text() {
    let mut lab = Lab::new();
    lab.done(
        "/nodes/pve1/qemu",
        &[
            ("vmid", "100"),
            ("memory", "2048"),
            ("balloon", "0"),
            ("onboot", "yes"),
        ],
    );
    let config = lab.data("/nodes/pve1/qemu/100/config");
    assert_eq!(
        (&config["memory"], &config["balloon"], &config["onboot"]),
        (&json!("2048"), &json!(0), &json!(1))
    );
    assert_eq!(config["digest"].as_str().map(str::len), Some(40));
}

/// pve-http-server `AnyEvent.pm` :322 and :1643: 401 is late, empty, and ends the connection.
#[test]
fn a_wrong_token_is_answered_late_and_without_a_body() {
    let mut lab = Lab::new().with_token("omni-scale@pve!tests=wrong");
    let outcome = lab.outcome(Request::new(Method::Get, "/version"));
    assert_eq!(outcome.after, 3_000);
    let answer = lab.get("/version");
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (401, "invalid token value!")
    );
    assert!(answer.body.is_none() && answer.closes());
}

/// facts §1.2: an old version says why in the reason phrase and nowhere else.
#[test]
fn an_old_version_has_its_message_in_the_reason_only() {
    let mut lab = Lab::new();
    lab.cluster.settings.reason_only = true;
    let answer = lab.get("/nodes/pve1/qemu/100/config");
    assert_eq!(
        answer.reason,
        "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"
    );
    assert_eq!(answer.body, Some(json!({"data": null})));
}

#[test]
fn a_call_that_is_not_there_is_not_implemented() {
    let mut lab = Lab::new();
    let answer = lab.get("/cluster/nothing");
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (501, "Method 'GET /cluster/nothing' not implemented")
    );
}

/// facts §1.1: a node that is down is 595, one that never was cannot be resolved.
#[test]
fn a_node_that_is_down_cannot_be_reached() {
    use omni_scale_proxmox_simulator::Happening;
    let mut lab = Lab::new();
    lab.cluster.happen(Happening::NodeCrash {
        node: "pve2".to_owned(),
        down: 60_000,
    });
    let answer = lab.get("/nodes/pve2/qemu");
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (595, "No route to host")
    );
    assert_eq!(lab.get("/nodes/pve9/qemu").status, 500);
    lab.cluster.advance(60_000);
    assert_eq!(lab.get("/nodes/pve2/qemu").status, 200);
}
