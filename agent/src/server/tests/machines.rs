//! Who may ask what of machines, and which cluster they may name.

use futures_util::StreamExt as _;
use omni_scale_proto::machine::machine_uuid;
use omni_scale_proto::role::HostRole;
use omni_scale_proto::v1;
use omni_scale_proto::v1::machine_service_client::MachineServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use super::rig::{Rig, operation};
use crate::operation::testing::deployment;
use crate::secrets::SecretValue;

fn client(rig: &Rig, role: &str) -> MachineServiceClient<Channel> {
    MachineServiceClient::new(rig.connection_of(role))
}

fn identity() -> v1::MachineIdentity {
    v1::MachineIdentity {
        name: "idp".to_owned(),
        uuid: machine_uuid(deployment(), "idp", 0).to_string(),
    }
}

fn hypervisor(url: &str) -> v1::Hypervisor {
    v1::Hypervisor {
        url: url.to_owned(),
        token_id: "omni@pve!scale".to_owned(),
        token_secret: "proxmox-token".to_owned(),
        certificate_sha256: vec!["ab".repeat(32)],
        roots_pem: String::new(),
    }
}

fn control(url: &str, epoch: u64) -> v1::ControlMachineRequest {
    v1::ControlMachineRequest {
        operation: Some(operation(1, 1, epoch)),
        hypervisor: Some(hypervisor(url)),
        machine: Some(identity()),
        action: v1::ControlAction::Start.into(),
    }
}

fn delete(typed_name: &str, epoch: u64) -> v1::DeleteMachineRequest {
    v1::DeleteMachineRequest {
        operation: Some(operation(2, 1, epoch)),
        hypervisor: Some(hypervisor("https://127.0.0.1:1")),
        machine: Some(identity()),
        typed_name: typed_name.to_owned(),
    }
}

async fn lease(rig: &Rig) -> u64 {
    let request = v1::AcquireLeaseRequest {
        deployment_id: deployment().to_string(),
        holder: "ada@desk".to_owned(),
        rollout_id: "one".to_owned(),
    };
    let granted = rig.operator("operator").acquire_lease(request).await;
    let v1::acquire_lease_response::Result::Granted(lease) =
        granted.unwrap().into_inner().result.unwrap()
    else {
        panic!("nobody else has it")
    };
    lease.epoch
}

async fn agent() -> Rig {
    let rig = Rig::enrolled_with_role(HostRole::Proxmox).await;
    let value = SecretValue::new(b"11111111-2222-3333-4444-555555555555".to_vec());
    let name = "proxmox-token".parse().unwrap();
    rig.parts.secrets.put(&name, &value).unwrap();
    rig
}

#[tokio::test]
async fn each_role_may_do_its_own() {
    let rig = agent().await;
    let url = "https://127.0.0.1:1";
    let viewer = client(&rig, "viewer")
        .control_machine(control(url, 1))
        .await;
    assert_eq!(viewer.unwrap_err().code(), Code::PermissionDenied);
    let operator = client(&rig, "operator")
        .delete_machine(delete("idp", 1))
        .await;
    assert_eq!(operator.unwrap_err().code(), Code::PermissionDenied);
    let reveal = v1::RevealEnrollmentSecretRequest {
        machine: Some(identity()),
    };
    let operator = client(&rig, "operator")
        .reveal_enrollment_secret(reveal.clone())
        .await;
    assert_eq!(operator.unwrap_err().code(), Code::PermissionDenied);
    let admin = client(&rig, "admin").reveal_enrollment_secret(reveal).await;
    assert_eq!(admin.unwrap_err().code(), Code::FailedPrecondition);
    let elsewhere = Rig::enrolled().await;
    let elsewhere = client(&elsewhere, "operator")
        .control_machine(control(url, 1))
        .await;
    assert_eq!(elsewhere.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn without_the_lease_nothing_is_done() {
    let rig = agent().await;
    let epoch = lease(&rig).await;
    let stale = control("https://127.0.0.1:1", epoch + 1);
    let refused = client(&rig, "operator").control_machine(stale).await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_cluster_that_root_does_not_allow_is_refused() {
    let rig = agent().await;
    let epoch = lease(&rig).await;
    let elsewhere = control("https://evil.example:8006", epoch);
    let answers = client(&rig, "operator").control_machine(elsewhere).await;
    let answers: Vec<_> = answers.unwrap().into_inner().collect().await;
    let last = answers.last().unwrap().as_ref().unwrap();
    let Some(v1::control_machine_response::Message::Outcome(outcome)) = &last.message else {
        panic!("{last:?}");
    };
    let failure = outcome.failure.as_ref().unwrap();
    assert_eq!(failure.failure_class(), v1::FailureClass::Refused);
    assert!(
        failure.message.contains("does not allow the hypervisor"),
        "{failure:?}"
    );
    assert!(failure.hint.contains("`hypervisors`"), "{failure:?}");
}

#[tokio::test]
async fn a_name_that_was_not_typed_deletes_nothing() {
    let rig = agent().await;
    let epoch = lease(&rig).await;
    let refused = client(&rig, "admin")
        .delete_machine(delete("omni", epoch))
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().ends_with("hint: type `idp`"), "{refused}");
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_not_known() {
    let rig = agent().await;
    let request = v1::ObserveMachinesRequest {
        hypervisor: Some(hypervisor("https://127.0.0.1:1")),
        names: vec!["idp".to_owned()],
        vmid_range: None,
    };
    let observed = client(&rig, "viewer")
        .observe_machines(request.clone())
        .await;
    let observation = observed.unwrap().into_inner().observation.unwrap();
    assert!(!observation.known);
    assert!(
        observation.reason.contains("could not be asked"),
        "{}",
        observation.reason
    );
    let unnamed = v1::ObserveMachinesRequest {
        names: vec!["../etc".to_owned()],
        ..request
    };
    let refused = client(&rig, "viewer").observe_machines(unnamed).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}
