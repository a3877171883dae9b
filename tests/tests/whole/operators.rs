//! Several operators: one who takes over, two at once, one without the right.

use std::time::Duration;

use omni_scale::exit::Exit;

use crate::desk::Desk;
use crate::site::Site;

/// A colleague with a certificate of their own and a copy of the deployment, without any journal.
async fn colleague(site: &Site, role: &str) -> Desk {
    let file = site.desk.path("grace.credential");
    let words = format!("operator add grace --role {role} -o grace.credential");
    site.desk.run(&words).await.done();
    let desk = Desk::new(&site.desk.network);
    desk.run(&format!("operator import {}", file.display()))
        .await
        .done();
    for name in ["deployment.yaml", "compose.yaml"] {
        desk.write(name, site.desk.read(name).as_bytes());
    }
    desk
}

#[tokio::test(start_paused = true)]
async fn a_colleague_without_the_journal_takes_over_when_the_lease_has_run_out() {
    let undisturbed = Site::new().await;
    undisturbed.desk.run("apply --yes").await.done();
    let want = undisturbed.portrait();
    for pause in [300, 900, 1_500, 3_000, 6_000] {
        let mut site = Site::new().await;
        let grace = colleague(&site, "operator").await;
        // The second Ctrl-C leaves at once, whatever runs, and with the leases.
        site.desk.interrupts = Some(Duration::from_millis(pause));
        let left = site.desk.run("apply --yes").await;
        if left.exit == Exit::Done {
            continue;
        }
        let early = grace.run("apply --yes").await;
        if early.exit != Exit::Done {
            early.ended(Exit::Locked);
            tokio::time::sleep(Duration::from_secs(31)).await;
            grace.run("apply --yes").await.done();
        }
        assert_eq!(site.portrait(), want, "left after {pause} ms");
        site.omni.engine.forget_calls();
        grace.run("apply --yes").await.done();
        assert_eq!(site.changes(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_of_two_is_told_who_holds_the_lease_since_when_and_until_when() {
    let site = Site::new().await;
    let grace = colleague(&site, "operator").await;
    let (first, second) = tokio::join!(site.desk.run("apply --yes"), async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        grace.run("apply --yes").await
    });
    first.done();
    let second = second.ended(Exit::Locked);
    for words in ["ada@desk holds it since 20", "it ends in "] {
        assert!(second.errors.contains(words), "{}", second.errors);
    }
    grace.run("apply --yes").await.done();
}

#[tokio::test(start_paused = true)]
async fn a_viewer_looks_and_changes_nothing() {
    let site = Site::new().await;
    let grace = colleague(&site, "viewer").await;
    grace.run("plan").await.done();
    let refused = grace.run("apply --yes").await;
    assert_ne!(refused.exit, Exit::Done);
    assert!(
        refused
            .errors
            .contains("has the role viewer; this needs operator"),
        "{}",
        refused.errors
    );
    assert_eq!(site.changes(), Vec::<String>::new());
    site.desk.run("operator revoke grace").await.done();
    let revoked = grace.run("status").await;
    assert_ne!(revoked.exit, Exit::Done);
    assert!(revoked.output.contains("revoked"), "{}", revoked.output);
}
