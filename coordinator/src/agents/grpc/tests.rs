//! Both sides of the wire: real TLS on loopback, a model of an agent behind it.

use std::sync::Arc;

use omni_scale_proto::enrollment::{EnrollmentSecret, EnrollmentToken, fingerprint};
use omni_scale_proto::id::HostName;
use omni_scale_proto::v1;
use time::{Duration, OffsetDateTime};

use super::testing::{Answerer, Loopback, ServerIdentity, TestAgent, serve, serve_host_only};
use super::{
    DialError, EnrollmentError, EnrollmentSession, GrpcAgents, LogSource, Unconnected, Upload,
};
use crate::agents::{Action, AgentError, Agents as _};
use crate::pki::{Authority, Credential, testing as pki};

fn host() -> HostName {
    "idp".parse().unwrap()
}

fn credential(authority: &Authority, now: OffsetDateTime) -> Credential {
    authority
        .issue_operator(&pki::operator("admin"), now)
        .unwrap()
}

fn agents(credential: &Credential, resolver: Loopback) -> GrpcAgents {
    let hosts = [(host(), "idp.example.ts.net".to_owned())];
    let resolver: Arc<dyn super::Network> = Arc::new(resolver);
    GrpcAgents::new(hosts, credential, &resolver).unwrap()
}

/// An agent named `name`, and a client with `credential`, both with one authority.
async fn connected(
    authority: &Authority,
    credential: &Credential,
    agent: &TestAgent,
) -> GrpcAgents {
    let identity = ServerIdentity::enrolled(authority, "idp", OffsetDateTime::now_utc());
    let address = serve(agent.clone(), identity).await;
    agents(credential, Loopback::to("idp", address))
}

fn dialled(error: &AgentError) -> &DialError {
    let AgentError::Unreachable { source, .. } = error else {
        panic!("{error:?}");
    };
    &source.downcast_ref::<Unconnected>().unwrap().0
}

fn operation() -> omni_scale_proto::operation::Operation {
    omni_scale_proto::operation::Operation {
        id: "a".repeat(64).parse().unwrap(),
        deployment: pki::deployment(),
        generation: 1,
        lease_epoch: 1,
        deadline_seconds: 60,
    }
}

#[tokio::test]
async fn an_operator_of_the_deployment_is_answered() {
    let (authority, now) = (pki::authority(), OffsetDateTime::now_utc());
    let agent = TestAgent::new("idp", &["tsidp"]);
    let agents = connected(&authority, &credential(&authority, now), &agent).await;
    let described = agents.describe(&host()).await.unwrap();
    assert_eq!(described.host_name, "idp");
}

