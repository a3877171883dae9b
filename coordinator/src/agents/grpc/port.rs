//! The port's methods over gRPC: encode, call, decode.

use std::time::Duration;

use async_trait::async_trait;
use omni_scale_proto::id::{HostName, MachineName, ServiceName, StackName};
use omni_scale_proto::operation::Operation;
use omni_scale_proto::role::HostRole;
use omni_scale_proto::v1;
use omni_scale_proto::v1::acquire_lease_response;
use omni_scale_proto::v1::client_service_client::ClientServiceClient;
use omni_scale_proto::v1::host_service_client::HostServiceClient;
use omni_scale_proto::v1::stack_service_client::StackServiceClient;
use omni_scale_proto::v1::unit_service_client::UnitServiceClient;
use tonic::Request;

use super::GrpcAgents;
use super::connection::PROMPT;
use super::enroller::NewHost;
use super::operation::{bound, bounded, follow};
use super::status::{Call, within};
use crate::agents::{
    Action, AgentError, Agents, Control, LeaseGrant, LeaseRequest, ProgressSink, ReportSink,
};
use crate::plan::MachinesScope;

/// Bound on observing: the Engine may have to ask a registry what a tag is.
pub(super) const OBSERVE: Duration = Duration::from_secs(120);

#[async_trait]
impl Agents for GrpcAgents {
    async fn describe(&self, host: &HostName) -> Result<v1::DescribeResponse, AgentError> {
        let tried = "learn what is there";
        let connection = self.connection(host, tried)?;
        let call = connection.call(tried);
        connection.describe(&call).await.map_err(Call::unsent)
    }

    async fn observe_unit(&self, host: &HostName) -> Result<v1::UnitObservation, AgentError> {
        let (call, mut client) = self.unit(host, "observe the unit").await?;
        let request = Request::new(v1::ObserveUnitRequest {});
        let answer = within(&call, PROMPT, client.observe_unit(request)).await?;
        answer
            .observation
            .ok_or_else(|| call.faulty("the answer holds no observation"))
    }

    async fn observe_stack(
        &self,
        host: &HostName,
        stack: &StackName,
        images: &[String],
    ) -> Result<v1::StackObservation, AgentError> {
        let (call, mut client) = self.stack(host, format!("observe stack `{stack}`")).await?;
        let request = Request::new(v1::ObserveStackRequest {
            name: stack.to_string(),
            images: images.to_vec(),
        });
        let answer = within(&call, OBSERVE, client.observe_stack(request)).await?;
        answer
            .observation
            .ok_or_else(|| call.faulty("the answer holds no observation"))
    }

    async fn observe_client(
        &self,
        host: &HostName,
        client: &v1::Client,
    ) -> Result<v1::ClientObservation, AgentError> {
        let (call, mut rpc) = self.client(host, "observe Omni's client").await?;
        let request = Request::new(v1::ObserveClientRequest {
            client: Some(client.clone()),
        });
        let answer = within(&call, PROMPT, rpc.observe_client(request)).await?;
        answer
            .observation
            .ok_or_else(|| call.faulty("the answer holds no observation"))
    }

    async fn observe_machines(
        &self,
        host: &HostName,
        asked: &MachinesScope,
    ) -> Result<v1::MachinesObservation, AgentError> {
        self.ask_for_machines(host, asked).await
    }

    async fn list_secrets(&self, host: &HostName) -> Result<Vec<v1::SecretStatus>, AgentError> {
        let (call, mut client) = self.host(host, "list secrets").await?;
        let request = Request::new(v1::ListSecretsRequest {});
        let answer = within(&call, PROMPT, client.list_secrets(request)).await?;
        Ok(answer.secrets)
    }

    async fn run_checks(
        &self,
        host: &HostName,
        checks: &[v1::Check],
        reports: ReportSink<'_>,
    ) -> Result<Vec<v1::CheckReport>, AgentError> {
        let (call, mut client) = self.host(host, "run checks").await?;
        let longest = checks.iter().map(|check| check.wait_seconds).max();
        let bound = OBSERVE + Duration::from_secs(longest.unwrap_or(0).into());
        let request = Request::new(v1::RunChecksRequest {
            checks: checks.to_vec(),
        });
        let work = async {
            let mut stream = client.run_checks(request).await?.into_inner();
            let mut last: Vec<v1::CheckReport> = Vec::new();
            while let Some(message) = stream.message().await? {
                let Some(report) = message.report else {
                    continue;
                };
                reports(report.clone());
                last.retain(|known| known.check_id != report.check_id);
                last.push(report);
            }
            Ok(last)
        };
        bounded(&call, bound, work).await
    }

