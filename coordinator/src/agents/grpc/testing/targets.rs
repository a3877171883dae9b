//! The model's `UnitService` and `StackService`.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use omni_scale_proto::id::ServiceName;
use omni_scale_proto::operation::Operation;
use omni_scale_proto::v1::stack_service_server::StackService;
use omni_scale_proto::v1::unit_service_server::UnitService;
use omni_scale_proto::v1::{
    self, apply_stack_response, apply_unit_response, control_stack_response,
};
use tonic::{Request, Response, Status};

use super::TestAgent;
use super::world::refusal;
use crate::agents::{Action, Agents as _, Control};

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = BoxStream<'static, Result<T, Status>>;

impl TestAgent {
    fn done(&self) -> Option<v1::Outcome> {
        let outcome = v1::Outcome {
            summary: "done".to_owned(),
            ..v1::Outcome::default()
        };
        (!self.state().cut_short).then_some(outcome)
    }

    async fn unit_now(&self) -> Result<v1::UnitObservation, Status> {
        match self.seat() {
            Some((seat, host)) => seat.observe_unit(&host).await.map_err(refusal),
            None => Ok(self.state().unit.clone()),
        }
    }

    async fn stack_now(
        &self,
        name: &str,
        images: &[String],
    ) -> Result<v1::StackObservation, Status> {
        match self.seat() {
            Some((seat, host)) => {
                let name = name.parse().map_err(invalid)?;
                let observed = seat.observe_stack(&host, &name, images).await;
                observed.map_err(refusal)
            }
            None => Ok(self.state().stack.clone()),
        }
    }

    fn stage() -> v1::Progress {
        v1::Progress {
            event: Some(v1::progress::Event::Stage(v1::Stage {
                subject: "omni".to_owned(),
                activity: "restarting".to_owned(),
            })),
        }
    }
}

fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

pub(super) fn operation(asked: Option<v1::Operation>) -> Result<Operation, Status> {
    asked.try_into().map_err(invalid)
}

fn services(asked: &[String]) -> Result<Vec<ServiceName>, Status> {
    let names = asked.iter().map(|name| name.parse().map_err(invalid));
    names.collect()
}

#[async_trait::async_trait]
impl UnitService for TestAgent {
    type ApplyUnitStream = Messages<v1::ApplyUnitResponse>;
    type WatchUnitStream = Messages<v1::WatchUnitResponse>;
    type ReadJournalStream = Messages<v1::ReadJournalResponse>;

    async fn observe_unit(
        &self,
        _: Request<v1::ObserveUnitRequest>,
    ) -> Answer<v1::ObserveUnitResponse> {
        let observation = Some(self.unit_now().await?);
        Ok(Response::new(v1::ObserveUnitResponse { observation }))
    }

    async fn apply_unit(
        &self,
        request: Request<v1::ApplyUnitRequest>,
    ) -> Answer<Self::ApplyUnitStream> {
        let asked = request.into_inner();
        if self.state().fenced {
            let operation = asked.operation.clone().unwrap_or_default();
            self.check_epoch(operation.lease_epoch)?;
        }
        if let Some((seat, host)) = self.seat() {
            let operation = operation(asked.operation)?;
            let configuration = asked.configuration.unwrap_or_default();
            let action = Action::ApplyUnit { configuration };
            let outcome = seat.apply(&host, &operation, &action, &|_| {}).await;
            let message = apply_unit_response::Message::Outcome(outcome.map_err(refusal)?);
            let answer = Ok(v1::ApplyUnitResponse {
                message: Some(message),
            });
            return Ok(Response::new(stream::iter([answer]).boxed()));
        }
        let progress = apply_unit_response::Message::Progress(Self::stage());
        let messages = [
            Some(progress),
            self.done().map(apply_unit_response::Message::Outcome),
        ];
        let mut messages: Vec<_> = messages
            .into_iter()
            .flatten()
            .map(|message| {
                Ok(v1::ApplyUnitResponse {
                    message: Some(message),
                })
            })
            .collect();
        if let Some(status) = self.state().broken_off.clone() {
            messages.truncate(1);
            messages.push(Err(status));
        }
        Ok(Response::new(stream::iter(messages).boxed()))
    }

    async fn control_unit(
        &self,
        request: Request<v1::ControlUnitRequest>,
    ) -> Answer<v1::ControlUnitResponse> {
        let asked = request.into_inner();
        if let Some((seat, host)) = self.seat() {
            let control = Control::Unit {
                action: asked.action(),
            };
            let operation = operation(asked.operation)?;
            let outcome = seat.control(&host, &operation, &control, &|_| {}).await;
            let outcome = Some(outcome.map_err(refusal)?);
            return Ok(Response::new(v1::ControlUnitResponse { outcome }));
        }
        let done = format!("{:?} unit", asked.action());
        self.state().controls.push(done);
        let outcome = self.done();
        Ok(Response::new(v1::ControlUnitResponse { outcome }))
    }

