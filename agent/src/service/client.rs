//! `ClientService`: decode, hand over, encode.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use omni_scale_proto::client::{CheckedClient, client_digest};
use omni_scale_proto::operation::{Operation, Target};
use omni_scale_proto::v1;
use omni_scale_proto::v1::client_service_server::ClientService;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::client::omni_client::OmniClient;
use crate::operation::{Event, OperationError, Operations};
use crate::server::status::status;

/// The work ends so long before its deadline that it can still say why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The RPCs about Omni's client.
#[derive(Debug, Clone)]
pub struct ClientRpc {
    client: Arc<OmniClient>,
    operations: Operations,
}

impl ClientRpc {
    /// Answers for this client.
    pub fn new(client: Arc<OmniClient>, operations: Operations) -> Self {
        Self { client, operations }
    }
}

#[tonic::async_trait]
impl ClientService for ClientRpc {
    type ApplyClientStream = BoxStream<'static, Result<v1::ApplyClientResponse, Status>>;

    async fn observe_client(
        &self,
        request: Request<v1::ObserveClientRequest>,
    ) -> Result<Response<v1::ObserveClientResponse>, Status> {
        let client = decode(request.into_inner().client)?;
        let mut observation = self.client.observe(&client).await;
        observation.generation = self.operations.generation(&Target::Client);
        Ok(Response::new(v1::ObserveClientResponse {
            observation: Some(observation),
        }))
    }

    async fn apply_client(
        &self,
        request: Request<v1::ApplyClientRequest>,
    ) -> Result<Response<Self::ApplyClientStream>, Status> {
        let request = request.into_inner();
        let operation = Operation::try_from(request.operation)
            .map_err(|error| status(&OperationError::Invalid(error)))?;
        let wanted = decode(request.client)?;
        let digest = client_digest(&wanted).to_string();
        let deadline = deadline(&operation);
        let client = self.client.clone();
        let running = self
            .operations
            .run(
                operation,
                Target::Client,
                "apply",
                &digest,
                move |reporter| async move { client.apply(&wanted, deadline, &reporter).await },
            )
            .await
            .map_err(|error| status(&error))?;
        let events = running.map(|event| {
            use v1::apply_client_response::Message;
            let message = match event {
                Event::Progress(progress) => Message::Progress(progress),
                Event::Outcome(outcome) => Message::Outcome(outcome),
            };
            Ok(v1::ApplyClientResponse {
                message: Some(message),
            })
        });
        Ok(Response::new(events.boxed()))
    }
}

fn decode(client: Option<v1::Client>) -> Result<CheckedClient, Status> {
    let client = client.ok_or_else(|| Status::invalid_argument("the request names no client"))?;
    CheckedClient::try_from(client)
        .map_err(|error| Status::invalid_argument(crate::error::chain(&error)))
}

fn deadline(operation: &Operation) -> Instant {
    let seconds = Duration::from_secs(operation.deadline_seconds.into());
    Instant::now() + seconds.saturating_sub(LAST_WORDS.min(seconds / 4))
}
