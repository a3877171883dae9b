//! Machines on a modelled Proxmox VE cluster: made once, shown, deleted, made anew.

use omni_scale::exit::Exit;

use crate::cluster;
use crate::site::{IDP, Site};

async fn with_machines() -> Site {
    let site = Site::new().await;
    let text = site.desk.read("deployment.yaml") + &cluster::declaration();
    site.desk.write("deployment.yaml", text.as_bytes());
    for (name, value) in [
        ("proxmox-token", cluster::token_secret()),
        ("omni-join", "kind: SideroLinkConfig"),
    ] {
        let words = format!("secret set {IDP} {name}");
        site.desk.run_with(&words, value).await.done();
    }
    site
}

#[tokio::test(start_paused = true)]
async fn control_planes_are_made_once_on_nodes_of_their_own() {
    let site = with_machines().await;
    site.desk.run("apply --yes").await.done();
    let listed = site.desk.run("machines list --output json").await.done();
    let listed: serde_json::Value = serde_json::from_str(&listed.output).unwrap();
    let machines = listed["machines"].as_array().unwrap();
    assert_eq!(machines.len(), 3, "{listed}");
    let mut nodes: Vec<&str> = Vec::new();
    for machine in machines {
        assert_eq!(machine["status"], "running", "{machine}");
        nodes.push(machine["node"].as_str().unwrap());
    }
    nodes.sort_unstable();
    assert_eq!(nodes, ["pve1", "pve2", "pve3"]);
    let again = site.desk.run("plan").await.done();
    assert!(again.output.contains("nothing to do"), "{}", again.output);
    assert!(site.cluster.cluster().violations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_machine_is_made_anew_as_another_one() {
    let site = with_machines().await;
    site.desk.run("apply --yes").await.done();
    let uuid = |listed: &str| {
        let listed: serde_json::Value = serde_json::from_str(listed).unwrap();
        listed["machines"][1]["uuid"].as_str().unwrap().to_owned()
    };
    let list = "machines list --output json";
    let before = uuid(&site.desk.run(list).await.done().output);
    site.desk
        .run("machines delete control-plane-2 --confirm control-plane-1")
        .await
        .ended(Exit::Usage);
    for _ in 0..2 {
        site.desk
            .run("machines delete control-plane-2 --confirm control-plane-2")
            .await
            .done();
    }
    site.desk.run("apply --yes").await.done();
    assert_ne!(uuid(&site.desk.run(list).await.done().output), before);
    let again = site.desk.run("plan").await.done();
    assert!(again.output.contains("nothing to do"), "{}", again.output);
}
