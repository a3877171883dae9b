//! Machines: made on the way, listed, controlled, deleted.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::*;
use crate::agents::Class;
use crate::agents::fake::{Call, Fault};
use crate::exit::Exit;

/// The secrets of the host that is made, as files.
const GIVEN: [&str; 7] = [
    "omni-auth-key",
    "omni-encryption-key",
    "omni-client-id",
    "omni-client-secret",
    "omni-provider-key",
    "proxmox-token-secret",
    "NONE",
];

/// Files for every secret of the host that is made; the host knows none of them.
fn give(desk: &Desk) {
    desk.hosts().world().host(OMNI).secrets.clear();
    for name in GIVEN.iter().filter(|name| **name != "NONE") {
        let file = format!("given/{OMNI}/{name}");
        desk.write(&file, VALUE);
        std::fs::set_permissions(desk.path(&file), Permissions::from_mode(0o600)).unwrap();
    }
}

fn first_boot_is_over(desk: &Desk) -> bool {
    let mut world = desk.hosts().world();
    let machines = &world.host(IDP).machines.machines;
    machines[OMNI].status == "running" && !machines[OMNI].first_boot
}

#[tokio::test(start_paused = true)]
async fn one_apply_makes_the_host_enrols_it_and_does_the_rest() {
    let desk = Desk::with_machines().await;
    desk.run("plan").await.done().shows(&[
        "wave 1 (host-machines)",
        "on node pve1 as VMID 5000",
        "note: the plan ends once `omni-host` can be asked",
    ]);
    assert_eq!(desk.changes(), Vec::<String>::new());
    let ran = desk.run("apply --yes").await.done();
    ran.shows(&[
        "wave 1",
        "wave 5",
        "step 7.3 on idp-host: machine/control-plane-3",
    ]);
    let waited = [
        "waiting for its agent at omni-host.tail.test",
        "enrolling its agent",
        "removing what it was first booted with",
    ];
    for words in waited {
        assert!(desk.printed().contains(words), "{}", desk.printed());
    }
    assert!(first_boot_is_over(&desk));
    {
        let mut world = desk.hosts().world();
        assert!(world.host(OMNI).stack.runs("omni"));
        assert_eq!(world.host(IDP).machines.machines.len(), 4);
    }
    desk.run("plan").await.done().shows(&["nothing to do"]);
}

