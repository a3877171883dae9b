//! `status`, `logs`, `start`, `stop`, `restart`, `artifact upload`.

use std::time::Duration;

use omni_scale_proto::v1;

use super::*;
use crate::agents::fake::{Call, Fault};
use crate::exit::Exit;

#[tokio::test(start_paused = true)]
async fn what_runs_is_shown_as_good_and_what_stands_as_stopped() {
    let desk = Desk::rolled_out().await;
    let ran = desk.run("status --output json").await.done();
    let rows = ran.json("status");
    let rows = rows.as_array().unwrap();
    assert!(rows.len() >= 7, "{rows:?}");
    for row in rows {
        assert_eq!(row["state"], "good", "{row}");
    }
    desk.run("stop tsidp").await.done();
    let ran = desk.run("status").await.done();
    let line = ran.output.lines().find(|line| line.contains(" tsidp "));
    assert!(line.unwrap().contains("stopped"), "{}", ran.output);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_is_never_shown_as_good() {
    let desk = Desk::rolled_out().await;
    desk.network.leave(&OMNI.parse().unwrap());
    let ran = desk
        .run("status --output json")
        .await
        .ended(Exit::Unreachable);
    let rows = ran.json("status");
    for row in rows.as_array().unwrap() {
        let want = if row["host"] == OMNI {
            "unknown"
        } else {
            "good"
        };
        assert_eq!(row["state"], want, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_shows_a_host_that_goes_away_as_unknown() {
    let mut desk = Desk::rolled_out().await;
    desk.interrupts = Some(Duration::from_secs(60));
    let (watched, ()) = tokio::join!(desk.run("status --watch --output json"), async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        desk.network.leave(&OMNI.parse().unwrap());
    });
    let watched = watched.done();
    let tables: Vec<serde_json::Value> = watched
        .output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let states = |table: &serde_json::Value| {
        let rows = table["status"].as_array().unwrap().clone();
        let of_omni = rows.into_iter().filter(|row| row["host"] == OMNI);
        of_omni
            .map(|row| row["state"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let all = |wanted: &str| {
        tables
            .iter()
            .any(|table| states(table).iter().all(|state| state == wanted))
    };
    assert!(all("good"), "{}", watched.output);
    assert!(
        states(tables.last().unwrap())
            .iter()
            .all(|state| state == "unknown")
    );
}

#[tokio::test(start_paused = true)]
async fn targets_are_stopped_started_and_restarted_under_the_lease() {
    let desk = Desk::rolled_out().await;
    let runs = |service: &str| desk.hosts().world().host(OMNI).stack.runs(service);
    desk.run("stop stack").await.done();
    assert!(!runs("omni-tailscale") && !runs("omni"));
    desk.run("start omni-tailscale").await.done();
    assert!(runs("omni-tailscale") && !runs("omni"));
    desk.run("start stack").await.done();
    assert!(runs("omni") && runs("proxmox-provider"));
    let ran = desk.run("restart tsidp --output json").await.done();
    let done = ran.json("done");
    assert_eq!(
        (&done["host"], &done["target"]),
        (&IDP.into(), &"unit/tsidp".into())
    );
    assert!(desk.hosts().world().host(OMNI).current_lease().is_none());
    // Started and stopped by hand: a rollout finds nothing to do.
    desk.run("apply --yes").await.done();
}

#[tokio::test(start_paused = true)]
async fn what_runs_longer_than_a_lease_is_waited_for_with_and_without_it() {
    let desk = Desk::rolled_out().await;
    let slow = || desk.hosts().script(IDP, Call::Control, Fault::Slow, 1);
    slow();
    let ran = desk.run("restart tsidp").await.done();
    assert_eq!(ran.errors.matches("warning").count(), 0, "{}", ran.errors);
    slow();
    let (ran, ()) = tokio::join!(desk.run("restart tsidp"), async {
        tokio::time::sleep(Duration::from_secs(15)).await;
        let mut world = desk.hosts().world();
        world.host(IDP).lease_to("grace@laptop", "another");
    });
    ran.done()
        .complains(&["warning:", "lease", "waiting for the end of what was begun"])
        .shows(&["made so"]);
    let world = desk.hosts().world();
    let asked = world.log.iter().filter(|(_, call)| *call == Call::Control);
    assert_eq!(asked.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_nobody_saw_is_8_and_no_plain_failure() {
    let desk = Desk::rolled_out().await;
    desk.hosts().script(IDP, Call::Control, Fault::NotSeen, 1);
    desk.run("restart tsidp")
        .await
        .ended(Exit::Unreachable)
        .complains(&["outcome unknown"]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_none_is_wrong_usage() {
    let desk = Desk::deployed().await;
    desk.run("restart onmi")
        .await
        .ended(Exit::Usage)
        .complains(&["did you mean `omni`?"]);
    desk.run("restart agent")
        .await
        .ended(Exit::Usage)
        .complains(&["systemctl restart omni-scale-agent"]);
    assert_eq!(desk.changes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn logs_are_printed_as_they_are() {
    let desk = Desk::deployed().await;
    desk.agent(OMNI).state().log = ["omni", "omni-tailscale"]
        .map(|source| v1::LogLine {
            source: source.to_owned(),
            line: format!("from {source}"),
            ..v1::LogLine::default()
        })
        .to_vec();
    assert_eq!(desk.run("logs omni").await.done().output, "from omni\n");
    assert_eq!(desk.run("logs omni -f").await.done().output, "from omni\n");
    let both = desk.run("logs stack").await.done();
    assert_eq!(
        both.output,
        "omni | from omni\nomni-tailscale | from omni-tailscale\n"
    );
    let ran = desk.run("logs omni --output json").await.done();
    assert_eq!(ran.json("log")["line"], "from omni");
}

#[tokio::test(start_paused = true)]
async fn a_log_line_commands_no_terminal() {
    let desk = Desk::deployed().await;
    // Sets the clipboard of whoever looks at it.
    let line = "before \u{1b}]52;c;ZXZpbA==\u{7} after\u{9b}2J".to_owned();
    desk.agent(OMNI).state().log = vec![v1::LogLine {
        source: "omni".to_owned(),
        line: line.clone(),
        ..v1::LogLine::default()
    }];
    let shown = desk.run("logs omni --color always").await.done().output;
    assert_eq!(shown, "before ]52;c;ZXZpbA== after2J\n");
    let ran = desk.run("logs omni --output json").await.done();
    assert!(!ran.output.trim_end().contains(char::is_control));
    assert_eq!(ran.json("log")["line"], line);
}

#[tokio::test(start_paused = true)]
async fn a_program_is_uploaded_and_its_sum_told() {
    let desk = Desk::deployed().await;
    desk.write("tsidp", "the program");
    let sum = omni_scale_proto::id::Sha256::of(b"the program").to_string();
    let words = format!("artifact upload {IDP} tsidp");
    let ran = desk.run(&format!("{words} --output json")).await.done();
    assert_eq!(ran.json("artifact")["sha256"], sum.as_str());
    assert_eq!(desk.agent(IDP).state().artifact, b"the program");
    desk.write("tsidp", "");
    desk.run(&words).await.ended(Exit::Usage);
}