#[tokio::test]
async fn an_operator_of_another_deployment_is_refused_before_anything_is_asked() {
    let (authority, other) = (pki::authority(), pki::authority());
    let now = OffsetDateTime::now_utc();
    // A stolen or foreign certificate together with the right authority.
    let foreign = credential(&other, now);
    let mixed = Credential::new(
        foreign.certificate().clone(),
        &pki::key_pem(&foreign),
        authority.certificate().clone(),
    )
    .unwrap();
    let agents = connected(&authority, &mixed, &TestAgent::new("idp", &[])).await;
    let error = agents.list_secrets(&host()).await.unwrap_err();
    assert!(matches!(error, AgentError::Refused { .. }), "{error:?}");
    assert!(
        error.hint().unwrap().contains("another deployment"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_ended_certificate_is_refused_and_the_hint_says_how_to_renew() {
    let authority = pki::authority();
    let old = credential(&authority, OffsetDateTime::now_utc() - Duration::days(100));
    let agents = connected(&authority, &old, &TestAgent::new("idp", &[])).await;
    let error = agents.describe(&host()).await.unwrap_err();
    assert!(matches!(error, AgentError::Refused { .. }), "{error:?}");
    assert!(
        error.hint().unwrap().contains("renew --operator"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_agent_of_another_deployment_is_not_believed() {
    let (authority, other) = (pki::authority(), pki::authority());
    let ours = credential(&authority, OffsetDateTime::now_utc());
    let agents = connected(&other, &ours, &TestAgent::new("idp", &[])).await;
    let error = agents.describe(&host()).await.unwrap_err();
    assert!(
        matches!(dialled(&error), DialError::Certificate { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_agent_with_another_host_name_is_not_believed() {
    let (authority, now) = (pki::authority(), OffsetDateTime::now_utc());
    let identity = ServerIdentity::enrolled(&authority, "omni", now);
    let address = serve(TestAgent::new("omni", &[]), identity).await;
    let agents = agents(&credential(&authority, now), Loopback::to("idp", address));
    let error = agents.describe(&host()).await.unwrap_err();
    assert!(
        matches!(dialled(&error), DialError::Certificate { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_agent_whose_certificate_has_ended_must_be_enrolled_again() {
    let (authority, now) = (pki::authority(), OffsetDateTime::now_utc());
    let identity = ServerIdentity::enrolled(&authority, "idp", now - Duration::days(100));
    let address = serve(TestAgent::new("idp", &[]), identity).await;
    let agents = agents(&credential(&authority, now), Loopback::to("idp", address));
    let error = agents.describe(&host()).await.unwrap_err();
    let hint = dialled(&error).hint().unwrap();
    assert!(hint.contains("omni-scale enroll"), "{hint}");
}

#[tokio::test]
async fn an_agent_without_a_certificate_is_not_enrolled() {
    let authority = pki::authority();
    let address = serve(TestAgent::new("idp", &[]), ServerIdentity::self_made()).await;
    let ours = credential(&authority, OffsetDateTime::now_utc());
    let agents = agents(&ours, Loopback::to("idp", address));
    let error = agents.describe(&host()).await.unwrap_err();
    assert!(matches!(error, AgentError::NotEnrolled { .. }), "{error:?}");
}

#[tokio::test]
async fn a_name_that_leads_nowhere_and_a_closed_port_are_unreachable() {
    let authority = pki::authority();
    let ours = credential(&authority, OffsetDateTime::now_utc());
    let error = agents(&ours, Loopback::default())
        .observe_unit(&host())
        .await
        .unwrap_err();
    assert!(
        matches!(dialled(&error), DialError::Resolve { .. }),
        "{error:?}"
    );
    let closed = Loopback::to("idp", "127.0.0.1:1".parse().unwrap());
    let error = agents(&ours, closed)
        .observe_unit(&host())
        .await
        .unwrap_err();
    let hint = dialled(&error).hint().unwrap();
    assert!(hint.contains("systemctl status omni-scale-agent"), "{hint}");
}

#[tokio::test]
async fn versions_that_do_not_overlap_are_said_in_one_sentence() {
    let (authority, now) = (pki::authority(), OffsetDateTime::now_utc());
    let agent = TestAgent::new("idp", &["tsidp"]);
    agent.state().describe.api_version_minimum = 2;
    agent.state().describe.api_version_maximum = 3;
    let agents = connected(&authority, &credential(&authority, now), &agent).await;
    assert!(agents.describe(&host()).await.is_ok());
    let error = agents.observe_unit(&host()).await.unwrap_err();
    assert!(error.to_string().contains("speaks API 2 to 3"), "{error}");
    assert_eq!(error.hint(), Some("upgrade this omni-scale"));
}

#[tokio::test]
async fn a_stream_that_ends_without_an_outcome_is_unknown() {
    let (authority, now) = (pki::authority(), OffsetDateTime::now_utc());
    let agent = TestAgent::new("idp", &["tsidp"]);
    let agents = connected(&authority, &credential(&authority, now), &agent).await;
    let action = Action::ApplyUnit {
        configuration: v1::UnitConfiguration::default(),
    };
    let done = agents.apply(&host(), &operation(), &action, &|_| {}).await;
    assert_eq!(done.unwrap().summary, "done");
    agent.state().cut_short = true;
    let error = agents
        .apply(&host(), &operation(), &action, &|_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, AgentError::Unknown { .. }), "{error:?}");
}

#[tokio::test]
async fn a_stream_that_is_ended_once_it_has_begun_is_unknown_whatever_it_says() {
    let (authority, now) = (pki::authority(), OffsetDateTime::now_utc());
    let agent = TestAgent::new("idp", &["tsidp"]);
    let agents = connected(&authority, &credential(&authority, now), &agent).await;
    let action = Action::ApplyUnit {
        configuration: v1::UnitConfiguration::default(),
    };
    for status in [
        tonic::Status::permission_denied("this device may not do it any more"),
        tonic::Status::unavailable("tailscaled does not answer"),
        tonic::Status::internal("odd"),
    ] {
        agent.state().broken_off = Some(status.clone());
        let error = agents
            .apply(&host(), &operation(), &action, &|_| {})
            .await
            .unwrap_err();
        assert!(matches!(error, AgentError::Unknown { .. }), "{error:?}");
        let chain = crate::rollout::chain(&error);
        assert!(chain.contains(status.message()), "{chain}");
    }
}

#[tokio::test]
async fn a_lease_that_is_over_is_lost_when_kept_and_fine_when_given_back() {
    let (authority, now) = (pki::authority(), OffsetDateTime::now_utc());
    let agent = TestAgent::new("idp", &["tsidp"]);
    let agents = connected(&authority, &credential(&authority, now), &agent).await;
    let request = crate::agents::LeaseRequest {
        deployment: pki::deployment(),
        holder: "ada@desk".to_owned(),
        rollout: "one".to_owned(),
    };
    let grant = agents.acquire_lease(&host(), &request).await.unwrap();
    assert!(
        agents
            .renew_lease(&host(), &request, grant.epoch)
            .await
            .is_ok()
    );
    let lost = agents
        .renew_lease(&host(), &request, grant.epoch + 1)
        .await
        .unwrap_err();
    assert!(matches!(lost, AgentError::LeaseLost { .. }), "{lost:?}");
    agents
        .release_lease(&host(), &request, grant.epoch + 1)
        .await
        .unwrap();
    agent.state().lease = Some(v1::LeaseHolder {
        holder: "bob@desk".to_owned(),
        rollout_id: "two".to_owned(),
        ..v1::LeaseHolder::default()
    });
    let held = agents.acquire_lease(&host(), &request).await.unwrap_err();
    assert!(matches!(held, AgentError::Held { .. }), "{held:?}");
    let lost = agents
        .renew_lease(&host(), &request, grant.epoch + 1)
        .await
        .unwrap_err();
    let AgentError::LeaseLost { holder, .. } = &lost else {
        panic!("{lost:?}");
    };
    assert_eq!(holder.as_ref().unwrap().holder, "bob@desk");
}

#[tokio::test]
async fn an_act_under_a_stale_epoch_is_a_lost_lease_and_not_just_refused() {
    let (authority, now) = (pki::authority(), OffsetDateTime::now_utc());
    let agent = TestAgent::new("idp", &["tsidp"]);
    {
        let mut state = agent.state();
        state.fenced = true;
        state.epoch = 7;
        state.lease = Some(v1::LeaseHolder {
            holder: "bob@desk".to_owned(),
            rollout_id: "two".to_owned(),
            epoch: 7,
            since_milliseconds: 1_700_000_000_000,
            remaining_milliseconds: 12_000,
        });
    }
    let agents = connected(&authority, &credential(&authority, now), &agent).await;
    let action = Action::ApplyUnit {
        configuration: v1::UnitConfiguration::default(),
    };
    let lost = agents
        .apply(&host(), &operation(), &action, &|_| {})
        .await
        .unwrap_err();
    let AgentError::LeaseLost { holder, .. } = &lost else {
        panic!("{lost:?}");
    };
    let holder = holder.as_ref().unwrap();
    assert_eq!((holder.holder.as_str(), holder.epoch), ("bob@desk", 7));
    assert_eq!(holder.since_milliseconds, 1_700_000_000_000);
    let explained = crate::output::Explanation::of(&lost.into());
    assert_eq!(explained.exit.code(), 7);
    let shown = explained.evidence.join("\n");
    assert!(
        shown.contains("bob@desk holds it since 2023-11-14") && shown.contains("ends in 12 s"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_service_that_an_agent_does_not_have_is_said_to_be_a_missing_role() {
    let (authority, now) = (pki::authority(), OffsetDateTime::now_utc());
    let identity = ServerIdentity::enrolled(&authority, "idp", now);
    let address = serve_host_only(TestAgent::new("idp", &[]), identity).await;
    let ours = credential(&authority, now);
    let agents = agents(&ours, Loopback::to("idp", address));
    let unit = agents.observe_unit(&host()).await.unwrap_err();
    assert_eq!(
        unit.to_string(),
        "could not observe the unit on host `idp`: refused: this agent has no role `tsidp`"
    );
    assert!(
        unit.hint().unwrap().contains("add `tsidp` to `roles`"),
        "{unit:?}"
    );
    let stack = LogSource::Stack {
        name: "omni".parse().unwrap(),
        services: Vec::new(),
    };
    let Err(log) = agents.read_log(&host(), &stack, 10, false).await else {
        panic!("there is no stack");
    };
    assert!(log.to_string().contains("has no role `omni`"), "{log}");
}

#[tokio::test]
async fn an_upload_goes_on_where_an_earlier_one_ended() {
    let (authority, now) = (pki::authority(), OffsetDateTime::now_utc());
    let agent = TestAgent::new("idp", &["tsidp"]);
    let agents = connected(&authority, &credential(&authority, now), &agent).await;
    let content: Vec<u8> = (0..700_000_u32).map(|index| (index % 251) as u8).collect();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tsidp");
    let (access, existing) = (crate::files::Access::Public, crate::files::Existing::Keep);
    crate::files::write(&path, &content, access, existing).unwrap();
    {
        let mut state = agent.state();
        state.artifact = content[..300_000].to_vec();
        state.artifact_held = Some(300_000);
    }
    let upload = Upload {
        path: &path,
        sha256: &omni_scale_proto::id::Sha256::of(&content),
        size: 700_000,
    };
    let answer = agents.put_artifact(&host(), upload, &|_| {}).await.unwrap();
    assert_eq!(answer.size, 700_000);
    assert!(agent.state().artifact == content);
}

#[tokio::test]
async fn logs_are_read_to_their_end() {
    use futures_util::StreamExt as _;
    let (authority, now) = (pki::authority(), OffsetDateTime::now_utc());
    let agent = TestAgent::new("idp", &["tsidp"]);
    agent.state().log = vec![v1::LogLine::default(); 3];
    let agents = connected(&authority, &credential(&authority, now), &agent).await;
    for source in [LogSource::Unit, LogSource::Agent] {
        let log = agents.read_log(&host(), &source, 10, false).await.unwrap();
        assert_eq!(log.collect::<Vec<_>>().await.len(), 3, "{source:?}");
    }
}

/// An agent that waits for its enrolment, and the token that root reads out.
async fn awaiting() -> (TestAgent, EnrollmentToken, Arc<dyn super::Network>) {
    let agent = TestAgent::new("idp", &["tsidp"]);
    let identity = ServerIdentity::self_made();
    let token = EnrollmentToken {
        fingerprint: fingerprint(&identity.certificate_der),
        secret: EnrollmentSecret::new([7; 20]),
    };
    agent.state().enrollment = Some((token.secret.clone(), identity.certificate_der.clone()));
    let address = serve(agent.clone(), identity).await;
    (agent, token, Arc::new(Loopback::to("idp", address)))
}

#[tokio::test]
async fn an_agent_is_enrolled_with_its_token() {
    let (agent, token, resolver) = awaiting().await;
    let authority = pki::authority();
    let session = EnrollmentSession::begin(&host(), "idp.example", &token, resolver)
        .await
        .unwrap();
    assert_eq!(session.answer.roles, ["tsidp"]);
    let now = OffsetDateTime::now_utc();
    let issued = authority
        .issue_agent(&host(), &session.answer.signing_request, now)
        .unwrap();
    let certificate = v1::EnrollCertificate {
        certificate_chain: vec![issued.der().to_vec()],
        authority: authority.certificate().der().to_vec(),
        deployment_id: pki::deployment().to_string(),
        host_name: "idp".to_owned(),
    };
    session.finish(certificate.clone()).await.unwrap();
    assert_eq!(agent.state().enrolled, Some(certificate));
}

#[tokio::test]
async fn a_wrong_secret_is_refused_with_the_way_out() {
    let (_agent, mut token, resolver) = awaiting().await;
    token.secret = EnrollmentSecret::new([8; 20]);
    let begun = EnrollmentSession::begin(&host(), "idp.example", &token, resolver).await;
    let Err(error @ EnrollmentError::TokenRefused { .. }) = begun else {
        panic!("{:?}", begun.map(|session| session.answer));
    };
    assert!(error.hint().unwrap().contains("omni-scale-agent token"));
}

#[tokio::test]
async fn another_certificate_than_the_tokens_gets_no_proof() {
    let (agent, mut token, resolver) = awaiting().await;
    token.fingerprint = [1; 32];
    let begun = EnrollmentSession::begin(&host(), "idp.example", &token, resolver).await;
    let Err(EnrollmentError::Agent(error)) = begun else {
        panic!("{:?}", begun.map(|session| session.answer));
    };
    assert!(
        matches!(dialled(&error), DialError::NotPinned { .. }),
        "{error:?}"
    );
    assert_eq!(agent.state().enrolled, None);
}

#[tokio::test]
async fn an_agent_that_does_not_know_the_secret_gets_no_certificate() {
    let (agent, token, resolver) = awaiting().await;
    agent.state().answerer = Answerer::Ignorant;
    let begun = EnrollmentSession::begin(&host(), "idp.example", &token, resolver).await;
    assert!(matches!(
        begun.err(),
        Some(EnrollmentError::Unproven { .. })
    ));
    assert_eq!(agent.state().enrolled, None);
}

#[tokio::test]
async fn a_machine_is_enrolled_with_the_secret_that_it_was_given() {
    let (agent, token, network) = awaiting().await;
    let session =
        EnrollmentSession::begin_with_secret(&host(), "idp.example", &token.secret, network)
            .await
            .unwrap();
    assert_eq!(session.answer.roles, ["tsidp"]);
    assert_eq!(agent.state().enrolled, None, "nothing is given yet");
}

#[tokio::test]
async fn a_machine_does_not_take_another_secret() {
    let (_agent, _token, network) = awaiting().await;
    let secret = EnrollmentSecret::new([8; 20]);
    let begun =
        EnrollmentSession::begin_with_secret(&host(), "idp.example", &secret, network).await;
    assert!(matches!(
        begun.err(),
        Some(EnrollmentError::TokenRefused { .. })
    ));
}

/// Somebody between us and the machine, with a certificate of their own, who passes on what
/// each side says.
async fn intercepted(answerer: Answerer) -> (TestAgent, EnrollmentSecret, Arc<dyn super::Network>) {
    let agent = TestAgent::new("idp", &["tsidp"]);
    let secret = EnrollmentSecret::new([7; 20]);
    let machine = ServerIdentity::self_made();
    agent.state().enrollment = Some((secret.clone(), machine.certificate_der));
    agent.state().answerer = answerer;
    let address = serve(agent.clone(), ServerIdentity::self_made()).await;
    (agent, secret, Arc::new(Loopback::to("idp", address)))
}

#[tokio::test]
async fn a_proof_that_is_passed_on_is_worth_nothing_to_the_machine() {
    let (agent, secret, network) = intercepted(Answerer::Agent).await;
    let begun =
        EnrollmentSession::begin_with_secret(&host(), "idp.example", &secret, network).await;
    assert!(matches!(
        begun.err(),
        Some(EnrollmentError::TokenRefused { .. })
    ));
    assert_eq!(agent.state().enrolled, None);
}

#[tokio::test]
async fn the_machines_own_proof_is_worth_nothing_from_somebody_else() {
    let (agent, secret, network) = intercepted(Answerer::Between).await;
    let begun =
        EnrollmentSession::begin_with_secret(&host(), "idp.example", &secret, network).await;
    assert!(matches!(
        begun.err(),
        Some(EnrollmentError::Unproven { .. })
    ));
    assert_eq!(agent.state().enrolled, None);
}

#[tokio::test]
async fn an_answer_of_another_time_is_no_answer() {
    let (agent, token, network) = awaiting().await;
    agent.state().answerer = Answerer::Replaying;
    let begun =
        EnrollmentSession::begin_with_secret(&host(), "idp.example", &token.secret, network).await;
    assert!(matches!(
        begun.err(),
        Some(EnrollmentError::Unproven { .. })
    ));
    assert_eq!(agent.state().enrolled, None);
}
