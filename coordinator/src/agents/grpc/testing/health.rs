//! The model's `grpc.health.v1`: what a world's host says of its targets.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::TestAgent;

impl TestAgent {
    fn health_of(&self, name: &str) -> Result<HealthCheckResponse, Status> {
        let Some((world, host)) = self.world() else {
            return Err(Status::not_found("the model knows no names"));
        };
        let mut world = world.world();
        let host = world.host(host.as_str());
        let well = match name {
            "" | "tailnet" => true,
            "tsidp" => host.unit.active,
            "omni" => host.stack.runs("omni"),
            "provider" => host.stack.runs("proxmox-provider"),
            other => match other.strip_prefix("omni/") {
                Some(service) => host.stack.runs(service),
                None => return Err(Status::not_found(format!("no `{other}` here"))),
            },
        };
        let status = if well {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        Ok(HealthCheckResponse {
            status: status.into(),
        })
    }
}

#[async_trait::async_trait]
impl Health for TestAgent {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.health_of(&request.into_inner().service)
            .map(Response::new)
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let now = self.health_of(&request.into_inner().service)?;
        let first = stream::iter([Ok(now)]);
        Ok(Response::new(first.chain(stream::pending()).boxed()))
    }
}
