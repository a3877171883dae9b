//! No secret appears in what is printed, nor in any file that is written.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::agents::Class;
use crate::agents::fake::{Call, Fault};
use crate::exit::Exit;

/// Every file below a directory that holds the bytes.
fn holding(directory: &Path, bytes: &[u8], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holding(&path, bytes, found);
        } else if std::fs::read(&path)
            .unwrap()
            .windows(bytes.len())
            .any(|window| window == bytes)
        {
            found.push(path.display().to_string());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn values_of_secrets_are_nowhere_after_a_whole_story() {
    let mut desk = Desk::initialised().await;
    desk.complete();
    desk.bring_up_hosts();
    for host in [IDP, OMNI] {
        desk.hosts().world().host(host).secrets.clear();
        let token = desk.awaits_enrolment(host);
        let words = format!("enroll {host} --token-stdin -vv");
        desk.run_with(&words, &token).await.done();
    }
    let secrets = [
        (IDP, "tsidp-auth-key"),
        (OMNI, "omni-client-id"),
        (OMNI, "omni-client-secret"),
        (OMNI, "omni-auth-key"),
        (OMNI, "omni-provider-key"),
        (OMNI, "proxmox-token-secret"),
    ];
    for (host, name) in secrets {
        let words = format!("secret set {host} {name} -vv");
        desk.run_with(&words, &format!("{VALUE}-{name}\n"))
            .await
            .done();
    }
    desk.run(&format!(
        "secret generate {OMNI} omni-encryption-key --export omni.asc"
    ))
    .await
    .done();
    desk.run("plan -vv -o first.plan").await.done();
    desk.run("plan --output json").await.done();
    let broken = Fault::Fails(Class::Permanent);
    desk.hosts().script(OMNI, Call::Apply, broken, 1);
    desk.run("apply first.plan --yes -vv")
        .await
        .ended(Exit::Held);
    desk.run("resume --output json").await.done();
    desk.run("eject -o out/compose.yaml").await.done();
    desk.run("secret list --output json").await.done();
    desk.run("status -vv").await.done();
    desk.run_with(
        &format!("secret set {OMNI} omni-client-secret"),
        &format!("{VALUE}-new"),
    )
    .await
    .done();
    desk.run("apply --yes -vv").await.done();
    desk.interrupts = Some(Duration::from_secs(30));
    desk.run("status --watch").await.done();

    let value = VALUE.as_bytes();
    assert!(!desk.printed().contains(VALUE));
    let mut found = Vec::new();
    holding(desk.home.path(), value, &mut found);
    assert_eq!(found, Vec::<String>::new());
    // The one that was made on the host is in its export, which was asked for, and nowhere else.
    holding(desk.home.path(), b"made on the host", &mut found);
    assert_eq!(found, [desk.path("omni.asc").display().to_string()]);
    assert!(!desk.printed().contains("made on the host"));
}
