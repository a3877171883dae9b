//! Machines over gRPC: encode, call, follow to the outcome.

use omni_scale_proto::id::HostName;
use omni_scale_proto::operation::Operation;
use omni_scale_proto::role::HostRole;
use omni_scale_proto::v1;
use omni_scale_proto::v1::machine_service_client::MachineServiceClient;
use tonic::transport::Channel;
use zeroize::{Zeroize as _, Zeroizing};

use super::GrpcAgents;
use super::connection::PROMPT;
use super::operation::follow;
use super::port::OBSERVE;
use super::status::{Call, within};
use super::stream::{Changes, each};
use crate::agents::{AgentError, ProgressSink};
use crate::plan::MachinesScope;

impl GrpcAgents {
    pub(super) async fn ask_for_machines(
        &self,
        host: &HostName,
        asked: &MachinesScope,
    ) -> Result<v1::MachinesObservation, AgentError> {
        let (call, mut client) = self.machine(host, "observe the machines").await?;
        let request = v1::ObserveMachinesRequest {
            hypervisor: Some(asked.hypervisor.clone()),
            names: names(asked),
            vmid_range: Some(asked.vmids),
        };
        let answer = within(&call, OBSERVE, client.observe_machines(request)).await?;
        answer
            .observation
            .ok_or_else(|| call.faulty("the answer holds no observation"))
    }

    /// The machines as they are, and each change.
    pub async fn watch_machines(
        &self,
        host: &HostName,
        asked: &MachinesScope,
    ) -> Result<Changes<v1::MachinesObservation>, AgentError> {
        let (call, mut client) = self.machine(host, "watch the machines").await?;
        let request = v1::WatchMachinesRequest {
            hypervisor: Some(asked.hypervisor.clone()),
            names: names(asked),
            vmid_range: Some(asked.vmids),
        };
        let stream = within(&call, PROMPT, client.watch_machines(request)).await?;
        Ok(each(stream, |message| message.observation, call))
    }

    pub(super) async fn apply_machine(
        &self,
        host: &HostName,
        operation: &Operation,
        hypervisor: &v1::Hypervisor,
        machine: &v1::Machine,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let tried = format!("make machine `{}`", machine.name);
        let (call, mut client) = self.machine(host, tried).await?;
        let request = v1::ApplyMachineRequest {
            operation: Some(operation.clone().into()),
            hypervisor: Some(hypervisor.clone()),
            machine: Some(machine.clone()),
        };
        follow(&call, operation, client.apply_machine(request), progress).await
    }

    pub(super) async fn control_machine(
        &self,
        host: &HostName,
        operation: &Operation,
        request: v1::ControlMachineRequest,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let (call, mut client) = self.machine(host, "control the machine").await?;
        follow(&call, operation, client.control_machine(request), progress).await
    }

    /// Stops and deletes a machine with its disks. The agent checks the typed name.
    pub async fn delete_machine(
        &self,
        host: &HostName,
        operation: &Operation,
        hypervisor: &v1::Hypervisor,
        machine: v1::MachineIdentity,
        typed_name: &str,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let tried = format!("delete machine `{}`", machine.name);
        let (call, mut client) = self.machine(host, tried).await?;
        let request = v1::DeleteMachineRequest {
            operation: Some(operation.clone().into()),
            hypervisor: Some(hypervisor.clone()),
            machine: Some(machine),
            typed_name: typed_name.to_owned(),
        };
        follow(&call, operation, client.delete_machine(request), progress).await
    }

    /// The one-time secret with which a machine enrols.
    pub(super) async fn enrollment_secret(
        &self,
        host: &HostName,
        machine: v1::MachineIdentity,
    ) -> Result<Zeroizing<String>, AgentError> {
        let tried = format!("learn the enrolment secret of machine `{}`", machine.name);
        let (call, mut client) = self.machine(host, tried).await?;
        let request = v1::RevealEnrollmentSecretRequest {
            machine: Some(machine),
        };
        let answer = client.reveal_enrollment_secret(request);
        let mut answer = within(&call, PROMPT, answer).await?;
        let secret = Zeroizing::new(answer.secret.clone());
        answer.secret.zeroize();
        Ok(secret)
    }

    pub(super) async fn finish_first_boot(
        &self,
        host: &HostName,
        operation: &Operation,
        hypervisor: &v1::Hypervisor,
        machine: v1::MachineIdentity,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let tried = format!("finish the first boot of machine `{}`", machine.name);
        let (call, mut client) = self.machine(host, tried).await?;
        let request = v1::FinishFirstBootRequest {
            operation: Some(operation.clone().into()),
            hypervisor: Some(hypervisor.clone()),
            machine: Some(machine),
        };
        follow(
            &call,
            operation,
            client.finish_first_boot(request),
            progress,
        )
        .await
    }

    async fn machine(
        &self,
        host: &HostName,
        tried: impl Into<String>,
    ) -> Result<(Call, MachineServiceClient<Channel>), AgentError> {
        let (call, channel) = self.ready(host, tried.into()).await?;
        Ok((
            call.of_role(HostRole::Proxmox),
            MachineServiceClient::new(channel),
        ))
    }
}

fn names(asked: &MachinesScope) -> Vec<String> {
    asked.names.iter().map(ToString::to_string).collect()
}
