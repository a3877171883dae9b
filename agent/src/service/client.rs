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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::apply::tests::{ID, OPEN, Rig, SECRET, moved, wire};
    use crate::client::fake::{Endpoint, Fault};
    use crate::operation::testing::Desk;

    struct Host {
        rig: Rig,
        desk: Desk,
        rpc: ClientRpc,
    }

    impl Host {
        async fn new() -> Self {
            let rig = Rig::new(OPEN);
            let desk = Desk::new().await;
            let rpc = ClientRpc::new(rig.omni.clone(), desk.operations.clone());
            Self { rig, desk, rpc }
        }

        /// Everything that is told, and at last the outcome.
        async fn apply(&self, id: u8, generation: u64, client: v1::Client) -> Vec<Message> {
            let request = Request::new(v1::ApplyClientRequest {
                operation: Some(self.desk.operation(id, generation).into()),
                client: Some(client),
            });
            let stream = self.rpc.apply_client(request).await.unwrap().into_inner();
            stream
                .map(|response| response.unwrap().message.unwrap())
                .collect()
                .await
        }

        async fn observe(&self) -> v1::ClientObservation {
            let request = Request::new(v1::ObserveClientRequest {
                client: Some(wire()),
            });
            let response = self.rpc.observe_client(request).await.unwrap();
            response.into_inner().observation.unwrap()
        }
    }

    use v1::apply_client_response::Message;

    fn outcome(messages: &[Message]) -> v1::Outcome {
        match messages.last() {
            Some(Message::Outcome(outcome)) => outcome.clone(),
            other => panic!("the last message is the outcome, not {other:?}"),
        }
    }

    #[tokio::test]
    async fn an_apply_tells_its_way_and_one_outcome_and_never_the_secret() {
        let host = Host::new().await;
        assert_eq!(host.observe().await.state(), v1::ClientState::Absent);
        let messages = host.apply(1, 1, wire()).await;
        let stages = messages.iter().filter_map(|message| match message {
            Message::Progress(progress) => match &progress.event {
                Some(v1::progress::Event::Stage(stage)) => Some(stage.subject.as_str()),
                _ => None,
            },
            Message::Outcome(_) => None,
        });
        let stages: Vec<&str> = stages.collect();
        assert!(stages.len() >= 2, "{messages:?}");
        assert!(stages.iter().all(|subject| *subject == "omni client"));
        assert_eq!(outcome(&messages).failure, None);
        // The desk's mask does not know this host's secrets; that of the host does.
        let secret = host.rig.stored(SECRET).unwrap();
        let id = host.rig.stored(ID).unwrap();
        let summary = host.rig.secrets.mask(&outcome(&messages).summary);
        assert!(summary.contains(&id), "{summary}");
        assert_eq!(host.rig.secrets.mask(&secret), format!("[secret {SECRET}]"));
        let shown = format!("{messages:?} {:?}", host.observe().await);
        assert!(!shown.contains(&secret), "{shown}");
        let observation = host.observe().await;
        assert_eq!(observation.state(), v1::ClientState::Registered);
        assert_eq!(observation.generation, 1);
        assert_eq!(observation.registered, Some(wire()));
    }

    #[tokio::test]
    async fn the_same_operation_is_answered_and_not_done_twice() {
        let host = Host::new().await;
        host.apply(1, 1, wire()).await;
        host.rig.tsidp.fail_next(Endpoint::Register, Fault::Lost);
        let failed = outcome(&host.apply(2, 2, moved()).await);
        let failure = failed.failure.unwrap();
        assert_eq!(failure.failure_class(), v1::FailureClass::Transient);
        let done = outcome(&host.apply(2, 2, moved()).await);
        assert_eq!((done.failure, done.replayed), (None, false));
        let asked = host.rig.tsidp.asked().len();
        let again = outcome(&host.apply(2, 2, moved()).await);
        assert!(again.replayed);
        assert_eq!(host.rig.tsidp.asked().len(), asked);
    }

    #[tokio::test]
    async fn requests_that_make_no_sense_are_refused() {
        let host = Host::new().await;
        let observe = |client| Request::new(v1::ObserveClientRequest { client });
        for client in [None, Some(v1::Client::default())] {
            let refused = host.rpc.observe_client(observe(client.clone())).await;
            assert_eq!(refused.unwrap_err().code(), tonic::Code::InvalidArgument);
            let apply = Request::new(v1::ApplyClientRequest {
                operation: Some(host.desk.operation(1, 1).into()),
                client,
            });
            let refused = host.rpc.apply_client(apply).await.err().unwrap();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        }
        let apply = Request::new(v1::ApplyClientRequest {
            operation: None,
            client: Some(wire()),
        });
        let refused = host.rpc.apply_client(apply).await.err().unwrap();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
}
