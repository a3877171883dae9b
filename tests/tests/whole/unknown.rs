//! Evidence that is lost is unknown, and never healthy.

use std::time::Duration;

use crate::site::{IDP, OMNI, Site};

/// The states of a host's targets in a table, by target.
fn states(table: &serde_json::Value, host: &str) -> Vec<(String, String)> {
    let rows = table["status"].as_array().unwrap().iter();
    rows.filter(|row| row["host"] == host)
        .map(|row| {
            let word = |key: &str| row[key].as_str().unwrap().to_owned();
            (word("target"), word("state"))
        })
        .collect()
}

fn tables(output: &str) -> Vec<serde_json::Value> {
    let lines = output.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn services_of_an_engine_that_is_gone_are_unknown() {
    let site = Site::new().await;
    site.desk.run("apply --yes").await.done();
    site.omni.engine.go_away();
    let status = site.desk.run("status --output json").await;
    let table = &tables(&status.output)[0];
    let of_stack: Vec<_> = states(table, OMNI)
        .into_iter()
        .filter(|(target, _)| target != "agent" && target != "tailnet")
        .collect();
    assert!(!of_stack.is_empty());
    for (target, state) in of_stack {
        assert_eq!(state, "unknown", "{target}");
    }
    assert!(states(table, IDP).iter().all(|(_, state)| state == "good"));
    site.omni.engine.come_back();
    // Until the product was asked again, it is not verified.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let status = site.desk.run("status --output json").await.done();
    let table = &tables(&status.output)[0];
    assert!(
        states(table, OMNI).iter().all(|(_, state)| state == "good"),
        "{table}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_unit_whose_bus_is_gone_is_unknown() {
    let site = Site::new().await;
    site.desk.run("apply --yes").await.done();
    site.idp.units.lose("the bus is away");
    let status = site.desk.run("status --output json").await;
    let table = &tables(&status.output)[0];
    let tsidp = states(table, IDP)
        .into_iter()
        .find(|(target, _)| target == "tsidp");
    assert_eq!(tsidp.unwrap().1, "unknown");
}

#[tokio::test(start_paused = true)]
async fn a_watch_follows_an_engine_and_an_agent_that_go_and_come() {
    let mut site = Site::new().await;
    site.desk.run("apply --yes").await.done();
    site.desk.interrupts = Some(Duration::from_secs(150));
    let story = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        site.omni.engine.go_away();
        tokio::time::sleep(Duration::from_secs(30)).await;
        site.omni.engine.come_back();
        tokio::time::sleep(Duration::from_secs(30)).await;
        site.idp.kill();
        tokio::time::sleep(Duration::from_secs(20)).await;
        site.idp.start().await;
    };
    let (watched, ()) = tokio::join!(site.desk.run("status --watch --output json"), story);
    let watched = watched.done();
    let tables = tables(&watched.output);
    let good = |table: &serde_json::Value, host| {
        states(table, host).iter().all(|(_, state)| state == "good")
    };
    let lost = |table: &serde_json::Value, host, target: &str| {
        states(table, host)
            .iter()
            .any(|(of, state)| of == target && state == "unknown")
    };
    let first = |what: &dyn Fn(&serde_json::Value) -> bool, from: usize| {
        let found = tables.iter().skip(from).position(what);
        from + found.unwrap_or_else(|| panic!("{}", watched.output))
    };
    let healthy = first(&|table| good(table, OMNI) && good(table, IDP), 0);
    let away = first(&|table| !good(table, OMNI), healthy);
    let back = first(&|table| good(table, OMNI), away);
    let gone = first(&|table| lost(table, IDP, "tsidp"), back);
    first(&|table| good(table, IDP) && good(table, OMNI), gone);
}
