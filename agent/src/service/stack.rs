//! `StackService`: decode, call what does it, encode.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use omni_scale_proto::id::{ServiceName, Sha256, StackName};
use omni_scale_proto::operation::{Operation, Target};
use omni_scale_proto::stack::{CheckedStack, InvalidStack, service_digest};
use omni_scale_proto::v1::stack_service_server::{StackService, StackServiceServer};
use omni_scale_proto::v1::{self, apply_stack_response, control_stack_response};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::error::{Classified, Kind};
use crate::operation::{Event, OperationError, Operations, Running};
use crate::server::status::{failure_status, status};
use crate::stack::{Apply, Control, ControlAction, ReadLogs, Stacks, UnknownAction};

/// The largest request, in bytes: files of a stack travel in it.
const LARGEST_REQUEST: usize = 4 * 1024 * 1024;
/// The most images that one observation resolves.
const MOST_IMAGES: usize = 64;
/// The most lines of one service's log that come first.
const MOST_LINES: u32 = 10_000;
/// What is left of a deadline to say why it has passed.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What the stack service speaks for.
pub struct StackApi {
    /// The stacks of this host.
    pub stacks: Stacks,
    /// The way of every mutation.
    pub operations: Operations,
}

impl StackApi {
    /// The service, with its bounds.
    pub fn server(self) -> StackServiceServer<impl StackService> {
        StackServiceServer::new(self).max_decoding_message_size(LARGEST_REQUEST)
    }
}

