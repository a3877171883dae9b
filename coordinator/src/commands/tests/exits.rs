//! Each exit code of docs/exit-codes.md by a rollout that ends in it.

use super::*;
use crate::agents::Class;
use crate::agents::fake::{Call, Fault};
use crate::exit::Exit;

/// Everything runs, and the provider shall be one that exits at once.
async fn bad_provider() -> Desk {
    let desk = Desk::rolled_out().await;
    let image = "ghcr.io/siderolabs/omni-infra-provider-proxmox:bad";
    let resolved = desk.publish(image);
    desk.hosts().world().bad_images.insert(resolved);
    desk.edit(
        "omni-infra-provider-proxmox:v0.3.0",
        "omni-infra-provider-proxmox:bad",
    );
    desk
}

#[tokio::test(start_paused = true)]
async fn a_check_that_does_not_pass_is_3_and_nothing_was_done() {
    let desk = Desk::deployed().await;
    let fault = "permission denied on docker.sock";
    desk.hosts().world().host(OMNI).stack.engine_fault = fault.to_owned();
    let ran = desk.run("apply --yes").await.ended(Exit::ChecksFailed);
    ran.complains(&[OMNI, fault]);
    assert_eq!(desk.changes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_was_taken_back_is_5_and_no_success() {
    let desk = bad_provider().await;
    let ran = desk
        .run("apply --yes --output json")
        .await
        .ended(Exit::Undone);
    let rollout = ran.json("rollout");
    assert_eq!(
        (&rollout["result"], &rollout["exit_code"]),
        (&"undone".into(), &5.into())
    );
    assert!(
        desk.hosts()
            .world()
            .host(OMNI)
            .stack
            .runs("proxmox-provider")
    );
}

#[tokio::test(start_paused = true)]
async fn taking_back_that_fails_is_6() {
    let desk = bad_provider().await;
    desk.hosts().script(OMNI, Call::Apply, Fault::None, 1);
    desk.hosts()
        .script(OMNI, Call::Apply, Fault::Fails(Class::Permanent), 1);
    desk.run("apply --yes").await.ended(Exit::Stuck);
}

#[tokio::test(start_paused = true)]
async fn who_comes_second_is_told_who_holds_the_lease_since_when_and_until_when() {
    let desk = Desk::deployed().await;
    desk.hosts()
        .world()
        .host(OMNI)
        .lease_to("grace@laptop", "another");
    for words in [
        "apply --yes",
        "restart omni",
        "secret set omni-host omni-client-id",
    ] {
        let ran = desk.run_with(words, VALUE).await.ended(Exit::Locked);
        ran.complains(&[
            "grace@laptop holds it since ",
            "for rollout another",
            "it ends in ",
        ]);
    }
    assert_eq!(desk.hosts().calls(IDP, Call::Apply), 0);
}

#[tokio::test(start_paused = true)]
async fn two_rollouts_on_one_machine_exclude_each_other() {
    let desk = Desk::deployed().await;
    let (first, second) = tokio::join!(desk.run("apply --yes"), async {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        desk.run("apply --yes").await
    });
    first.done();
    second.ended(Exit::Locked).complains(&["ada@desk"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_answer_is_8() {
    let desk = Desk::deployed().await;
    desk.network.leave(&OMNI.parse().unwrap());
    for words in ["plan", "apply --yes", "status", "logs omni", "restart omni"] {
        desk.run(words).await.ended(Exit::Unreachable);
    }
    assert_eq!(desk.changes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn errors_for_programs_are_json_with_the_exit_code() {
    let desk = Desk::deployed().await;
    desk.network.leave(&OMNI.parse().unwrap());
    let ran = desk
        .run("restart omni --output json")
        .await
        .ended(Exit::Unreachable);
    assert_eq!(ran.json_error()["exit_code"], 8);
}

#[tokio::test(start_paused = true)]
async fn a_resume_that_cannot_go_on_does_not_say_that_nothing_was_changed() {
    let desk = Desk::deployed().await;
    let broken = Fault::Fails(Class::Permanent);
    desk.hosts().script(OMNI, Call::Apply, broken, 1);
    desk.run("apply --yes").await.ended(Exit::Held);
    desk.network.leave(&OMNI.parse().unwrap());
    desk.run("resume")
        .await
        .ended(Exit::Unreachable)
        .complains(&["nothing more was changed", "`omni-scale resume` goes on"]);
}
