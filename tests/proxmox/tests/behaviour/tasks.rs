//! facts §1.7: tasks, their logs, and how to find one whose UPID was lost.

use omni_scale_proxmox_simulator::{Entry, Fault, Method, Rule, Token};
use serde_json::json;

use crate::support::{IMAGE, Lab, fault_of, task_path};

fn start_create(lab: &mut Lab, vmid: &str) -> String {
    let answer = lab.post("/nodes/pve1/qemu", &[("vmid", vmid), ("scsi0", "fast:8")]);
    assert_eq!(answer.status, 200, "{}", answer.reason);
    answer.data().as_str().expect("a UPID").to_owned()
}

/// facts §1.7: `UPID:node:pid:pstart:starttime:type:id:user:`; the token is split off in answers.
#[test]
fn a_task_is_named_by_its_upid() {
    let mut lab = Lab::new();
    let upid = start_create(&mut lab, "100");
    let parts: Vec<&str> = upid.split(':').collect();
    assert_eq!(
        (parts[0], parts[1], parts[5], parts[6], parts[7], parts[8]),
        (
            "UPID",
            "pve1",
            "qmcreate",
            "100",
            "omni-scale@pve!tests",
            ""
        )
    );
    assert_eq!(
        u64::from_str_radix(parts[4], 16).unwrap(),
        lab.cluster.now() / 1000
    );
    lab.cluster.advance(500);
    let status = lab.data(&task_path("pve1", &upid, "status"));
    assert_eq!(
        (&status["user"], &status["tokenid"]),
        (&json!("omni-scale@pve"), &json!("tests"))
    );
    assert_eq!(status["status"], "running");
    assert!(lab.cluster.settle());
    let status = lab.data(&task_path("pve1", &upid, "status"));
    assert_eq!(
        (&status["status"], &status["exitstatus"]),
        (&json!("stopped"), &json!("OK"))
    );
}

/// facts §1.7 (bpg `proxmox/nodes/tasks/tasks.go` :161): a new task may be unknown for a moment.
#[test]
fn a_new_task_is_unknown_for_a_moment() {
    let mut lab = Lab::new();
    let upid = start_create(&mut lab, "100");
    let path = task_path("pve1", &upid, "status");
    assert_eq!(fault_of(&lab.get(&path), "upid"), "no such task");
    lab.cluster.advance(lab.cluster.settings.task_unknown_ms);
    assert_eq!(lab.get(&path).status, 200);
}

/// pve-manager `Tasks.pm` :517.
#[test]
fn a_upid_that_is_none_is_said_to_be_none() {
    let mut lab = Lab::new();
    let answer = lab.get("/nodes/pve1/tasks/nonsense/status");
    assert_eq!(fault_of(&answer, "upid"), "unable to parse worker upid");
}

