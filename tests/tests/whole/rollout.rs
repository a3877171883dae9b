//! From nothing to healthy, and again.

use omni_scale::exit::Exit;

use crate::site::{IDP, OMNI, Site, publish};

#[tokio::test(start_paused = true)]
async fn a_rollout_ends_with_everything_healthy_and_a_second_one_touches_nothing() {
    let site = Site::new().await;
    site.desk.run("apply --yes").await.done();
    assert!(site.idp.units.state().is_running());
    let status = site.desk.run("status --output json").await.done();
    let parsed: serde_json::Value = serde_json::from_str(&status.output).unwrap();
    let rows = parsed["status"].as_array().unwrap();
    assert!(rows.len() >= 7, "{rows:?}");
    for row in rows {
        assert_eq!(row["state"], "good", "{row}");
    }
    let (portrait, jobs) = (site.portrait(), site.idp.units.jobs());
    site.omni.engine.forget_calls();
    site.desk.run("apply --yes").await.done();
    assert_eq!(site.changes(), Vec::<String>::new());
    assert_eq!(site.idp.units.jobs(), jobs);
    assert_eq!(site.portrait(), portrait);
}

#[tokio::test(start_paused = true)]
async fn a_changed_image_recreates_its_container_and_nothing_else() {
    let site = Site::new().await;
    site.desk.run("apply --yes").await.done();
    publish(&site.omni, "registry.example/omni:v2");
    let compose = site.desk.read("compose.yaml").replace("omni:v1", "omni:v2");
    site.desk.write("compose.yaml", compose.as_bytes());
    site.omni.engine.forget_calls();
    site.desk.run("apply --yes").await.done();
    let changes = site.changes();
    let created: Vec<&String> = changes
        .iter()
        .filter(|change| change.starts_with("create "))
        .collect();
    assert_eq!(created.len(), 1, "{changes:?}");
    assert!(created[0].contains("omni-omni"), "{changes:?}");
    assert!(
        !changes.iter().any(|change| change.contains("tailscale")),
        "{changes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_runs_survives_a_restart_of_its_agents() {
    let site = Site::new().await;
    site.desk.run("apply --yes").await.done();
    let portrait = site.portrait();
    for host in [IDP, OMNI] {
        site.host(host).kill();
    }
    site.desk.run("status").await.ended(Exit::Unreachable);
    for host in [IDP, OMNI] {
        site.host(host).start().await;
    }
    site.omni.engine.forget_calls();
    site.desk.run("apply --yes").await.done();
    assert_eq!(site.changes(), Vec::<String>::new());
    assert_eq!(site.portrait(), portrait);
}
