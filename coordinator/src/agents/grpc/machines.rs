//! Machines over gRPC: encode, call, follow to the outcome.

use omni_scale_proto::id::HostName;
use omni_scale_proto::operation::Operation;
use omni_scale_proto::role::HostRole;
use omni_scale_proto::v1;
use omni_scale_proto::v1::machine_service_client::MachineServiceClient;
use omni_scale_proto::v1::{
    apply_machine_response, control_machine_response, delete_machine_response,
    finish_first_boot_response,
};
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};
use zeroize::{Zeroize as _, Zeroizing};

use super::GrpcAgents;
use super::connection::PROMPT;
use super::port::{OBSERVE, bound, bounded};
use super::status::{Call, within};
use super::stream::Changes;
use crate::agents::{AgentError, ProgressSink};
use crate::plan::MachinesScope;
use futures_util::StreamExt as _;

/// What a message of an operation's stream holds.
enum Told {
    Progress(v1::Progress),
    Outcome(v1::Outcome),
}

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
        let changes = stream.filter_map(move |message| {
            let change = match message {
                Ok(message) => message.observation.map(Ok),
                Err(status) => Some(Err(call.error(status))),
            };
            std::future::ready(change)
        });
        Ok(changes.boxed())
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
        let told = |message: v1::ApplyMachineResponse| {
            Some(match message.message? {
                apply_machine_response::Message::Progress(step) => Told::Progress(step),
                apply_machine_response::Message::Outcome(outcome) => Told::Outcome(outcome),
            })
        };
        Box::pin(follow(
            &call,
            operation,
            client.apply_machine(request),
            told,
            progress,
        ))
        .await
    }

    pub(super) async fn control_machine(
        &self,
        host: &HostName,
        operation: &Operation,
        request: v1::ControlMachineRequest,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let (call, mut client) = self.machine(host, "control the machine").await?;
        let told = |message: v1::ControlMachineResponse| {
            Some(match message.message? {
                control_machine_response::Message::Progress(step) => Told::Progress(step),
                control_machine_response::Message::Outcome(outcome) => Told::Outcome(outcome),
            })
        };
        Box::pin(follow(
            &call,
            operation,
            client.control_machine(request),
            told,
            progress,
        ))
        .await
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
        let told = |message: v1::DeleteMachineResponse| {
            Some(match message.message? {
                delete_machine_response::Message::Progress(step) => Told::Progress(step),
                delete_machine_response::Message::Outcome(outcome) => Told::Outcome(outcome),
            })
        };
        Box::pin(follow(
            &call,
            operation,
            client.delete_machine(request),
            told,
            progress,
        ))
        .await
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
        let told = |message: v1::FinishFirstBootResponse| {
            Some(match message.message? {
                finish_first_boot_response::Message::Progress(step) => Told::Progress(step),
                finish_first_boot_response::Message::Outcome(outcome) => Told::Outcome(outcome),
            })
        };
        let start = client.finish_first_boot(request);
        Box::pin(follow(&call, operation, start, told, progress)).await
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

/// Follows an operation to its outcome.
async fn follow<Message>(
    call: &Call,
    operation: &Operation,
    start: impl Future<Output = Result<Response<Streaming<Message>>, Status>>,
    told: impl Fn(Message) -> Option<Told>,
    progress: ProgressSink<'_>,
) -> Result<v1::Outcome, AgentError> {
    let work = async {
        let mut stream = start.await?.into_inner();
        while let Some(message) = stream.message().await? {
            match told(message) {
                Some(Told::Progress(step)) => progress(step),
                Some(Told::Outcome(outcome)) => return Ok(Some(outcome)),
                None => {}
            }
        }
        Ok(None)
    };
    bounded(call, bound(operation), work)
        .await?
        .ok_or_else(|| call.cut_short())
}
