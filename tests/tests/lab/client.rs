//! Omni's client at the real tsidp, and the login that shows what tsidp gives.

use serde_json::Value;

use super::hosts::{Lab, Ran, say};
use super::seed::Seed;
use super::site::{apply, containers, lasting, must_be_rolled_out, variant};
use super::tailnet::{Undo, becomes, control};

/// The older tsidp asks nobody for a grant here.
const CLIENTS: &str = "https://tsidp.tail.test/clients/";

/// How often the agent is killed while it registers; `OMNI_SCALE_LAB_KILLS` says otherwise.
const KILLS: u64 = 4;

/// The clients of this deployment at tsidp: their ids.
fn clients(lab: &Lab) -> Vec<String> {
    let listed = lab.on("op", &["curl", "-fsS", "--max-time", "20", CLIENTS]);
    let listed: Value = serde_json::from_str(&listed.must("list the clients")).expect("JSON");
    let id = "sed -n \"s/^id: //p\" deployment.yaml";
    let name = format!(
        "omni-scale {}",
        lab.script("op", id).must("read the id").trim()
    );
    let listed = listed.as_array().expect("a list");
    let ours = listed
        .iter()
        .filter(|client| client["name"] == name.as_str());
    ours.map(|client| client["client_id"].as_str().expect("an id").to_owned())
        .collect()
}

/// tsidp loses all clients of ours.
fn lose_clients(lab: &Lab) {
    for id in clients(lab) {
        let url = format!("{CLIENTS}{id}");
        lab.on("op", &["curl", "-fsS", "-X", "DELETE", &url])
            .must("delete a client");
    }
}

fn apply_variant(lab: &Lab, file: &str, more: &str) -> Ran {
    lab.script(
        "op",
        &format!("omni-scale --deployment {file} apply --yes {more}"),
    )
}

/// A change that makes the plan more than nothing, so that every gate is asked.
fn changed(lab: &Lab, file: &str, value: &str) {
    let edit = format!("s/TS_DISABLE_PORTMAPPER:.*/&\\n      LAB_ROUND: \"{value}\"/");
    variant(lab, file, &edit);
}

#[test]
fn a_client_that_tsidp_has_lost_is_registered_again_and_omni_told() {
    let lab = Lab::take();
    let state = lasting(&lab);
    let before = containers(&lab);
    assert_eq!(clients(&lab).len(), 1);
    lose_clients(&lab);
    lab.on("op", &["omni-scale", "plan"]).ends(
        0,
        &[
            "register omni client",
            "the issuer does not know it any more",
        ],
    );
    apply(&lab).ends(
        0,
        &["a login at https://tsidp.tail.test gives what Omni needs"],
    );
    assert_eq!(clients(&lab).len(), 1);
    let after = containers(&lab);
    assert_ne!(after["omni"], before["omni"]);
    assert_eq!(after["omni-tailscale"], before["omni-tailscale"]);
    assert_eq!(lasting(&lab), state);
    must_be_rolled_out(&lab);
}

/// What a kill between a request and the storing of its answer leaves behind: an orphan, whose
/// secret nobody will ever read.
#[test]
fn an_agent_killed_while_it_registers_leaves_one_client_in_the_end() {
    let lab = Lab::take();
    #[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
    let kills = std::env::var("OMNI_SCALE_LAB_KILLS").ok();
    let kills = kills.map_or(KILLS, |text| text.parse().expect("a number"));
    let mut seed = Seed::new("moments to kill the agent at");
    // Without the key that Omni needs, the plan ends after wave 3 and 4.
    variant(
        &lab,
        "until-omni.yaml",
        "s/secret: omni-encryption-key/secret: not-made-yet/",
    );
    let run = |words: &str| {
        let script = format!("omni-scale --deployment until-omni.yaml {words}");
        lab.script("op", &script)
    };
    let mut orphans = 0;
    for _ in 0..kills {
        lose_clients(&lab);
        // All of it takes 30 ms: the attempt is written down, the client asked for, its answer stored.
        // The first of these changes is waited for, and any of them is seen: a busy machine may let
        // the others pass meanwhile.
        let wait = seed.pick(0, 12);
        let script = format!(
            "pid=$(systemctl show -p MainPID --value omni-scale-agent); file=/var/lib/omni-scale/client/client.json; \
             before=$(<$file); while [[ $(<$file) == \"$before\" ]]; do :; done; \
             sleep 0.{wait:03}; kill -9 $pid; echo killed"
        );
        let mut kill = lab.start("omni", &["bash", "-c", &script]);
        let ran = run("apply --yes");
        let (_, moment) = kill.end(60);
        // systemd starts it again.
        becomes(&lab, "op", "omni-scale whoami omni", 30);
        let left = clients(&lab).len();
        // The one that tsidp has lost is deleted, too, in case that it is there again.
        let deleted = ran.output.matches("deleting the client").count();
        orphans += deleted.saturating_sub(1);
        say(&format!(
            "{} {wait} ms after the attempt: exit code {}, {left} clients",
            moment.lines().last().unwrap_or_default(),
            ran.code
        ));
        if ran.code != 0 {
            run("resume").ends(0, &[]);
        }
        run("apply --yes").ends(0, &[]);
        assert_eq!(clients(&lab).len(), 1, "{wait} ms: {ran}");
    }
    say(&format!(
        "{orphans} clients were left on the way, and deleted"
    ));
    apply(&lab).ends(0, &[]);
    must_be_rolled_out(&lab);
}

