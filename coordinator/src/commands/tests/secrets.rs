//! `secret set`, `generate`, `list`.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::exit::Exit;

#[tokio::test(start_paused = true)]
async fn a_secret_is_set_without_its_line_break_and_listed_without_its_value() {
    let desk = Desk::deployed().await;
    let line = format!("{VALUE}\n");
    let words = format!("secret set {IDP} tsidp-auth-key");
    let ran = desk.run_with(&words, &line).await.done();
    ran.shows(&[&format!("set secret `tsidp-auth-key` on host `{IDP}`")]);
    let value = desk.agent(IDP).state().secrets["tsidp-auth-key"].clone();
    assert_eq!(value, VALUE.as_bytes());
    let listed = desk.run(&format!("secret list {IDP}")).await.done();
    listed.shows(&["tsidp-auth-key", "set"]);
    desk.run_with(&words, "\n")
        .await
        .ended(Exit::Usage)
        .complains(&["the value is empty"]);
}

#[tokio::test(start_paused = true)]
async fn a_secret_may_be_typed_where_nobody_sees_it() {
    let mut desk = Desk::deployed().await;
    desk.terminal = true;
    desk.run(&format!("secret set {IDP} tsidp-auth-key"))
        .await
        .done();
    let value = desk.agent(IDP).state().secrets["tsidp-auth-key"].clone();
    assert_eq!(value, VALUE.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_the_deployment_does_not_use_is_probably_a_slip() {
    let desk = Desk::deployed().await;
    desk.run_with(&format!("secret set {IDP} tsidp-auth-kex"), "x")
        .await
        .done()
        .complains(&["did you mean `tsidp-auth-key`?"]);
    desk.run_with("secret set idp-hots tsidp-auth-key", "x")
        .await
        .ended(Exit::Usage)
        .complains(&["did you mean `idp-host`?"]);
}

#[tokio::test(start_paused = true)]
async fn a_generated_secret_is_in_force_only_with_its_export_on_disk() {
    let desk = Desk::deployed().await;
    let words = format!("secret generate {OMNI} omni-encryption-key --export omni.asc");
    desk.run(&words).await.done().complains(&["safe place"]);
    let export = desk.path("omni.asc");
    assert_eq!(std::fs::read(&export).unwrap(), b"made on the host");
    let mode = std::fs::metadata(&export).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = desk.changes();
    assert!(before.contains(&format!("{OMNI}: secret omni-encryption-key")));
    let again = desk.run(&words).await.ended(Exit::Failed);
    again.complains(&["is not overwritten"]);
    assert_eq!(desk.changes(), before);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_listed_with_the_wave_that_needs_it() {
    let desk = Desk::deployed().await;
    let secret = "omni-client-secret";
    desk.hosts().world().host(OMNI).secrets.remove(secret);
    let ran = desk.run("secret list --output json").await.done();
    let secrets = ran.json("secrets");
    let missing = secrets
        .as_array()
        .unwrap()
        .iter()
        .find(|secret| secret["name"] == "omni-client-secret")
        .unwrap();
    assert_eq!(
        (&missing["state"], &missing["host"]),
        (&"missing".into(), &OMNI.into())
    );
    assert!(missing["needed_for"].as_str().unwrap().contains("client"));
}

#[tokio::test(start_paused = true)]
async fn secrets_of_a_host_that_does_not_answer_are_unknown() {
    let desk = Desk::deployed().await;
    desk.network.leave(&OMNI.parse().unwrap());
    let ran = desk.run("secret list").await.ended(Exit::Unreachable);
    let lines = ran.output.lines().filter(|line| line.starts_with(OMNI));
    assert!(lines.clone().count() > 3);
    for line in lines {
        assert!(line.contains("unknown"), "{line}");
    }
}
