//! From nothing to enrolled hosts.

use super::*;
use crate::exit::Exit;

#[tokio::test(start_paused = true)]
async fn a_wrong_word_is_wrong_usage_and_the_right_one_is_named() {
    let ran = Desk::new().run("plam").await.ended(Exit::Usage);
    assert_eq!(ran.output, "");
    ran.complains(&["'plan'"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_deployment_the_hint_says_how_to_make_one() {
    let desk = Desk::new();
    for words in ["plan", "apply", "status", "resume", "eject", "restart omni"] {
        desk.run(words).await.ended(Exit::Usage).complains(&[
            "there is no deployment at `HOME/deployment.yaml`",
            "omni-scale init",
        ]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_made_once() {
    let desk = Desk::new();
    let ran = desk.run("init --name ada --domain tail.test").await.done();
    insta::assert_snapshot!(ran.output, @r"
    made `HOME/deployment.yaml`, deployment ID
    made its authority and the certificate of operator `ada` in `HOME/config/omni-scale/ID`
    ");
    desk.run("init --name ada")
        .await
        .ended(Exit::Usage)
        .complains(&["has an authority already"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_deployment_lacks_nothing_but_its_hosts() {
    let desk = Desk::initialised().await;
    let ran = desk.run("plan").await.ended(Exit::Unreachable);
    ran.complains(&["`idp` cannot be reached", "`omni` cannot be reached"]);
}

#[tokio::test(start_paused = true)]
async fn hosts_are_enrolled_with_the_tokens_of_their_roots() {
    let mut desk = Desk::initialised().await;
    desk.complete();
    desk.bring_up_hosts();
    for host in [IDP, OMNI] {
        let token = desk.awaits_enrolment(host);
        let ran = desk
            .run(&format!("enroll {host} --token {token}"))
            .await
            .done();
        ran.shows(&[&format!("enrolled host `{host}`")]);
        assert!(desk.agent(host).state().enrolled.is_some());
    }
    desk.run("plan").await.done();
}

#[tokio::test(start_paused = true)]
async fn what_root_read_out_may_be_piped_in_and_is_told_to_programs() {
    let mut desk = Desk::initialised().await;
    desk.complete();
    desk.bring_up_hosts();
    let said = format!("Token for one hour:\n  {}\n", desk.awaits_enrolment(IDP));
    let words = format!("enroll {IDP} --token-stdin --output json");
    let ran = desk.run_with(&words, &said).await.done();
    assert_eq!(ran.json("enrolled")["host"], IDP);
    assert!(!desk.printed().contains(said.trim()));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_none_is_not_repeated() {
    let mut desk = Desk::initialised().await;
    desk.complete();
    desk.bring_up_hosts();
    let ran = desk
        .run_with(&format!("enroll {IDP} --token-stdin"), "rubbish")
        .await
        .ended(Exit::Usage)
        .complains(&["omni-scale-agent token"]);
    assert!(!ran.errors.contains("rubbish"), "{}", ran.errors);
}

#[tokio::test(start_paused = true)]
async fn an_agent_with_other_roles_than_the_deployments_is_not_enrolled() {
    let mut desk = Desk::initialised().await;
    desk.complete();
    desk.bring_up_hosts();
    desk.agent(IDP).state().describe.roles = vec!["omni".to_owned()];
    let token = desk.awaits_enrolment(IDP);
    desk.run(&format!("enroll {IDP} --token {token}"))
        .await
        .ended(Exit::ChecksFailed)
        .complains(&["write `roles = [\"tsidp\"]` in /etc/omni-scale/agent.toml"]);
    assert_eq!(desk.agent(IDP).state().enrolled, None);
    // Nothing is written there yet.
    desk.agent(IDP).state().describe.roles = Vec::new();
    let token = desk.awaits_enrolment(IDP);
    desk.run(&format!("enroll {IDP} --token {token}"))
        .await
        .ended(Exit::ChecksFailed)
        .complains(&["setup --role tsidp"]);
}
