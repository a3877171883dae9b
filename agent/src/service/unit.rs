//! `UnitService`: decode, hand over, encode.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use omni_scale_proto::operation::{Operation, Target};
use omni_scale_proto::unit::{CheckedUnit, unit_digest};
use omni_scale_proto::v1;
use omni_scale_proto::v1::unit_service_server::UnitService;
use tokio::time::Instant;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};

use crate::clock;
use crate::journal::{JournalUnit, Selection};
use crate::operation::{Event, Operations};
use crate::server::status::status;
use crate::tailnet::Tailnet;
use crate::tailnet::condition::of_device;
use crate::unit::job::Job;
use crate::unit::tsidp::TsidpUnit;
use crate::unit::watching::UnitWatch;

/// The work ends so long before its deadline that it can still say why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The RPCs about the tsidp unit.
#[derive(Clone)]
pub struct UnitRpc {
    tsidp: Arc<TsidpUnit>,
    watch: UnitWatch,
    tailnet: Arc<dyn Tailnet>,
    operations: Operations,
}

impl UnitRpc {
    /// Answers for this unit.
    pub fn new(
        tsidp: Arc<TsidpUnit>,
        watch: UnitWatch,
        tailnet: Arc<dyn Tailnet>,
        operations: Operations,
    ) -> Self {
        Self {
            tsidp,
            watch,
            tailnet,
            operations,
        }
    }

    /// Adds what the tailnet says of the node that the issuer's name leads to.
    async fn look_at_node(&self, observation: &mut v1::UnitObservation) {
        let applied = observation.applied.as_ref();
        let Some(dns_name) = applied.and_then(|applied| node_of(&applied.issuer)) else {
            return;
        };
        let seen = self.tailnet.named(dns_name).await;
        let found = of_device(dns_name, &seen, clock::now_milliseconds());
        observation.node_conditions = found.into_iter().map(Into::into).collect();
    }

    fn with_generation(&self, mut observation: v1::UnitObservation) -> v1::UnitObservation {
        observation.generation = self.operations.generation(&Target::Unit);
        observation
    }
}

#[tonic::async_trait]
impl UnitService for UnitRpc {
    type ApplyUnitStream = BoxStream<'static, Result<v1::ApplyUnitResponse, Status>>;
    type WatchUnitStream = BoxStream<'static, Result<v1::WatchUnitResponse, Status>>;
    type ReadJournalStream = BoxStream<'static, Result<v1::ReadJournalResponse, Status>>;

    async fn observe_unit(
        &self,
        _request: Request<v1::ObserveUnitRequest>,
    ) -> Result<Response<v1::ObserveUnitResponse>, Status> {
        let mut observation = self.with_generation(self.tsidp.observe().await);
        self.look_at_node(&mut observation).await;
        Ok(Response::new(v1::ObserveUnitResponse {
            observation: Some(observation),
        }))
    }

    async fn apply_unit(
        &self,
        request: Request<v1::ApplyUnitRequest>,
    ) -> Result<Response<Self::ApplyUnitStream>, Status> {
        let request = request.into_inner();
        let operation = decode_operation(request.operation)?;
        let configuration = request
            .configuration
            .ok_or_else(|| Status::invalid_argument("the request carries no configuration"))?;
        let unit = CheckedUnit::try_from(configuration).map_err(invalid)?;
        let digest = unit_digest(&unit).to_string();
        let deadline = deadline(&operation);
        let tsidp = self.tsidp.clone();
        let running = self
            .operations
            .run(
                operation,
                Target::Unit,
                "apply",
                &digest,
                move |reporter| async move { tsidp.apply(&unit, deadline, &reporter).await },
            )
            .await
            .map_err(|error| status(&error))?;
        let events = running.map(|event| {
            use v1::apply_unit_response::Message;
            let message = match event {
                Event::Progress(progress) => Message::Progress(progress),
                Event::Outcome(outcome) => Message::Outcome(outcome),
            };
            Ok(v1::ApplyUnitResponse {
                message: Some(message),
            })
        });
        Ok(Response::new(events.boxed()))
    }

