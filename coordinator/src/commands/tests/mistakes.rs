//! Bad input: a message with its place, and nothing changed.

use super::*;
use crate::exit::Exit;

/// Runs `plan` and `apply` after a slip of the pen; both refuse with all of the words, and no
/// agent was asked for anything.
async fn refused(from: &str, to: &str, words: &[&str]) {
    let desk = Desk::deployed().await;
    desk.edit(from, to);
    refused_at(&desk, words).await;
}

async fn refused_at(desk: &Desk, words: &[&str]) {
    for command in ["plan", "apply --yes", "plan --output json"] {
        let ran = desk.run(command).await;
        assert_eq!(ran.exit, Exit::Usage, "{words:?}: {}", ran.output);
        if command.ends_with("json") {
            assert_eq!(ran.json_error()["exit_code"], 2);
        } else {
            ran.complains(words);
        }
    }
    assert_eq!(desk.hosts().world().log, Vec::new());
    assert_eq!(desk.changes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_shown_with_the_one_that_was_meant() {
    let words = ["HOME/deployment.yaml:3:1", "tailnets", "tailnet"];
    refused("tailnet:", "tailnets:", &words).await;
}

#[tokio::test(start_paused = true)]
async fn a_value_of_the_wrong_type_is_shown_with_its_place() {
    let words = ["HOME/deployment.yaml:34:27", "expected `true` or `false`"];
    refused(
        "allow_unverified_email: true",
        "allow_unverified_email: perhaps",
        &words,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_is_none_is_shown_with_its_place() {
    let words = ["HOME/deployment.yaml:25:10", "sha256"];
    refused("omni:v1.10.4", "omni:v1.10.4@sha256:1234", &words).await;
    let words = ["HOME/deployment.yaml:17:15", "64"];
    refused("sha256: e3b0c442", "sha256: x3b0c442", &words).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_no_yaml_is_shown_with_its_place() {
    refused(
        "roles: [tsidp]",
        "roles: [tsidp",
        &["HOME/deployment.yaml:"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_wrong_is_told_at_once() {
    let desk = Desk::deployed().await;
    desk.edit("lan_address: 192.168.1.20", "lan_address: nowhere");
    desk.edit("token_id: ", "token: ");
    desk.edit("host: idp-host", "host: idp");
    let ran = desk.run("plan").await.ended(Exit::Usage);
    ran.complains(&["nowhere", "token", "`idp`"]);
}

#[tokio::test(start_paused = true)]
async fn tsidp_and_omni_on_one_host_are_refused() {
    let desk = Desk::deployed().await;
    desk.edit("roles: [omni]", "roles: [omni, tsidp]");
    desk.edit("    host: idp-host", "    host: omni-host");
    refused_at(&desk, &["HOME/deployment.yaml:", "omni-host"]).await;
}

/// A deployment whose stack is the user's own.
async fn with_compose(compose: &str) -> Desk {
    let desk = Desk::deployed().await;
    let text = desk.read("deployment.yaml");
    let (before, rest) = text.split_once("  account_id:").unwrap();
    let _ = rest;
    let own = format!(
        "{before}  stack:\n    file: compose.yaml\n    sidecar: tailscale\n    omni: omni\n"
    );
    let own = own.replace("  lan_address: 192.168.1.20\n", "");
    desk.write("deployment.yaml", &own);
    desk.write("compose.yaml", compose);
    desk
}

const COMPOSE: &str = "\
name: omni
services:
  tailscale:
    image: tailscale/tailscale:v1.102.3
    ports:
      - \"192.168.1.20:8090:8090\"
    KEY
  omni:
    image: ghcr.io/siderolabs/omni:v1.10.4
    network_mode: service:tailscale
    depends_on: [tailscale]
";

#[tokio::test(start_paused = true)]
async fn a_compose_file_without_mistakes_is_planned() {
    let desk = with_compose(&COMPOSE.replace("    KEY\n", "")).await;
    desk.run("plan").await.done().shows(&["tailscale"]);
}

#[tokio::test(start_paused = true)]
async fn mistakes_in_a_compose_file_are_shown_with_their_place_and_name() {
    let mistakes: &[(&str, &[&str])] = &[
        ("    build: .", &["HOME/compose.yaml:7:5", "build"]),
        ("    links: [omni]", &["HOME/compose.yaml:7:5", "links"]),
        (
            "    hostname: ${NAME:?say a name}",
            &["HOME/compose.yaml:7:", "NAME", "say a name"],
        ),
        ("    hostname: ${NAME", &["HOME/compose.yaml:7:"]),
        ("    cap_add: NET_ADMIN", &["HOME/compose.yaml:7:14"]),
        ("      - \"80:many\"", &["HOME/compose.yaml:7:9", "80:many"]),
        (
            "      - \"0.0.0.0:8090:8091\"",
            &["HOME/compose.yaml:4:5", "publishes port 8090 of the host"],
        ),
        (
            "    user: a\n    user: b",
            &["HOME/compose.yaml:8:5", "user"],
        ),
    ];
    for (line, words) in mistakes {
        let desk = with_compose(&COMPOSE.replace("    KEY", line)).await;
        refused_at(&desk, words).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_compose_image_with_a_bad_digest_is_shown_with_its_place() {
    let compose = COMPOSE.replace("    KEY\n", "");
    let compose = compose.replace("omni:v1.10.4", "omni:v1.10.4@sha256:12");
    refused_at(
        &with_compose(&compose).await,
        &["HOME/compose.yaml:8:12", "sha256"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_named_with_its_host_and_how_to_set_it() {
    let desk = Desk::deployed().await;
    desk.hosts()
        .world()
        .host(OMNI)
        .secrets
        .remove("omni-encryption-key");
    desk.hosts().world().host(IDP).secrets.clear();
    let ran = desk.run("apply --yes").await;
    let ran = ran.ended(Exit::ChecksFailed);
    ran.complains(&[IDP, "tsidp-auth-key", "omni-scale secret set"]);
    assert_eq!(desk.changes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_taken_is_named_with_its_host() {
    let desk = Desk::deployed().await;
    desk.hosts()
        .world()
        .failing_checks
        .push(format!("preflight/{OMNI}/port"));
    let ran = desk.run("apply --yes").await.ended(Exit::ChecksFailed);
    ran.complains(&[OMNI, "port"]);
    assert_eq!(
        desk.hosts().calls(OMNI, crate::agents::fake::Call::Apply),
        0
    );
}