    async fn watch_unit(&self, _: Request<v1::WatchUnitRequest>) -> Answer<Self::WatchUnitStream> {
        let observation = Some(self.unit_now().await?);
        let first = stream::iter([Ok(v1::WatchUnitResponse { observation })]);
        Ok(Response::new(first.chain(stream::pending()).boxed()))
    }

    async fn read_journal(
        &self,
        _: Request<v1::ReadJournalRequest>,
    ) -> Answer<Self::ReadJournalStream> {
        let lines = self.state().log.clone();
        let lines = lines
            .into_iter()
            .map(|line| Ok(v1::ReadJournalResponse { line: Some(line) }));
        Ok(Response::new(
            stream::iter(lines.collect::<Vec<_>>()).boxed(),
        ))
    }
}

#[async_trait::async_trait]
impl StackService for TestAgent {
    type ApplyStackStream = Messages<v1::ApplyStackResponse>;
    type ControlStackStream = Messages<v1::ControlStackResponse>;
    type WatchStackStream = Messages<v1::WatchStackResponse>;
    type ReadLogsStream = Messages<v1::ReadLogsResponse>;

    async fn observe_stack(
        &self,
        request: Request<v1::ObserveStackRequest>,
    ) -> Answer<v1::ObserveStackResponse> {
        let asked = request.into_inner();
        let observation = Some(self.stack_now(&asked.name, &asked.images).await?);
        Ok(Response::new(v1::ObserveStackResponse { observation }))
    }

    async fn apply_stack(
        &self,
        request: Request<v1::ApplyStackRequest>,
    ) -> Answer<Self::ApplyStackStream> {
        if let Some((seat, host)) = self.seat() {
            let asked = request.into_inner();
            let operation = operation(asked.operation)?;
            let stack = asked.stack.unwrap_or_default();
            let action = Action::ApplyStack {
                name: stack.name.parse().map_err(invalid)?,
                stack,
                services: services(&asked.services)?,
                remove_orphans: asked.remove_orphans,
            };
            let outcome = seat.apply(&host, &operation, &action, &|_| {}).await;
            let message = apply_stack_response::Message::Outcome(outcome.map_err(refusal)?);
            let answer = Ok(v1::ApplyStackResponse {
                message: Some(message),
            });
            return Ok(Response::new(stream::iter([answer]).boxed()));
        }
        let outcome = self.done().map(|outcome| {
            Ok(v1::ApplyStackResponse {
                message: Some(apply_stack_response::Message::Outcome(outcome)),
            })
        });
        Ok(Response::new(stream::iter(outcome).boxed()))
    }

    async fn control_stack(
        &self,
        request: Request<v1::ControlStackRequest>,
    ) -> Answer<Self::ControlStackStream> {
        let asked = request.into_inner();
        if let Some((seat, host)) = self.seat() {
            let control = Control::Stack {
                name: asked.name.parse().map_err(invalid)?,
                services: services(&asked.services)?,
                action: asked.action(),
            };
            let operation = operation(asked.operation)?;
            let outcome = seat.control(&host, &operation, &control, &|_| {}).await;
            let message = control_stack_response::Message::Outcome(outcome.map_err(refusal)?);
            let answer = Ok(v1::ControlStackResponse {
                message: Some(message),
            });
            return Ok(Response::new(stream::iter([answer]).boxed()));
        }
        let done = format!("{:?} {} {:?}", asked.action(), asked.name, asked.services);
        self.state().controls.push(done);
        let progress = control_stack_response::Message::Progress(Self::stage());
        let outcome = self.done().map(control_stack_response::Message::Outcome);
        let messages: Vec<_> = [Some(progress), outcome]
            .into_iter()
            .flatten()
            .map(|message| {
                Ok(v1::ControlStackResponse {
                    message: Some(message),
                })
            })
            .collect();
        Ok(Response::new(stream::iter(messages).boxed()))
    }

    async fn watch_stack(
        &self,
        request: Request<v1::WatchStackRequest>,
    ) -> Answer<Self::WatchStackStream> {
        let name = request.into_inner().name;
        let observation = Some(self.stack_now(&name, &[]).await?);
        let first = stream::iter([Ok(v1::WatchStackResponse { observation })]);
        Ok(Response::new(first.chain(stream::pending()).boxed()))
    }

    async fn read_logs(
        &self,
        request: Request<v1::ReadLogsRequest>,
    ) -> Answer<Self::ReadLogsStream> {
        let services = request.into_inner().services;
        let lines = self.state().log.clone();
        let lines = lines
            .into_iter()
            .filter(|line| services.is_empty() || services.contains(&line.source))
            .map(|line| Ok(v1::ReadLogsResponse { line: Some(line) }));
        Ok(Response::new(
            stream::iter(lines.collect::<Vec<_>>()).boxed(),
        ))
    }
}