    async fn acquire_lease(
        &self,
        host: &HostName,
        request: &LeaseRequest,
    ) -> Result<LeaseGrant, AgentError> {
        let (call, mut client) = self.host(host, "take the lease").await?;
        let request = Request::new(v1::AcquireLeaseRequest {
            deployment_id: request.deployment.to_string(),
            holder: request.holder.clone(),
            rollout_id: request.rollout.clone(),
        });
        let answer = within(&call, PROMPT, client.acquire_lease(request)).await?;
        match answer.result {
            Some(acquire_lease_response::Result::Granted(grant)) => Ok(LeaseGrant {
                epoch: grant.epoch,
                time_to_live: milliseconds(grant.time_to_live_milliseconds),
                running: grant.running,
            }),
            Some(acquire_lease_response::Result::Held(holder)) => Err(AgentError::Held {
                host: call.host,
                tried: call.tried,
                holder: holder.into(),
            }),
            None => Err(call.faulty("the answer neither grants nor refuses")),
        }
    }

    async fn renew_lease(
        &self,
        host: &HostName,
        request: &LeaseRequest,
        epoch: u64,
    ) -> Result<Duration, AgentError> {
        let (call, mut client) = self.host(host, "keep the lease").await?;
        let request = Request::new(v1::RenewLeaseRequest {
            epoch,
            rollout_id: request.rollout.clone(),
        });
        let answer = within(&call, PROMPT, client.renew_lease(request)).await?;
        Ok(milliseconds(answer.time_to_live_milliseconds))
    }