#[tokio::test(start_paused = true)]
async fn who_stops_it_between_the_hosts_and_the_rest_goes_on_later() {
    let mut desk = Desk::with_machines().await;
    // After the hosts are made, and before planning waits no longer.
    desk.interrupts = Some(Duration::from_secs(1500));
    let (ran, ()) = tokio::join!(desk.run("apply --yes"), async {
        while !desk.hosts().world().host(OMNI).reachable {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut world = desk.hosts().world();
        let targets = &mut world.host(OMNI).targets;
        let stack = targets.entry("stack/omni".to_owned()).or_default();
        stack.pretend_running();
    });
    ran.ended(Exit::Held)
        .complains(&["the hosts are made", "`omni-scale apply` goes on"]);
    desk.interrupts = None;
    let target = "stack/omni";
    desk.hosts().world().host(OMNI).targets.remove(target);
    desk.run("apply --yes").await.done();
    assert!(desk.hosts().world().host(OMNI).stack.runs("omni"));
}

#[tokio::test(start_paused = true)]
async fn secrets_that_were_given_come_to_the_host_once_it_exists() {
    let desk = Desk::with_machines().await;
    give(&desk);
    let ran = desk.run("apply --yes --secrets given").await.done();
    ran.complains(&["set secret `omni-auth-key` on host `omni-host`"]);
    assert!(desk.hosts().world().host(OMNI).stack.runs("omni"));
    assert!(!desk.printed().contains(VALUE));
}

#[tokio::test(start_paused = true)]
async fn without_its_secrets_the_host_is_made_and_they_are_named() {
    let desk = Desk::with_machines().await;
    desk.hosts().world().host(OMNI).secrets.clear();
    desk.hosts()
        .world()
        .host(IDP)
        .secrets
        .remove("tsidp-auth-key");
    let ran = desk.run("apply --yes").await.done();
    ran.complains(&[
        "the hosts are made; set these secrets",
        "omni-scale secret set idp-host tsidp-auth-key",
    ]);
    assert!(first_boot_is_over(&desk));
    assert!(!desk.hosts().world().host(IDP).unit.active);
}

#[tokio::test(start_paused = true)]
async fn secrets_that_others_can_read_or_nobody_wants_are_refused_before_anything_is_done() {
    let desk = Desk::with_machines().await;
    give(&desk);
    let file = desk.path("given/omni-host/omni-auth-key");
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    desk.run("apply --yes --secrets given")
        .await
        .ended(Exit::Usage)
        .complains(&["can be read by others", "chmod 600"]);
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    desk.write("given/omni-host/omni-auth-kye", VALUE);
    desk.run("apply --yes --secrets given")
        .await
        .ended(Exit::Usage)
        .complains(&["is no secret that the deployment names"]);
    assert_eq!(desk.changes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn who_cannot_enrol_is_refused_before_anything_is_done() {
    let desk = Desk::with_machines().await;
    let grace = desk.colleague("grace", "operator").await;
    grace
        .run("apply --yes")
        .await
        .ended(Exit::Usage)
        .complains(&["`omni-host` must be enrolled", "role `admin`"]);
    let admin = desk.colleague("joan", "admin").await;
    admin
        .run("apply --yes")
        .await
        .ended(Exit::Usage)
        .complains(&[
            "`omni-host` must be enrolled",
            "there is no key of the authority",
        ]);
    assert_eq!(desk.hosts().calls(IDP, Call::AcquireLease), 0);
    assert_eq!(desk.hosts().calls(IDP, Call::Apply), 0);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_could_not_be_made_is_made_by_resume_and_the_rest_done() {
    let desk = Desk::with_machines().await;
    desk.hosts()
        .script(IDP, Call::Apply, Fault::Fails(Class::Permanent), 1);
    desk.run("apply --yes").await.ended(Exit::Held);
    assert!(!desk.hosts().world().host(OMNI).reachable);
    desk.run("resume --yes").await.done();
    assert!(first_boot_is_over(&desk));
    desk.run("plan").await.done().shows(&["nothing to do"]);
}

#[tokio::test(start_paused = true)]
async fn what_follows_hosts_that_were_made_is_begun_by_resume_when_it_never_was() {
    let desk = Desk::with_machines().await;
    // As after a kill between the two rollouts: the file holds the first of them.
    desk.run("plan -o hosts.plan").await.done();
    desk.run("apply hosts.plan --yes").await.done();
    assert!(first_boot_is_over(&desk));
    assert!(!desk.hosts().world().host(OMNI).stack.runs("omni"));
    desk.run("resume --yes").await.done();
    assert!(desk.hosts().world().host(OMNI).stack.runs("omni"));
    desk.run("resume --yes")
        .await
        .done()
        .complains(&["nothing to go on with"]);
}

#[tokio::test(start_paused = true)]
async fn machines_are_listed_stopped_and_deleted_by_their_typed_name() {
    let mut desk = Desk::with_machines().await;
    desk.run("apply --yes").await.done();
    desk.run("machines list")
        .await
        .done()
        .shows(&["control-plane-1", "running", "pve1", "5000"]);
    let listed = desk.run("machines list --output json").await.done();
    let listed = listed.json("machines");
    assert_eq!(listed.as_array().unwrap().len(), 4, "{listed}");
    assert_eq!(listed[0]["declared"], true, "{listed}");

    desk.run("machines stop control-plane-1").await.done();
    desk.run("status")
        .await
        .done()
        .shows(&["machine/control-plane-1", "stopped", "VMID"]);
    desk.run("machines start control-plane-1").await.done();
    desk.run("machines stop control-plain-1")
        .await
        .ended(Exit::ChecksFailed)
        .complains(&["did you mean `control-plane-1`?"]);

    desk.run("machines delete control-plane-1")
        .await
        .ended(Exit::Usage)
        .complains(&["nobody can be asked", "--confirm control-plane-1"]);
    desk.run("machines delete control-plane-1 --confirm control-plane-2")
        .await
        .ended(Exit::Usage)
        .complains(&["not deleted"]);
    desk.terminal = true;
    desk.run_with("machines delete control-plane-1", "control-plane-1\n")
        .await
        .done()
        .shows(&["deleted"]);
    desk.run("machines delete control-plane-1 --confirm control-plane-1")
        .await
        .done()
        .shows(&["it is not there; cleaned what it may have left"]);
    desk.run("plan")
        .await
        .done()
        .shows(&["create control-plane-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_machine_has_no_log_and_is_no_target_of_the_stack() {
    let desk = Desk::with_machines().await;
    for command in ["logs", "restart"] {
        desk.run(&format!("{command} control-plane-1"))
            .await
            .ended(Exit::Usage)
            .complains(&["is a machine", "omni-scale machines"]);
    }
}
