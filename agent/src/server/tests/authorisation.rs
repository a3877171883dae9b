//! Who is let in, and who is refused.

use omni_scale_proto::v1;
use omni_scale_proto::v1::acquire_lease_response::Result as Answer;
use omni_scale_proto::v1::generate_secret_request::Action;
use tonic::{Code, Status};

use super::rig::{Client, Rig, Shown, operation};
use crate::identity::testing::{Authority, Leaf};

async fn describe(mut client: Client) -> Result<v1::DescribeResponse, Status> {
    let described = client.describe(v1::DescribeRequest {}).await;
    described.map(tonic::Response::into_inner)
}

/// The connection itself was refused: nothing of the request was read.
async fn refused_by_tls(rig: &Rig, shown: Shown) {
    let refused = describe(rig.caller(shown)).await.unwrap_err();
    assert!(std::error::Error::source(&refused).is_some(), "{refused:?}");
    // Others are still served.
    assert!(describe(rig.operator("viewer")).await.is_ok());
}

async fn lease(rig: &Rig) -> u64 {
    let request = v1::AcquireLeaseRequest {
        deployment_id: crate::operation::testing::deployment().to_string(),
        holder: "ada@desk".to_owned(),
        rollout_id: "one".to_owned(),
    };
    let answer = rig
        .operator("operator")
        .acquire_lease(request)
        .await
        .unwrap();
    match answer.into_inner().result.unwrap() {
        Answer::Granted(grant) => grant.epoch,
        Answer::Held(holder) => panic!("{holder:?}"),
    }
}

fn secret(id: u8, generation: u64, epoch: u64) -> v1::PutSecretRequest {
    v1::PutSecretRequest {
        operation: Some(operation(id, generation, epoch)),
        name: "client".to_owned(),
        value: b"hunter2!".to_vec(),
        ..v1::PutSecretRequest::default()
    }
}