    async fn release_lease(
        &self,
        host: &HostName,
        request: &LeaseRequest,
        epoch: u64,
    ) -> Result<(), AgentError> {
        let (call, mut client) = self.host(host, "give the lease back").await?;
        let request = Request::new(v1::ReleaseLeaseRequest {
            epoch,
            rollout_id: request.rollout.clone(),
        });
        match within(&call, PROMPT, client.release_lease(request)).await {
            Ok(_) | Err(AgentError::LeaseLost { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn apply(
        &self,
        host: &HostName,
        operation: &Operation,
        action: &Action,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        match action {
            Action::ApplyUnit { configuration } => {
                self.apply_unit(host, operation, configuration, progress)
                    .await
            }
            Action::ApplyStack {
                stack,
                services,
                remove_orphans,
                ..
            } => {
                let request = v1::ApplyStackRequest {
                    operation: Some(operation.clone().into()),
                    stack: Some(stack.clone()),
                    services: names(services),
                    remove_orphans: remove_orphans.clone(),
                };
                self.apply_stack(host, operation, request, progress).await
            }
            Action::ApplyClient { client } => {
                self.apply_client(host, operation, client, progress).await
            }
            Action::ApplyMachine {
                hypervisor,
                machine,
                ..
            } => {
                self.apply_machine(host, operation, hypervisor, machine, progress)
                    .await
            }
            Action::EnrollHost {
                name,
                hypervisor,
                uuid,
                host: new_host,
                roles,
                ..
            } => {
                let new = NewHost {
                    host: new_host,
                    roles,
                    made_by: host,
                    machine: identity(name, uuid),
                    hypervisor,
                };
                self.enroll_host(&new, operation, progress).await
            }
        }
    }

    async fn control(
        &self,
        host: &HostName,
        operation: &Operation,
        control: &Control,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        match control {
            Control::Unit { action } => self.control_unit(host, operation, *action).await,
            Control::Stack {
                name,
                services,
                action,
            } => {
                let request = v1::ControlStackRequest {
                    operation: Some(operation.clone().into()),
                    name: name.to_string(),
                    action: (*action).into(),
                    services: names(services),
                };
                self.control_stack(host, operation, request, progress).await
            }
            Control::Machine {
                name,
                hypervisor,
                uuid,
                action,
            } => {
                let request = v1::ControlMachineRequest {
                    operation: Some(operation.clone().into()),
                    hypervisor: Some(hypervisor.clone()),
                    machine: Some(identity(name, uuid)),
                    action: (*action).into(),
                };
                self.control_machine(host, operation, request, progress)
                    .await
            }
        }
    }
}

impl GrpcAgents {
    async fn apply_unit(
        &self,
        host: &HostName,
        operation: &Operation,
        configuration: &v1::UnitConfiguration,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let (call, mut client) = self.unit(host, "apply the unit").await?;
        let request = v1::ApplyUnitRequest {
            operation: Some(operation.clone().into()),
            configuration: Some(configuration.clone()),
        };
        follow(&call, operation, client.apply_unit(request), progress).await
    }

    async fn apply_client(
        &self,
        host: &HostName,
        operation: &Operation,
        client: &v1::Client,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let (call, mut rpc) = self.client(host, "register Omni's client").await?;
        let request = v1::ApplyClientRequest {
            operation: Some(operation.clone().into()),
            client: Some(client.clone()),
        };
        follow(&call, operation, rpc.apply_client(request), progress).await
    }

    async fn apply_stack(
        &self,
        host: &HostName,
        operation: &Operation,
        request: v1::ApplyStackRequest,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let (call, mut client) = self.stack(host, "apply the stack").await?;
        follow(&call, operation, client.apply_stack(request), progress).await
    }

    async fn control_stack(
        &self,
        host: &HostName,
        operation: &Operation,
        request: v1::ControlStackRequest,
        progress: ProgressSink<'_>,
    ) -> Result<v1::Outcome, AgentError> {
        let (call, mut client) = self.stack(host, "control the stack").await?;
        follow(&call, operation, client.control_stack(request), progress).await
    }

    async fn control_unit(
        &self,
        host: &HostName,
        operation: &Operation,
        action: v1::ControlAction,
    ) -> Result<v1::Outcome, AgentError> {
        let (call, mut client) = self.unit(host, "control the unit").await?;
        let request = Request::new(v1::ControlUnitRequest {
            operation: Some(operation.clone().into()),
            action: action.into(),
        });
        let answer = within(&call, bound(operation), client.control_unit(request)).await?;
        answer
            .outcome
            .ok_or_else(|| call.faulty("the answer holds no outcome"))
    }

    pub(super) async fn host(
        &self,
        host: &HostName,
        tried: impl Into<String>,
    ) -> Result<(Call, HostServiceClient<tonic::transport::Channel>), AgentError> {
        let (call, channel) = self.ready(host, tried.into()).await?;
        Ok((call, HostServiceClient::new(channel)))
    }

    pub(super) async fn unit(
        &self,
        host: &HostName,
        tried: impl Into<String>,
    ) -> Result<(Call, UnitServiceClient<tonic::transport::Channel>), AgentError> {
        let (call, channel) = self.ready(host, tried.into()).await?;
        Ok((
            call.of_role(HostRole::Tsidp),
            UnitServiceClient::new(channel),
        ))
    }

    pub(super) async fn stack(
        &self,
        host: &HostName,
        tried: impl Into<String>,
    ) -> Result<(Call, StackServiceClient<tonic::transport::Channel>), AgentError> {
        let (call, channel) = self.ready(host, tried.into()).await?;
        Ok((
            call.of_role(HostRole::Omni),
            StackServiceClient::new(channel),
        ))
    }

    async fn client(
        &self,
        host: &HostName,
        tried: impl Into<String>,
    ) -> Result<(Call, ClientServiceClient<tonic::transport::Channel>), AgentError> {
        let (call, channel) = self.ready(host, tried.into()).await?;
        Ok((
            call.of_role(HostRole::Omni),
            ClientServiceClient::new(channel),
        ))
    }

    pub(super) async fn ready(
        &self,
        host: &HostName,
        tried: String,
    ) -> Result<(Call, tonic::transport::Channel), AgentError> {
        let connection = self.connection(host, &tried)?;
        let call = connection.call(tried);
        let channel = connection.channel(&call).await?;
        Ok((call, channel))
    }
}

fn names(services: &[ServiceName]) -> Vec<String> {
    services.iter().map(ToString::to_string).collect()
}

fn identity(name: &MachineName, uuid: &str) -> v1::MachineIdentity {
    v1::MachineIdentity {
        name: name.to_string(),
        uuid: uuid.to_owned(),
    }
}

fn milliseconds(number: u32) -> Duration {
    Duration::from_millis(number.into())
}
