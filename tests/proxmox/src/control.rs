//! What a test outside of the process asks of the simulator itself, below `/simulator/`. Not Proxmox VE's API; without
//! credentials, so the listener must be where only the test can reach it.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::cluster::Cluster;
use crate::faults::Rule;
use crate::happenings::Happening;
use crate::request::Method;
use crate::vms::Interface;

pub(crate) const BASE: &str = "/simulator/";

/// What the guest agent of a VM answers from now on; no interfaces mean that it no longer runs.
#[derive(Debug, Deserialize)]
struct Guest {
    vmid: u32,
    interfaces: Option<Vec<Interface>>,
}

/// `POST fault` ([`Rule`]), `POST happen` ([`Happening`]), `POST guest`, `GET state`.
pub(crate) fn answer(cluster: &mut Cluster, method: Method, path: &str, body: &[u8]) -> Answer {
    let done = match (method, path) {
        (Method::Post, "fault") => {
            serde_json::from_slice::<Rule>(body).map(|rule| cluster.faults.add(rule))
        }
        (Method::Post, "happen") => {
            serde_json::from_slice::<Happening>(body).map(|what| cluster.happen(what))
        }
        (Method::Post, "guest") => serde_json::from_slice::<Guest>(body).map(|guest| {
            if let Some(vm) = cluster.vms.get_mut(&guest.vmid) {
                vm.guest.interfaces = guest.interfaces;
            }
        }),
        (Method::Get, "state") => return found(state(cluster)),
        _ => {
            return Answer {
                status: 404,
                reason: "Not Found".to_owned(),
                body: None,
            };
        }
    };
    match done {
        Ok(()) => {
            cluster.touch();
            found(Value::Null)
        }
        Err(error) => Answer {
            status: 400,
            reason: "Bad Request".to_owned(),
            body: Some(json!(error.to_string())),
        },
    }
}

fn found(body: Value) -> Answer {
    Answer {
        status: 200,
        reason: "OK".to_owned(),
        body: Some(body),
    }
}

fn state(cluster: &Cluster) -> Value {
    let vms: Vec<Value> = cluster
        .vms
        .values()
        .map(|vm| {
            json!({"vmid": vm.vmid, "node": vm.node, "name": vm.config.get("name"), "uuid": vm.uuid(),
                "lock": vm.lock(), "running": vm.is_running()})
        })
        .collect();
    json!({"now": cluster.now(), "vms": vms, "violations": cluster.violations(),
        "running_tasks": cluster.tasks.iter().filter(|task| task.ended.is_none()).count()})
}
