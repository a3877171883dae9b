//! `plan`, `apply`, `resume`, `abort`.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::*;
use crate::agents::Class;
use crate::agents::fake::{Call, Fault};
use crate::exit::Exit;

#[tokio::test(start_paused = true)]
async fn a_rollout_ends_with_everything_running_and_a_second_one_has_nothing_to_do() {
    let desk = Desk::deployed().await;
    let plan = desk.run("plan").await.done();
    plan.shows(&["wave 2", "wave 5", "proxmox-provider"]);
    assert_eq!(desk.changes(), Vec::<String>::new());
    desk.run("apply --yes").await.done().shows(&["done"]);
    {
        let mut world = desk.hosts().world();
        assert!(world.host(IDP).unit.active);
        let stack = &world.host(OMNI).stack;
        assert!(stack.runs("omni") && stack.runs("proxmox-provider"));
        assert_eq!(world.host(OMNI).client.at_issuer.len(), 1);
    }
    let portrait = desk.hosts().portrait();
    let again = desk.run("apply --yes --output json").await.done();
    assert_eq!(again.json("rollout")["result"], "nothing-to-do");
    assert_eq!(desk.hosts().portrait(), portrait);
    assert_eq!(desk.hosts().calls(OMNI, Call::Apply), 4);
    desk.run("plan").await.done().shows(&["nothing to do"]);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_runs_to_its_own_end_although_nobody_reads_of_it() {
    let desk = Desk::rolled_out().await;
    let want = desk.hosts().portrait();
    for words in ["apply --yes", "apply --yes --output json"] {
        let mut desk = Desk::deployed().await;
        desk.closed_output = true;
        let broken = Fault::Fails(Class::Permanent);
        desk.hosts().script(OMNI, Call::Apply, broken, 1);
        desk.run(words).await.ended(Exit::Held);
        desk.run("resume --output json").await.done();
        assert_eq!(desk.hosts().portrait(), want, "{words}");
        desk.run("plan").await.done();
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_whose_reader_is_gone_is_done() {
    let mut desk = Desk::deployed().await;
    let broken = Fault::Fails(Class::Permanent);
    desk.hosts().script(OMNI, Call::Apply, broken, 1);
    desk.run("apply --yes").await.ended(Exit::Held);
    desk.closed_output = true;
    desk.run("abort")
        .await
        .done()
        .complains(&["`omni-scale plan` shows what is left to do"]);
}

#[tokio::test(start_paused = true)]
async fn only_a_clear_yes_applies() {
    let mut desk = Desk::deployed().await;
    desk.run_with("apply", "yes\n")
        .await
        .ended(Exit::Usage)
        .complains(&["nobody can be asked", "apply --yes"]);
    desk.terminal = true;
    for answer in ["no\n", "y\n", "\n", ""] {
        desk.run_with("apply", answer)
            .await
            .ended(Exit::Usage)
            .complains(&["not applied; nothing was changed"]);
    }
    assert_eq!(desk.changes(), Vec::<String>::new());
    desk.run_with("apply", "yes\n").await.done();
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_was_written_down_is_run_exactly_once() {
    let desk = Desk::deployed().await;
    desk.run("plan -o first.plan")
        .await
        .done()
        .complains(&["omni-scale apply first.plan"]);
    let mode = std::fs::metadata(desk.path("first.plan")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    desk.run("apply first.plan --yes").await.done();
    let before = desk.changes();
    let stale = desk.run("apply first.plan --yes").await;
    stale.ended(Exit::ChecksFailed).complains(&["generation"]);
    let applies = |changes: &[String]| changes.iter().filter(|one| one.ends_with("Apply")).count();
    assert_eq!(applies(&desk.changes()), applies(&before));
}

#[tokio::test(start_paused = true)]
async fn a_plan_without_steps_is_held_against_the_hosts_too() {
    let desk = Desk::rolled_out().await;
    desk.run("plan -o idle.plan").await.done();
    desk.run("apply idle.plan --yes").await.done();
    desk.publish("ghcr.io/siderolabs/omni:v1.11.0");
    desk.edit("omni:v1.10.4", "omni:v1.11.0");
    desk.run("apply --yes").await.done();
    let before = desk.changes();
    desk.run("apply idle.plan --yes")
        .await
        .ended(Exit::ChecksFailed)
        .complains(&["not any more what the plan was made from", "generation"]);
    assert_eq!(desk.changes(), before);
}

#[tokio::test(start_paused = true)]
async fn nothing_to_do_does_not_hide_a_rollout_that_stands_still() {
    let desk = Desk::deployed().await;
    let colleague = desk.colleague("grace", "operator").await;
    let broken = Fault::Fails(Class::Permanent);
    desk.hosts().script(OMNI, Call::Apply, broken, 1);
    desk.run("apply --yes").await.ended(Exit::Held);
    colleague.run("apply --yes").await.done();
    desk.run("apply --yes").await.ended(Exit::Held).complains(&[
        "(held) has stood still since 20",
        "`omni-scale resume`",
        "`omni-scale abort`",
    ]);
    let told = desk.run("apply --yes --output json").await;
    let told = told.ended(Exit::Held).json("rollout");
    assert_eq!(told["result"], "held");
    desk.run("abort").await.done();
    desk.run("apply --yes")
        .await
        .done()
        .shows(&["nothing to do"]);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_read_is_not_taken_for_none() {
    let desk = Desk::deployed().await;
    let broken = Fault::Fails(Class::Permanent);
    desk.hosts().script(OMNI, Call::Apply, broken, 1);
    desk.run("apply --yes").await.ended(Exit::Held);
    let directory = desk.path("state/omni-scale").join(desk.id());
    let journal = std::fs::read_dir(directory.join("rollouts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|one| one == "jsonl"))
        .unwrap();
    let text = std::fs::read_to_string(&journal).unwrap();
    let inside = journal.strip_prefix(desk.home.path()).unwrap();
    desk.write(inside.to_str().unwrap(), &text.replacen('\n', "\n?", 1));
    let name = journal.file_name().unwrap().to_str().unwrap();
    for command in ["resume", "abort"] {
        desk.run(command)
            .await
            .ended(Exit::ChecksFailed)
            .complains(&[name, "is damaged in line 2", "rollouts", "omni-scale apply"]);
        let rollout = name.strip_suffix(".jsonl").unwrap();
        desk.run(&format!("{command} {rollout}"))
            .await
            .ended(Exit::ChecksFailed)
            .complains(&[name, "is damaged in line 2", "rollouts", "omni-scale apply"]);
        for nothing in ["5f0c6a54-0000-4000-8000-000000000000", "first"] {
            desk.run(&format!("{command} {nothing}"))
                .await
                .ended(Exit::Usage)
                .complains(&["no such rollout"]);
        }
    }
    desk.run("apply --yes")
        .await
        .done()
        .complains(&["warning:", name, "is damaged in line 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_another_deployment_or_none_at_all_is_wrong_usage() {
    let desk = Desk::deployed().await;
    desk.run("plan -o first.plan").await.done();
    let other = Desk::deployed().await;
    other.write("first.plan", &desk.read("first.plan"));
    other.run("apply first.plan --yes").await.ended(Exit::Usage);
    other.write("first.plan", "{\"version\":1}");
    other.run("apply first.plan --yes").await.ended(Exit::Usage);
    assert_eq!(other.changes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_held_rollout_is_resumed_to_the_same_end() {
    let desk = Desk::rolled_out().await;
    let want = desk.hosts().portrait();
    let desk = Desk::deployed().await;
    let broken = Fault::Fails(Class::Permanent);
    desk.hosts().script(OMNI, Call::Apply, broken, 1);
    desk.run("apply --yes")
        .await
        .ended(Exit::Held)
        .complains(&["omni-scale resume"]);
    desk.run("resume").await.done();
    assert_eq!(desk.hosts().portrait(), want);
    desk.run("resume")
        .await
        .done()
        .complains(&["no rollout stands still"]);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_was_given_up_is_not_resumed_and_a_new_one_finishes_it() {
    let desk = Desk::rolled_out().await;
    let want = desk.hosts().portrait();
    let desk = Desk::deployed().await;
    let broken = Fault::Fails(Class::Permanent);
    desk.hosts().script(OMNI, Call::Apply, broken, 1);
    desk.run("apply --yes").await.ended(Exit::Held);
    let given_up = desk.run("abort --output json").await.done();
    assert!(given_up.json("aborted")["id"].is_string());
    desk.run("resume")
        .await
        .done()
        .complains(&["no rollout stands still"]);
    desk.run("abort")
        .await
        .done()
        .complains(&["nothing to give up"]);
    desk.run("apply --yes").await.done();
    assert_eq!(desk.hosts().portrait(), want);
}

#[tokio::test(start_paused = true)]
async fn somebody_who_presses_ctrl_c_goes_on_later() {
    let mut desk = Desk::rolled_out().await;
    let want = desk.hosts().portrait();
    for pause in [2, 8, 16] {
        desk = Desk::deployed().await;
        desk.interrupts = Some(Duration::from_secs(pause));
        desk.run("apply --yes")
            .await
            .ended(Exit::Held)
            .complains(&["omni-scale resume"]);
        desk.interrupts = None;
        desk.run("resume").await.done();
        assert_eq!(desk.hosts().portrait(), want, "after {pause} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_colleague_without_the_journal_finishes_what_was_left() {
    let desk = Desk::rolled_out().await;
    let want = desk.hosts().portrait();
    let mut desk = Desk::deployed().await;
    let colleague = desk.colleague("grace", "operator").await;
    // Leaves at the second Ctrl-C, in the middle of an act, with the lease.
    desk.interrupts = Some(Duration::from_secs(2));
    desk.run("apply --yes").await.ended(Exit::Held);
    tokio::time::sleep(Duration::from_secs(60)).await;
    colleague.run("apply --yes").await.done();
    assert_eq!(desk.hosts().portrait(), want);
}

#[tokio::test(start_paused = true)]
async fn one_changed_image_recreates_its_container_and_no_other() {
    let desk = Desk::rolled_out().await;
    desk.publish("ghcr.io/siderolabs/omni:v1.11.0");
    desk.edit("omni:v1.10.4", "omni:v1.11.0");
    desk.run("plan")
        .await
        .done()
        .shows(&["recreate", "v1.11.0"]);
    desk.run("apply --yes").await.done();
    let mut world = desk.hosts().world();
    let created = world.host(OMNI).stack.created.clone();
    assert_eq!(created["omni"], 2);
    assert_eq!(
        (created["omni-tailscale"], created["proxmox-provider"]),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_rollout_goes_as_far_as_the_secrets_allow() {
    let desk = Desk::deployed().await;
    desk.hosts()
        .world()
        .host(OMNI)
        .secrets
        .remove("omni-provider-key");
    let ran = desk.run("apply --yes").await.done();
    ran.complains(&["it ends before wave 6"]);
    {
        let mut world = desk.hosts().world();
        let stack = &world.host(OMNI).stack;
        assert!(stack.runs("omni") && !stack.runs("proxmox-provider"));
    }
    desk.run_with(&format!("secret set {OMNI} omni-provider-key"), VALUE)
        .await
        .done();
    desk.run("apply --yes").await.done();
    assert!(
        desk.hosts()
            .world()
            .host(OMNI)
            .stack
            .runs("proxmox-provider")
    );
}
