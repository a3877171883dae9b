//! `operator add`, `import`, `revoke`, `list`, and `renew`.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::exit::Exit;

#[tokio::test(start_paused = true)]
async fn a_colleague_has_a_certificate_of_their_own_until_it_is_revoked() {
    let desk = Desk::deployed().await;
    let colleague = desk.colleague("grace", "viewer").await;
    colleague.run("status").await.done();
    let listed = desk.run("operator list --output json").await.done();
    assert_eq!(listed.json("operators").as_array().unwrap().len(), 2);
    desk.run("operator revoke ada")
        .await
        .ended(Exit::Usage)
        .complains(&["the certificate that you use"]);
    let revoked = desk.run("operator revoke grace --output json").await.done();
    assert_eq!(revoked.json("revoked")["hosts_told"], 2);
    for host in [IDP, OMNI] {
        let (version, serials) = desk.agent(host).state().deny_list.clone();
        assert_eq!((version, serials.len()), (1, 1));
    }
    desk.run("operator list")
        .await
        .done()
        .shows(&["revoked", "valid"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_away_learns_of_a_revocation_with_the_next_rollout() {
    let desk = Desk::deployed().await;
    desk.run("operator add grace --role viewer -o grace.credential")
        .await
        .done();
    desk.network.leave(&OMNI.parse().unwrap());
    desk.run("operator revoke grace")
        .await
        .ended(Exit::Unreachable)
        .complains(&["omni-scale apply"]);
    assert_eq!(desk.agent(OMNI).state().deny_list.0, 0);
    desk.serve(&[OMNI]);
    desk.run("apply --yes").await.done();
    assert_eq!(desk.agent(OMNI).state().deny_list.0, 1);
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_for_its_owner_only_and_never_overwritten() {
    let desk = Desk::initialised().await;
    let words = "operator add grace --role operator -o grace.credential";
    desk.run(words).await.done().complains(&["hand it over"]);
    let file = desk.path("grace.credential");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    desk.run(words)
        .await
        .ended(Exit::Failed)
        .complains(&["is not overwritten"]);
    desk.write("rubbish.credential", "{}");
    desk.run("operator import rubbish.credential")
        .await
        .ended(Exit::Usage);
}

#[tokio::test(start_paused = true)]
async fn certificates_are_renewed_on_a_host_and_here() {
    let desk = Desk::deployed().await;
    let ran = desk.run(&format!("renew {IDP} --output json")).await.done();
    assert!(ran.json("renewed")["serial"].is_string());
    assert!(desk.agent(IDP).state().enrolled.is_some());
    desk.run("renew --operator")
        .await
        .done()
        .shows(&["renewed the certificate of operator `ada`"]);
    desk.run("plan").await.done();
}

#[tokio::test(start_paused = true)]
async fn every_command_warns_of_a_certificate_that_ends_soon() {
    let mut desk = Desk::deployed().await;
    desk.days_later = 70;
    desk.run("secret list").await.complains(&[
        "the certificate of operator `ada` ends in 19 days",
        "omni-scale renew --operator",
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_host_says_whom_it_takes_us_for() {
    let desk = Desk::deployed().await;
    desk.run(&format!("whoami {OMNI}")).await.done().shows(&[
        "desk.tail.test",
        "ada@example.net",
        "limited by the tailnet",
    ]);
    let ran = desk
        .run(&format!("whoami {OMNI} --output json"))
        .await
        .done();
    let me = ran.json("whoami");
    assert_eq!(
        (&me["role"], &me["limited_by"]),
        (&"operator".into(), &"tailnet".into())
    );
    desk.run("whoami nowhere").await.ended(Exit::Usage);
}
