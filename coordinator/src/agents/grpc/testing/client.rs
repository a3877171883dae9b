//! The model's `ClientService`.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use omni_scale_proto::v1::client_service_server::ClientService;
use omni_scale_proto::v1::{self, apply_client_response};
use tonic::{Request, Response, Status};

use super::TestAgent;
use super::targets::operation;
use super::world::refusal;
use crate::agents::{Action, Agents as _};

#[async_trait::async_trait]
impl ClientService for TestAgent {
    type ApplyClientStream = BoxStream<'static, Result<v1::ApplyClientResponse, Status>>;

    async fn observe_client(
        &self,
        request: Request<v1::ObserveClientRequest>,
    ) -> Result<Response<v1::ObserveClientResponse>, Status> {
        let client = request.into_inner().client.unwrap_or_default();
        let observation = match self.seat() {
            Some((seat, host)) => seat.observe_client(&host, &client).await.map_err(refusal)?,
            None => v1::ClientObservation {
                state: v1::ClientState::Given.into(),
                client_id: "given".to_owned(),
                ..v1::ClientObservation::default()
            },
        };
        Ok(Response::new(v1::ObserveClientResponse {
            observation: Some(observation),
        }))
    }

    async fn apply_client(
        &self,
        request: Request<v1::ApplyClientRequest>,
    ) -> Result<Response<Self::ApplyClientStream>, Status> {
        let asked = request.into_inner();
        let outcome = match self.seat() {
            Some((seat, host)) => {
                let action = Action::ApplyClient {
                    client: asked.client.unwrap_or_default(),
                };
                let operation = operation(asked.operation)?;
                let outcome = seat.apply(&host, &operation, &action, &|_| {}).await;
                outcome.map_err(refusal)?
            }
            None => v1::Outcome::default(),
        };
        let message = Some(apply_client_response::Message::Outcome(outcome));
        let answer = Ok(v1::ApplyClientResponse { message });
        Ok(Response::new(stream::iter([answer]).boxed()))
    }
}
