//! `grpc.health.v1`: the product's own answer, as the agent knows it.

use futures_util::StreamExt as _;
use omni_scale_proto::id::HostName;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::connection::PROMPT;
use super::status::within;
use super::{Changes, GrpcAgents};
use crate::agents::AgentError;

/// What is known of the health of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The product's own answer is as it should be.
    Serving,
    /// It answers otherwise, or not at all.
    NotServing,
    /// Not known, or the agent does not know the name.
    Unknown,
}

impl From<HealthCheckResponse> for Health {
    fn from(answer: HealthCheckResponse) -> Self {
        match answer.status() {
            ServingStatus::Serving => Self::Serving,
            ServingStatus::NotServing => Self::NotServing,
            ServingStatus::Unknown | ServingStatus::ServiceUnknown => Self::Unknown,
        }
    }
}

impl GrpcAgents {
    /// The health of a name now. A name that the agent does not know is unknown.
    pub async fn health(&self, host: &HostName, name: &str) -> Result<Health, AgentError> {
        let (call, channel) = self
            .ready(host, format!("ask for the health of `{name}`"))
            .await?;
        let mut client = HealthClient::new(channel);
        let request = HealthCheckRequest {
            service: name.to_owned(),
        };
        let answer = async {
            match client.check(request).await {
                Err(status) if status.code() == Code::NotFound => {
                    Ok(tonic::Response::new(HealthCheckResponse::default()))
                }
                answer => answer,
            }
        };
        Ok(within(&call, PROMPT, answer).await?.into())
    }

    /// The health of a name, and each change.
    pub async fn watch_health(
        &self,
        host: &HostName,
        name: &str,
    ) -> Result<Changes<Health>, AgentError> {
        let (call, channel) = self
            .ready(host, format!("watch the health of `{name}`"))
            .await?;
        let mut client = HealthClient::new(channel);
        let request = HealthCheckRequest {
            service: name.to_owned(),
        };
        let stream = within(&call, PROMPT, client.watch(request)).await?;
        let changes = stream.map(move |answer| {
            answer
                .map(Health::from)
                .map_err(|status| call.error(status))
        });
        Ok(changes.boxed())
    }
}