/// A request that makes no sense.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error(transparent)]
    Stack(#[from] InvalidStack),
    #[error(transparent)]
    Action(#[from] UnknownAction),
    #[error("at most {MOST_IMAGES} images can be looked up at once, not {0}")]
    Images(usize),
    #[error("at most {MOST_LINES} lines can be asked for, not {0}")]
    Lines(u32),
}

impl Classified for RequestError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

fn invalid(error: impl Into<RequestError>) -> Status {
    status(&error.into())
}

fn stack_name(name: &str) -> Result<StackName, Status> {
    name.parse()
        .map_err(|error| status(&OperationError::Id(error)))
}

fn service_names(names: &[String]) -> Result<Vec<ServiceName>, Status> {
    let names: Result<_, _> = names.iter().map(|name| name.parse()).collect();
    names.map_err(|error| status(&OperationError::Id(error)))
}

fn deadline(operation: &Operation) -> Instant {
    let whole = Duration::from_secs(operation.deadline_seconds.into());
    Instant::now() + whole.saturating_sub(LAST_WORDS)
}

/// A stream of answers.
type Answers<Answer> = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;

#[tonic::async_trait]
impl StackService for StackApi {
    type ApplyStackStream = Answers<v1::ApplyStackResponse>;
    type ControlStackStream = Answers<v1::ControlStackResponse>;
    type WatchStackStream = Answers<v1::WatchStackResponse>;
    type ReadLogsStream = Answers<v1::ReadLogsResponse>;

    async fn observe_stack(
        &self,
        request: Request<v1::ObserveStackRequest>,
    ) -> Result<Response<v1::ObserveStackResponse>, Status> {
        let request = request.into_inner();
        let name = stack_name(&request.name)?;
        if request.images.len() > MOST_IMAGES {
            return Err(invalid(RequestError::Images(request.images.len())));
        }
        let mut observation = self.stacks.observe(&name, &request.images).await;
        self.stacks.look_at_nodes(&mut observation).await;
        observation.generation = self.operations.generation(&Target::Stack(name));
        Ok(Response::new(v1::ObserveStackResponse {
            observation: Some(observation),
        }))
    }

    async fn apply_stack(
        &self,
        request: Request<v1::ApplyStackRequest>,
    ) -> Result<Response<Self::ApplyStackStream>, Status> {
        let request = request.into_inner();
        let operation = Operation::try_from(request.operation)
            .map_err(|error| status(&OperationError::Invalid(error)))?;
        let stack = CheckedStack::try_from(request.stack.unwrap_or_default()).map_err(invalid)?;
        let apply = Apply {
            services: service_names(&request.services)?,
            remove_orphans: request.remove_orphans,
            deadline: deadline(&operation),
            stack,
        };
        let target = Target::Stack(apply.stack.name().clone());
        let desired = desired_digest(&apply);
        let stacks = self.stacks.clone();
        let running = self
            .operations
            .run(
                operation,
                target,
                "apply",
                &desired,
                async move |reporter| stacks.apply(&apply, &reporter).await,
            )
            .await;
        let running = running.map_err(|error| status(&error))?;
        Ok(Response::new(answers(running, |event| {
            let message = match event {
                Event::Progress(progress) => apply_stack_response::Message::Progress(progress),
                Event::Outcome(outcome) => apply_stack_response::Message::Outcome(outcome),
            };
            v1::ApplyStackResponse {
                message: Some(message),
            }
        })))
    }

    async fn control_stack(
        &self,
        request: Request<v1::ControlStackRequest>,
    ) -> Result<Response<Self::ControlStackStream>, Status> {
        let request = request.into_inner();
        let action = ControlAction::try_from(request.action()).map_err(invalid)?;
        let name = stack_name(&request.name)?;
        let services = service_names(&request.services)?;
        let operation = Operation::try_from(request.operation)
            .map_err(|error| status(&OperationError::Invalid(error)))?;
        let control = Control {
            operation: operation.id.clone(),
            name: name.clone(),
            action,
            services,
            deadline: deadline(&operation),
        };
        let stacks = self.stacks.clone();
        let running = self
            .operations
            .run(
                operation,
                Target::Stack(name),
                action.as_str(),
                "",
                async move |reporter| stacks.control(&control, &reporter).await,
            )
            .await;
        let running = running.map_err(|error| status(&error))?;
        Ok(Response::new(answers(running, |event| {
            let message = match event {
                Event::Progress(progress) => control_stack_response::Message::Progress(progress),
                Event::Outcome(outcome) => control_stack_response::Message::Outcome(outcome),
            };
            v1::ControlStackResponse {
                message: Some(message),
            }
        })))
    }

    async fn watch_stack(
        &self,
        request: Request<v1::WatchStackRequest>,
    ) -> Result<Response<Self::WatchStackStream>, Status> {
        let name = stack_name(&request.into_inner().name)?;
        let operations = self.operations.clone();
        let watched = self.stacks.watch(name.clone()).map(move |mut observation| {
            observation.generation = operations.generation(&Target::Stack(name.clone()));
            Ok(v1::WatchStackResponse {
                observation: Some(observation),
            })
        });
        Ok(Response::new(Box::pin(watched)))
    }

    async fn read_logs(
        &self,
        request: Request<v1::ReadLogsRequest>,
    ) -> Result<Response<Self::ReadLogsStream>, Status> {
        let request = request.into_inner();
        if request.lines > MOST_LINES {
            return Err(invalid(RequestError::Lines(request.lines)));
        }
        let wanted = ReadLogs {
            name: stack_name(&request.name)?,
            services: service_names(&request.services)?,
            lines: request.lines,
            follow: request.follow,
        };
        let lines = self.stacks.read_logs(wanted).await;
        let lines = lines.map_err(|failure| failure_status(&failure))?;
        Ok(Response::new(Box::pin(lines.map(|line| {
            line.map(|line| v1::ReadLogsResponse { line: Some(line) })
                .map_err(|failure| failure_status(&failure))
        }))))
    }
}

fn answers<Answer: 'static>(
    running: Running,
    encode: impl Fn(Event) -> Answer + Send + 'static,
) -> Answers<Answer> {
    Box::pin(running.map(move |event| Ok(encode(event))))
}

/// One sum over what is to be made so, for the ledger.
fn desired_digest(apply: &Apply) -> String {
    let mut lines = String::new();
    for service in apply.stack.start_order() {
        let wanted = apply.services.is_empty()
            || apply
                .services
                .iter()
                .any(|name| name.as_str() == service.name);
        if wanted {
            lines.push_str(&service.name);
            lines.push(' ');
            lines.push_str(service_digest(service).as_str());
            lines.push('\n');
        }
    }
    Sha256::of(lines.as_bytes()).into()
}

#[cfg(test)]
mod tests;
