//! The model's `UnitService` and `StackService`.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use omni_scale_proto::v1::stack_service_server::StackService;
use omni_scale_proto::v1::unit_service_server::UnitService;
use omni_scale_proto::v1::{
    self, apply_stack_response, apply_unit_response, control_stack_response,
};
use tonic::{Request, Response, Status};

use super::TestAgent;

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

    fn stage() -> v1::Progress {
        v1::Progress {
            event: Some(v1::progress::Event::Stage(v1::Stage {
                subject: "omni".to_owned(),
                activity: "restarting".to_owned(),
            })),
        }
    }
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
        let observation = Some(self.state().unit.clone());
        Ok(Response::new(v1::ObserveUnitResponse { observation }))
    }

    async fn apply_unit(&self, _: Request<v1::ApplyUnitRequest>) -> Answer<Self::ApplyUnitStream> {
        let progress = apply_unit_response::Message::Progress(Self::stage());
        let messages = [
            Some(progress),
            self.done().map(apply_unit_response::Message::Outcome),
        ];
        let messages: Vec<_> = messages
            .into_iter()
            .flatten()
            .map(|message| {
                Ok(v1::ApplyUnitResponse {
                    message: Some(message),
                })
            })
            .collect();
        Ok(Response::new(stream::iter(messages).boxed()))
    }

    async fn control_unit(
        &self,
        request: Request<v1::ControlUnitRequest>,
    ) -> Answer<v1::ControlUnitResponse> {
        let asked = request.into_inner();
        let done = format!("{:?} unit", asked.action());
        self.state().controls.push(done);
        let outcome = self.done();
        Ok(Response::new(v1::ControlUnitResponse { outcome }))
    }

    async fn watch_unit(&self, _: Request<v1::WatchUnitRequest>) -> Answer<Self::WatchUnitStream> {
        let observation = Some(self.state().unit.clone());
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
        _: Request<v1::ObserveStackRequest>,
    ) -> Answer<v1::ObserveStackResponse> {
        let observation = Some(self.state().stack.clone());
        Ok(Response::new(v1::ObserveStackResponse { observation }))
    }

    async fn apply_stack(
        &self,
        _: Request<v1::ApplyStackRequest>,
    ) -> Answer<Self::ApplyStackStream> {
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
        _: Request<v1::WatchStackRequest>,
    ) -> Answer<Self::WatchStackStream> {
        let observation = Some(self.state().stack.clone());
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