/// facts §1.7: 50 lines by default, the rest by paging, their number in `total`.
#[test]
fn a_log_comes_in_pages() {
    let mut lab = Lab::new();
    lab.image("pve1");
    let disks: Vec<(String, String)> = (0..16)
        .map(|disk| (format!("scsi{disk}"), format!("fast:0,import-from={IMAGE}")))
        .collect();
    let mut fields = vec![("vmid", "100")];
    fields.extend(
        disks
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let answer = lab.post("/nodes/pve1/qemu", &fields);
    assert_eq!(lab.ends(&answer), "OK");
    let upid = answer.data().as_str().unwrap().to_owned();
    let first = lab.get(&task_path("pve1", &upid, "log"));
    let total = first.body.as_ref().unwrap()["total"].as_u64().unwrap();
    assert_eq!(
        (first.data().as_array().unwrap().len(), total > 50),
        (50, true)
    );
    let last = lab.data(&task_path(
        "pve1",
        &upid,
        &format!("log?start={}&limit=500", total - 1),
    ));
    assert_eq!(last, json!([{"n": total, "t": "TASK OK"}]));
}

/// facts §1.7: a lost UPID is found by VMID and kind.
#[test]
fn a_lost_upid_is_found_in_the_list() {
    let mut lab = Lab::new();
    lab.cluster.faults.add(Rule::next(
        Method::Post,
        "/nodes/{node}/qemu",
        Fault::ReplyLost,
    ));
    let since = lab.cluster.now() / 1000;
    let lost = lab.outcome(
        omni_scale_proxmox_simulator::Request::new(Method::Post, "/nodes/pve1/qemu")
            .form(&[("vmid", "100"), ("scsi0", "fast:8")]),
    );
    assert_eq!(lost.reply, omni_scale_proxmox_simulator::Reply::Cut);
    let path = format!("/nodes/pve1/tasks?vmid=100&typefilter=qmcreate&source=all&since={since}");
    assert_eq!(lab.data(&path)[0]["status"], "RUNNING");
    assert_eq!(
        lab.data("/nodes/pve1/tasks?vmid=100"),
        json!([]),
        "the default shows ended ones only"
    );
    assert!(lab.cluster.settle());
    assert_eq!(lab.data(&path)[0]["status"], "OK");
    assert_eq!(lab.data(&path.replace("100", "101")), json!([]));
}

/// pve-manager `Tasks.pm` `check_task_user`: a token sees its own tasks, or all with Sys.Audit.
#[test]
fn other_tokens_tasks_need_sys_audit() {
    let mut lab = Lab::new();
    let upid = start_create(&mut lab, "100");
    assert!(lab.cluster.settle());
    let (id, secret) = (
        "omni-scale@pve!other",
        "22222222-2222-3333-4444-555555555555",
    );
    let token = Token {
        secret: secret.to_owned(),
        privilege_separation: true,
    };
    lab.cluster.access.tokens.insert(id.to_owned(), token);
    let mut other = lab.with_token("omni-scale@pve!other=22222222-2222-3333-4444-555555555555");
    assert_eq!(other.data("/nodes/pve1/tasks"), json!([]));
    let answer = other.get(&task_path("pve1", &upid, "status"));
    assert_eq!(
        answer.reason,
        "Permission check failed (/nodes/pve1, Sys.Audit)"
    );
    let entry = Entry {
        path: "/nodes".into(),
        to: id.into(),
        role: "PVEAuditor".into(),
        propagate: true,
    };
    other.cluster.access.entries.push(entry);
    assert_eq!(other.get(&task_path("pve1", &upid, "status")).status, 200);
}

/// facts §1.7: a worker that died has no end in its log, and what it held is free.
#[test]
fn a_worker_that_died_has_an_unexpected_status() {
    let mut lab = Lab::new();
    lab.cluster.faults.add(Rule::next(
        Method::Post,
        "/nodes/{node}/qemu",
        Fault::WorkerDies { after: 500 },
    ));
    let upid = start_create(&mut lab, "100");
    assert!(lab.cluster.settle());
    let status = lab.data(&task_path("pve1", &upid, "status"));
    assert_eq!(
        (&status["status"], &status["exitstatus"]),
        (&json!("stopped"), &json!("unexpected status"))
    );
    assert_eq!(lab.data("/nodes/pve1/qemu/100/config")["lock"], "create");
}

/// facts §1.7: DELETE on a task stops it, and a create that is stopped cleans up.
#[test]
fn a_task_can_be_stopped() {
    let mut lab = Lab::new();
    let upid = start_create(&mut lab, "100");
    lab.cluster.advance(500);
    let path = task_path("pve1", &upid, "");
    assert_eq!(lab.delete(path.trim_end_matches('/')).data(), &json!(null));
    let status = lab.data(&task_path("pve1", &upid, "status"));
    assert_eq!(status["exitstatus"], "received interrupt");
    assert!(lab.cluster.vms.is_empty());
    assert_eq!(lab.data("/nodes/pve1/storage/fast/content"), json!([]));
}