#[test]
fn the_clients_secret_is_in_one_file_of_its_host_and_in_omnis_configuration() {
    let lab = Lab::take();
    let secret = lab
        .script(
            "omni",
            "id=$(docker ps -q --filter label=com.docker.compose.service=omni); \
             file=$(docker inspect -f '{{join .Args \"\\n\"}}' $id | grep -A1 -x -e --config-path | tail -n1); \
             docker cp $id:$file - | tar xO",
        )
        .must("read Omni's configuration");
    let secret = secret
        .lines()
        .find_map(|line| line.trim().strip_prefix("clientSecret:"))
        .expect("Omni's configuration has the secret")
        .trim()
        .trim_matches('"');
    assert_eq!(secret.len(), 64, "tsidp's secrets are 64 hex digits");
    let search = format!(
        "grep -rlF {secret} /etc /var/lib/omni-scale /var/log /run/omni-scale 2>/dev/null || true"
    );
    let files = lab.script("omni", &search).must("search the host");
    let files: Vec<&str> = files.lines().collect();
    assert!(
        files.len() == 1 && files[0].starts_with("/var/lib/omni-scale/secrets/"),
        "{files:?}"
    );
    for (host, script) in [
        ("omni", "journalctl --no-pager"),
        ("omni", "docker inspect $(docker ps -aq)"),
        ("op", "cat -r /dev/null; grep -rhs . ~ /tmp"),
        ("idp", "journalctl --no-pager -u omni-scale-agent"),
    ] {
        let script = format!("{{ {script}; }} 2>/dev/null | grep -cF {secret}");
        let found = lab.script(host, &script);
        assert_eq!(found.data.trim(), "0", "on {host}: {script}");
    }
}

#[test]
fn identities_that_omni_would_not_take_stop_the_rollout_before_omni() {
    let lab = Lab::take();
    let before = containers(&lab);
    // What this tsidp gives: it drops `email_verified`, whatever the grant says.
    variant(
        &lab,
        "strict.yaml",
        "s/allow_unverified_email: true/allow_unverified_email: false/",
    );
    for accept in ["", "--accept-unproven-identity"] {
        apply_variant(&lab, "strict.yaml", accept).ends(
            4,
            &["email_verified", "extraClaims", "allow_unverified_email"],
        );
        assert_eq!(containers(&lab), before);
    }
    lab.on("op", &["omni-scale", "abort"]).ends(0, &[]);
    must_be_rolled_out(&lab);
}

#[test]
fn from_a_tagged_device_nothing_is_proven_and_that_is_gone_on_with_when_told() {
    let lab = Lab::take();
    lose_clients(&lab);
    let tagged = Undo::with(&lab, |lab| {
        control(lab, "POST", "/nodes/op/tags?tags=", "");
    });
    control(&lab, "POST", "/nodes/op/tags?tags=tag:operator", "");
    apply(&lab).ends(4, &["tagged", "--accept-unproven-identity"]);
    lab.on(
        "op",
        &["omni-scale", "apply", "--yes", "--accept-unproven-identity"],
    )
    .ends(0, &["gone on without"]);
    drop(tagged);
    // Once a person was seen to get in, a tagged device is only told that it cannot show it again.
    changed(&lab, "proof.yaml", "proof");
    apply_variant(&lab, "proof.yaml", "").ends(0, &[]);
    let tagged = Undo::with(&lab, |lab| {
        control(lab, "POST", "/nodes/op/tags?tags=", "");
    });
    control(&lab, "POST", "/nodes/op/tags?tags=tag:operator", "");
    apply(&lab).ends(0, &["user-1@fake-control.example.net"]);
    drop(tagged);
    must_be_rolled_out(&lab);
}
