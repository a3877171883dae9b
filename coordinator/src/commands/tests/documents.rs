//! `eject`, `completions`, `manual`, and the help.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::exit::Exit;

#[tokio::test(start_paused = true)]
async fn the_help_is_as_written_down() {
    let ran = Desk::new().run("--help").await.done();
    insta::assert_snapshot!("help", ran.output);
}

#[tokio::test(start_paused = true)]
async fn the_version_is_said() {
    let ran = Desk::new().run("--version").await.done();
    ran.shows(&[env!("CARGO_PKG_VERSION")]);
}

#[tokio::test(start_paused = true)]
async fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = Desk::new()
            .run(&format!("completions {shell}"))
            .await
            .done();
        ran.shows(&["omni-scale", "resume"]);
    }
    Desk::new()
        .run("completions cobol")
        .await
        .ended(Exit::Usage);
}

#[tokio::test(start_paused = true)]
async fn there_is_a_manual_page_for_each_command() {
    let desk = Desk::new();
    desk.run("manual pages").await.done();
    let pages = std::fs::read_dir(desk.path("pages")).unwrap();
    let names: Vec<String> = pages
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    for command in ["", "-apply", "-secret-set", "-operator-revoke"] {
        let page = format!("omni-scale{command}.1");
        assert!(names.contains(&page), "no {page} in {names:?}");
    }
    assert!(!names.contains(&"omni-scale-manual.1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_ejected_stack_names_its_secrets_and_holds_none() {
    let desk = Desk::deployed().await;
    desk.run("eject")
        .await
        .done()
        .shows(&["services:", "omni-tailscale:"]);
    let ran = desk.run("eject --output json").await.done();
    assert!(ran.json("ejected")["compose"].is_string());
    desk.run("eject -o out/compose.yaml").await.done();
    let mode = std::fs::metadata(desk.path("out/.env"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    desk.run("eject -o out/compose.yaml")
        .await
        .ended(Exit::Failed);
    // Both files or none, so that the next try is not in the way of itself.
    std::fs::create_dir(desk.path("another")).unwrap();
    std::fs::copy(
        desk.path("out/compose.yaml"),
        desk.path("another/compose.yaml"),
    )
    .unwrap();
    desk.run("eject -o another/compose.yaml")
        .await
        .ended(Exit::Failed)
        .complains(&["`HOME/another/compose.yaml` exists"]);
    assert!(!desk.path("another/.env").exists());
    assert_eq!(desk.changes(), Vec::<String>::new());
}
