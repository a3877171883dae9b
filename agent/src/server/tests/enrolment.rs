//! From a fresh agent to a member of a deployment, over the wire.

use omni_scale_proto::enrollment::{EnrollmentSecret, NONCE_LENGTH};
use omni_scale_proto::v1;
use omni_scale_proto::v1::{enroll_request, enroll_response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::rig::Rig;
use crate::clock;
use crate::enrollment::TokenFor;
use crate::identity::testing::{Authority, Leaf, secret};

fn wrong() -> EnrollmentSecret {
    EnrollmentSecret::new([8; 20])
}

fn open_token(rig: &Rig) {
    rig.tokens
        .open(
            &secret(),
            TokenFor::Operator,
            clock::now_milliseconds(),
            None,
        )
        .unwrap();
}

/// The whole handshake, as the coordinator does it.
async fn enroll(rig: &Rig, secret: &EnrollmentSecret, authority: &Authority) -> Result<(), Status> {
    let (mut client, seen) = rig.stranger();
    // The first call shows the agent's certificate, which the proof is over.
    let refused = client.describe(v1::DescribeRequest {}).await.unwrap_err();
    if refused.code() != Code::Unauthenticated {
        return Err(refused);
    }
    let nonce = vec![5; NONCE_LENGTH];
    let proof = secret.caller_proof(&seen.certificate(), &nonce).to_vec();
    let (requests, stream) = mpsc::channel(2);
    let send = |message| v1::EnrollRequest {
        message: Some(message),
    };
    let first = enroll_request::Message::Proof(v1::EnrollProof {
        nonce: nonce.clone(),
        proof,
    });
    requests.send(send(first)).await.unwrap();
    let mut answers = client
        .enroll(ReceiverStream::new(stream))
        .await?
        .into_inner();
    let Some(enroll_response::Message::Answer(answer)) = answers.message().await?.unwrap().message
    else {
        panic!("the agent answers first");
    };
    assert!(secret.verify_agent(&seen.certificate(), &nonce, &answer.nonce, &answer.proof));
    let leaf = authority.sign(&answer.certificate_signing_request, &Leaf::default());
    let certificate = v1::EnrollCertificate {
        certificate_chain: vec![leaf.to_vec()],
        authority: authority.certificate.to_vec(),
        deployment_id: crate::operation::testing::deployment().to_string(),
        host_name: "omni".to_owned(),
    };
    let second = enroll_request::Message::Certificate(certificate);
    requests.send(send(second)).await.unwrap();
    let done = answers.message().await?.unwrap().message;
    assert!(matches!(done, Some(enroll_response::Message::Done(_))));
    Ok(())
}

#[tokio::test]
async fn an_agent_is_enrolled_and_serves_its_deployment_without_a_restart() {
    let rig = Rig::unenrolled().await;
    open_token(&rig);
    enroll(&rig, &secret(), &rig.authority).await.unwrap();
    let described = rig
        .operator("viewer")
        .describe(v1::DescribeRequest {})
        .await
        .unwrap();
    assert_eq!(described.into_inner().host_name, "omni");
    let (mut stranger, _) = rig.stranger();
    assert!(stranger.describe(v1::DescribeRequest {}).await.is_err());
}

#[tokio::test]
async fn an_agent_that_is_not_enrolled_serves_nothing_else() {
    let rig = Rig::unenrolled().await;
    open_token(&rig);
    let (mut stranger, _) = rig.stranger();
    let refused = stranger.describe(v1::DescribeRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("omni-scale enroll"), "{refused}");
}

#[tokio::test]
async fn a_wrong_secret_does_not_enrol() {
    let rig = Rig::unenrolled().await;
    open_token(&rig);
    let refused = enroll(&rig, &wrong(), &rig.authority).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(rig.identities.current().enrolled.is_none());
}

#[tokio::test]
async fn a_used_secret_does_not_enrol_again() {
    let rig = Rig::unenrolled().await;
    open_token(&rig);
    enroll(&rig, &secret(), &rig.authority).await.unwrap();
    // Without an open token, a caller without a certificate does not even get through TLS.
    assert!(enroll(&rig, &secret(), &Authority::new()).await.is_err());
    let enrolled = rig.identities.current();
    assert_eq!(
        enrolled.enrolled.as_ref().unwrap().authority,
        rig.authority.certificate
    );
}

#[tokio::test]
async fn the_sixth_secret_does_not_enrol_even_if_it_is_right() {
    let rig = Rig::unenrolled().await;
    open_token(&rig);
    for _ in 0..5 {
        enroll(&rig, &wrong(), &rig.authority).await.unwrap_err();
    }
    let refused = enroll(&rig, &secret(), &rig.authority).await.unwrap_err();
    assert!(refused.message().contains("void"), "{refused}");
}

#[tokio::test]
async fn an_enrolled_agent_is_moved_by_roots_new_token_and_serves_its_operators_meanwhile() {
    let rig = Rig::enrolled().await;
    open_token(&rig);
    let mut connected = rig.operator("admin");
    assert!(connected.describe(v1::DescribeRequest {}).await.is_ok());
    let other = Authority::new();
    enroll(&rig, &secret(), &other).await.unwrap();
    let refused = connected.describe(v1::DescribeRequest {}).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("enrolled anew"), "{refused}");
    assert_eq!(
        rig.identities
            .current()
            .enrolled
            .as_ref()
            .unwrap()
            .authority,
        other.certificate
    );
    assert!(
        rig.operator("admin")
            .describe(v1::DescribeRequest {})
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_certificate_is_renewed_by_an_admin() {
    use v1::renew_certificate_request::Message as Asked;
    use v1::renew_certificate_response::Message as Answered;

    let rig = Rig::enrolled().await;
    let before = rig.identities.current();
    let (requests, stream) = mpsc::channel(2);
    let send = |message| v1::RenewCertificateRequest {
        message: Some(message),
    };
    requests
        .send(send(Asked::Start(v1::RenewCertificateStart {})))
        .await
        .unwrap();
    let mut admin = rig.operator("admin");
    let mut answers = admin
        .renew_certificate(ReceiverStream::new(stream))
        .await
        .unwrap()
        .into_inner();
    let Some(Answered::CertificateSigningRequest(request)) =
        answers.message().await.unwrap().unwrap().message
    else {
        panic!("the agent asks first");
    };
    let certificate = v1::EnrollCertificate {
        certificate_chain: vec![rig.authority.sign(&request, &Leaf::default()).to_vec()],
        authority: rig.authority.certificate.to_vec(),
        deployment_id: crate::operation::testing::deployment().to_string(),
        host_name: "omni".to_owned(),
    };
    requests
        .send(send(Asked::Certificate(certificate)))
        .await
        .unwrap();
    assert!(answers.message().await.unwrap().is_some());
    assert_ne!(rig.identities.current().leaf(), before.leaf());
    assert!(
        rig.operator("viewer")
            .describe(v1::DescribeRequest {})
            .await
            .is_ok()
    );
}