    async fn control_unit(
        &self,
        request: Request<v1::ControlUnitRequest>,
    ) -> Result<Response<v1::ControlUnitResponse>, Status> {
        let request = request.into_inner();
        let job = decode_action(request.action())?;
        let operation = decode_operation(request.operation)?;
        let id = operation.id.clone();
        let deadline = deadline(&operation);
        let tsidp = self.tsidp.clone();
        let running = self
            .operations
            .run(
                operation,
                Target::Unit,
                &job.to_string(),
                "",
                move |reporter| async move { tsidp.control(&id, job, deadline, &reporter).await },
            )
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(v1::ControlUnitResponse {
            outcome: Some(running.outcome().await),
        }))
    }

    async fn watch_unit(
        &self,
        _request: Request<v1::WatchUnitRequest>,
    ) -> Result<Response<Self::WatchUnitStream>, Status> {
        let this = self.clone();
        let stream = WatchStream::new(self.watch.observations()).filter_map(move |seen| {
            let observation = seen.map(|seen| this.with_generation(seen));
            std::future::ready(observation.map(|observation| {
                Ok(v1::WatchUnitResponse {
                    observation: Some(observation),
                })
            }))
        });
        Ok(Response::new(stream.boxed()))
    }

    async fn read_journal(
        &self,
        request: Request<v1::ReadJournalRequest>,
    ) -> Result<Response<Self::ReadJournalStream>, Status> {
        let v1::ReadJournalRequest { lines, follow } = request.into_inner();
        let selection = Selection::checked(JournalUnit::Tsidp, lines, follow)
            .map_err(|error| status(&error))?;
        let lines = self.tsidp.journal().read(selection);
        let lines = lines.map(|line| match line {
            Ok(line) => Ok(v1::ReadJournalResponse { line: Some(line) }),
            Err(error) => Err(status(&error)),
        });
        Ok(Response::new(lines.boxed()))
    }
}

/// The full name of the node that serves an issuer.
fn node_of(issuer: &str) -> Option<&str> {
    issuer.strip_prefix("https://")?.split(':').next()
}

fn decode_operation(operation: Option<v1::Operation>) -> Result<Operation, Status> {
    Operation::try_from(operation).map_err(invalid)
}

fn decode_action(action: v1::ControlAction) -> Result<Job, Status> {
    match action {
        v1::ControlAction::Start => Ok(Job::Start),
        v1::ControlAction::Stop => Ok(Job::Stop),
        v1::ControlAction::Restart => Ok(Job::Restart),
        v1::ControlAction::Unspecified => {
            Err(Status::invalid_argument("the request names no action"))
        }
    }
}

fn deadline(operation: &Operation) -> Instant {
    let seconds = Duration::from_secs(operation.deadline_seconds.into());
    Instant::now() + seconds.saturating_sub(LAST_WORDS.min(seconds / 4))
}