#[tokio::test]
async fn a_viewer_is_told_about_the_host_and_who_they_are() {
    let rig = Rig::enrolled().await;
    let described = describe(rig.operator("viewer")).await.unwrap();
    assert_eq!(described.host_name, "omni");
    assert_eq!(described.roles, ["omni"]);
    assert_eq!(described.machine_id, "0123");
    assert!(described.deployment_id.is_some());
    assert_eq!(described.tailnet.unwrap().dns_name, "omni.tail.test");
    let me = rig
        .operator("viewer")
        .who_am_i(v1::WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((me.name.as_str(), me.role.as_str()), ("ada", "viewer"));
    assert!(me.peer_address.starts_with("127.0.0.1:"));
    assert_eq!(
        (me.node_name.as_str(), me.login.as_str()),
        ("desk.tail.test", "ada@example.net")
    );
    assert_eq!(me.effective_role, "viewer");
    assert_eq!(me.limited_by(), v1::RoleLimit::Certificate);
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let rig = Rig::enrolled().await;
    refused_by_tls(&rig, None).await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let rig = Rig::enrolled().await;
    refused_by_tls(
        &rig,
        Some(Authority::new().operator("admin", false).shown()),
    )
    .await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let rig = Rig::enrolled().await;
    refused_by_tls(&rig, Some(rig.authority.operator("admin", true).shown())).await;
}

#[tokio::test]
async fn an_agents_certificate_is_of_no_use_to_a_caller() {
    let rig = Rig::enrolled().await;
    let other = Rig::unenrolled().await;
    let pending = other.identities.prepare().unwrap();
    let chain = rig.authority.offer(&pending, &Leaf::default()).chain;
    refused_by_tls(&rig, Some((chain, pending.private_key()))).await;
}

#[tokio::test]
async fn a_certificate_that_names_no_operator_is_refused() {
    let rig = Rig::enrolled().await;
    let nobody = rig
        .authority
        .client("urn:omni-scale:operator:root:ada", false);
    let refused = describe(rig.caller(Some(nobody.shown())))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_revoked_operator_is_refused_also_on_a_living_connection() {
    let rig = Rig::enrolled().await;
    let revoked = rig.authority.operator("operator", false);
    let mut client = rig.caller(Some(revoked.shown()));
    let serial = client
        .who_am_i(v1::WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner()
        .certificate_serial;
    let list = |version| v1::PutDenyListRequest {
        version,
        serials: vec![serial.clone()],
    };
    let operator = rig
        .operator("operator")
        .put_deny_list(list(1))
        .await
        .unwrap_err();
    assert_eq!(operator.code(), Code::PermissionDenied);
    rig.operator("admin").put_deny_list(list(2)).await.unwrap();
    for client in [client, rig.caller(Some(revoked.shown()))] {
        let refused = describe(client).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(refused.message().contains("was revoked"), "{refused}");
    }
    let older = rig
        .operator("admin")
        .put_deny_list(list(1))
        .await
        .unwrap_err();
    assert_eq!(older.code(), Code::FailedPrecondition);
    assert_eq!(
        describe(rig.operator("viewer"))
            .await
            .unwrap()
            .deny_list_version,
        2
    );
}

#[tokio::test]
async fn a_viewer_changes_nothing() {
    let rig = Rig::enrolled().await;
    let epoch = lease(&rig).await;
    let refused = rig
        .operator("viewer")
        .put_secret(secret(1, 1, epoch))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(
        refused.message(),
        "the certificate of `ada` has the role viewer; this needs operator"
    );
    let listed = rig
        .operator("viewer")
        .list_secrets(v1::ListSecretsRequest {})
        .await
        .unwrap();
    assert!(listed.into_inner().secrets.is_empty());
}

#[tokio::test]
async fn an_operator_renews_no_agent() {
    let rig = Rig::enrolled().await;
    let start = tokio_stream::iter([v1::RenewCertificateRequest { message: None }]);
    let refused = rig
        .operator("operator")
        .renew_certificate(start)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_mutation_under_a_stale_epoch_is_refused_with_whose_lease_it_is() {
    let rig = Rig::enrolled().await;
    let stale = lease(&rig).await;
    let current = lease(&rig).await;
    let refused = rig
        .operator("admin")
        .put_secret(secret(1, 1, stale))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("ada@desk (rollout one)"),
        "{refused}"
    );
    let lost = omni_scale_proto::lease::from_details(refused.details()).unwrap();
    assert_eq!(lost.epoch, stale);
    let holder = lost.holder.unwrap();
    assert_eq!(
        (holder.holder.as_str(), holder.rollout_id.as_str()),
        ("ada@desk", "one")
    );
    assert_eq!(holder.epoch, current);
    assert!(holder.since_milliseconds > 0 && holder.remaining_milliseconds > 0);
    let put = rig
        .operator("operator")
        .put_secret(secret(1, 1, current))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(put.outcome.unwrap().failure, None);
    assert!(!put.secret.unwrap().keyed_digest.is_empty());
}

#[tokio::test]
async fn a_second_rollout_is_told_who_holds_the_lease() {
    let rig = Rig::enrolled().await;
    let epoch = lease(&rig).await;
    let request = v1::AcquireLeaseRequest {
        deployment_id: crate::operation::testing::deployment().to_string(),
        holder: "bob@desk".to_owned(),
        rollout_id: "two".to_owned(),
    };
    let answer = rig
        .operator("operator")
        .acquire_lease(request)
        .await
        .unwrap()
        .into_inner();
    let Some(Answer::Held(holder)) = answer.result else {
        panic!("{answer:?}");
    };
    assert_eq!((holder.holder.as_str(), holder.epoch), ("ada@desk", epoch));
    assert!(holder.remaining_milliseconds > 0);
}

#[tokio::test]
async fn a_made_secret_is_exported_until_it_is_confirmed_and_never_after() {
    let rig = Rig::enrolled().await;
    let epoch = lease(&rig).await;
    let request = |id, generation, action| v1::GenerateSecretRequest {
        operation: Some(operation(id, generation, epoch)),
        name: "token".to_owned(),
        action: Some(action),
    };
    let recipe = Action::Make(v1::SecretRecipe {
        recipe: Some(v1::secret_recipe::Recipe::RandomBytes(16)),
    });
    let mut operator = rig.operator("operator");
    let made = operator
        .generate_secret(request(1, 1, recipe.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(made.export.len(), 32);
    // The answer was lost; asking again gives the same value.
    let again = operator
        .generate_secret(request(1, 1, recipe.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.export, made.export);
    let confirm = Action::ConfirmDigest(made.secret.unwrap().keyed_digest);
    let confirmed = operator
        .generate_secret(request(2, 2, confirm))
        .await
        .unwrap()
        .into_inner();
    assert!(!confirmed.secret.unwrap().candidate && confirmed.export.is_empty());
    let late = operator
        .generate_secret(request(1, 1, recipe))
        .await
        .unwrap()
        .into_inner();
    assert!(late.export.is_empty());
}