fn invalid(error: impl std::error::Error) -> Status {
    Status::invalid_argument(crate::error::chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::testing::Desk;
    use crate::tailnet::{Device, FakeTailnet, Named};
    use crate::unit::apply::tests::Rig;

    struct Host {
        rig: Rig,
        desk: Desk,
        tailnet: Arc<FakeTailnet>,
        rpc: UnitRpc,
    }

    impl Host {
        async fn new() -> Self {
            let (rig, _) = Rig::applied().await;
            let desk = Desk::new().await;
            let watch = UnitWatch::new(rig.tsidp.clone());
            let tailnet = Arc::new(FakeTailnet::running(
                "idp.tail.test",
                [100, 64, 0, 1].into(),
            ));
            let rpc = UnitRpc::new(
                rig.tsidp.clone(),
                watch,
                tailnet.clone(),
                desk.operations.clone(),
            );
            Self {
                rig,
                desk,
                tailnet,
                rpc,
            }
        }

        async fn observe(&self) -> v1::UnitObservation {
            let request = Request::new(v1::ObserveUnitRequest {});
            let response = self.rpc.observe_unit(request).await.unwrap();
            response.into_inner().observation.unwrap()
        }

        async fn control(&self, operation: v1::Operation) -> v1::Outcome {
            let request = Request::new(v1::ControlUnitRequest {
                operation: Some(operation),
                action: v1::ControlAction::Restart.into(),
            });
            let response = self.rpc.control_unit(request).await.unwrap();
            response.into_inner().outcome.unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_operation_is_answered_and_not_done_twice() {
        let host = Host::new().await;
        let operation = v1::Operation::from(host.desk.operation(10, 1));
        let first = host.control(operation.clone()).await;
        assert_eq!((first.generation, first.replayed), (1, false));
        assert!(first.failure.is_none(), "{first:?}");
        let again = host.control(operation).await;
        assert!(again.replayed);
        assert_eq!(host.rig.units.jobs(), [Job::Start, Job::Restart]);
        assert_eq!(host.observe().await.generation, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_apply_tells_its_way_and_one_outcome() {
        let host = Host::new().await;
        let configuration = host.observe().await.applied;
        let request = Request::new(v1::ApplyUnitRequest {
            operation: Some(host.desk.operation(10, 1).into()),
            configuration,
        });
        let stream = host.rpc.apply_unit(request).await.unwrap().into_inner();
        let messages: Vec<_> = stream
            .map(|response| response.unwrap().message.unwrap())
            .collect()
            .await;
        let (last, before) = messages.split_last().unwrap();
        let progress =
            |message: &_| matches!(message, v1::apply_unit_response::Message::Progress(_));
        assert!(!before.is_empty() && before.iter().all(progress));
        let v1::apply_unit_response::Message::Outcome(outcome) = last else {
            panic!("the last message is the outcome");
        };
        assert!(outcome.failure.is_none(), "{outcome:?}");
        assert_eq!(host.rig.units.jobs(), [Job::Start]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_tailnet_says_how_tsidps_own_node_is() {
        let host = Host::new().await;
        let issuer = host.observe().await.applied.unwrap().issuer;
        let name = node_of(&issuer).unwrap();
        let kinds = async || {
            let conditions = host.observe().await.node_conditions;
            conditions
                .iter()
                .map(v1::NodeCondition::kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds().await, [v1::NodeConditionKind::Absent]);
        let device = Device {
            dns_name: name.to_owned(),
            online: true,
            ..Device::default()
        };
        let named = |device| Named {
            device: Some(device),
            ..Named::default()
        };
        host.tailnet.set_named(name, named(device.clone()));
        assert_eq!(kinds().await, []);
        let expired = Device {
            expired: true,
            ..device
        };
        host.tailnet.set_named(name, named(expired));
        assert_eq!(kinds().await, [v1::NodeConditionKind::KeyExpired]);
        host.tailnet.set(None);
        assert_eq!(kinds().await, [v1::NodeConditionKind::Silent]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_is_told_what_changes() {
        let host = Host::new().await;
        let request = Request::new(v1::WatchUnitRequest {});
        let mut stream = host.rpc.watch_unit(request).await.unwrap().into_inner();
        host.rig.units.lose("the bus is restarted");
        let mut reasons = Vec::new();
        while reasons.last() != Some(&"the bus is restarted".to_owned()) {
            let response = stream.next().await.unwrap().unwrap();
            let observation = response.observation.unwrap();
            // systemd's fields are absent while nothing is known.
            assert!(observation.known || observation.active_state.is_empty());
            reasons.push(observation.reason.rsplit(": ").next().unwrap().to_owned());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_make_no_sense_are_refused() {
        let host = Host::new().await;
        let code = |status: Status| status.code();
        let apply = Request::new(v1::ApplyUnitRequest {
            operation: Some(host.desk.operation(10, 1).into()),
            configuration: Some(v1::UnitConfiguration::default()),
        });
        let refused = host.rpc.apply_unit(apply).await.err().map(code);
        assert_eq!(refused, Some(tonic::Code::InvalidArgument));
        let control = Request::new(v1::ControlUnitRequest {
            operation: Some(host.desk.operation(10, 1).into()),
            action: 0,
        });
        let refused = host.rpc.control_unit(control).await.err().map(code);
        assert_eq!(refused, Some(tonic::Code::InvalidArgument));
        let journal = Request::new(v1::ReadJournalRequest {
            lines: crate::journal::MOST_LINES + 1,
            follow: false,
        });
        let refused = host.rpc.read_journal(journal).await.err().map(code);
        assert_eq!(refused, Some(tonic::Code::InvalidArgument));
    }
}
