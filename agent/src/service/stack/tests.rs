use tonic::Code;

use super::*;
use crate::operation::testing::Desk;
use crate::stack::testing::{self, StackHost};

struct Bench {
    api: StackApi,
    host: StackHost,
    desk: Desk,
}

impl Bench {
    async fn new() -> Self {
        let (host, desk) = (StackHost::new(), Desk::new().await);
        host.engine.publish_all(&testing::stack());
        Self {
            api: StackApi {
                stacks: host.stacks.clone(),
                operations: desk.operations.clone(),
            },
            host,
            desk,
        }
    }

    async fn apply(
        &self,
        id: u8,
        generation: u64,
    ) -> Result<Answers<v1::ApplyStackResponse>, Status> {
        let request = v1::ApplyStackRequest {
            operation: Some(self.desk.operation(id, generation).into()),
            stack: Some(testing::stack()),
            ..v1::ApplyStackRequest::default()
        };
        let answered = self.api.apply_stack(Request::new(request)).await;
        answered.map(Response::into_inner)
    }

    async fn generation(&self) -> u64 {
        let request = v1::ObserveStackRequest {
            name: "omni".to_owned(),
            images: Vec::new(),
        };
        let observed = self.api.observe_stack(Request::new(request)).await.unwrap();
        observed.into_inner().observation.unwrap().generation
    }
}

async fn outcome(mut answers: Answers<v1::ApplyStackResponse>) -> (usize, v1::Outcome) {
    let mut progress = 0;
    while let Some(answer) = answers.next().await {
        match answer.unwrap().message.unwrap() {
            apply_stack_response::Message::Progress(_) => progress += 1,
            apply_stack_response::Message::Outcome(outcome) => {
                assert!(
                    answers.next().await.is_none(),
                    "the outcome is the last message"
                );
                return (progress, outcome);
            }
        }
    }
    panic!("a stream of an operation ends with its outcome");
}

#[tokio::test(start_paused = true)]
async fn an_apply_tells_its_way_and_ends_with_its_outcome() {
    let bench = Bench::new().await;
    assert_eq!(bench.generation().await, 0);
    let (progress, done) = outcome(bench.apply(1, 1).await.unwrap()).await;
    assert!(progress > 5, "{progress}");
    assert_eq!(
        done.summary,
        "created omni-tailscale, omni, proxmox-provider"
    );
    assert_eq!(done.failure, None);
    assert_eq!(bench.generation().await, 1);
    bench.host.engine.forget_calls();
    let (_, again) = outcome(bench.apply(1, 1).await.unwrap()).await;
    assert!(again.replayed);
    assert!(bench.host.changes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_apply_goes_on_when_nobody_listens() {
    let bench = Bench::new().await;
    drop(bench.apply(1, 1).await.unwrap());
    let (_, done) = outcome(bench.apply(1, 1).await.unwrap()).await;
    assert_eq!(done.failure, None);
    assert_eq!(bench.host.engine.names().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_old_generation_is_out_of_date() {
    let bench = Bench::new().await;
    outcome(bench.apply(1, 3).await.unwrap()).await;
    let refused = bench.apply(2, 2).await.err().unwrap();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test(start_paused = true)]
async fn requests_that_make_no_sense_are_refused_by_name() {
    let bench = Bench::new().await;
    let mut stack = testing::stack();
    stack.services[1].image = "registry.example/omni:v1".to_owned();
    let request = v1::ApplyStackRequest {
        operation: Some(bench.desk.operation(1, 1).into()),
        stack: Some(stack),
        ..v1::ApplyStackRequest::default()
    };
    let refused = bench
        .api
        .apply_stack(Request::new(request))
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().contains("services.omni.image"),
        "{refused}"
    );

    let request = v1::ControlStackRequest {
        operation: Some(bench.desk.operation(1, 1).into()),
        name: "omni".to_owned(),
        ..v1::ControlStackRequest::default()
    };
    let refused = bench
        .api
        .control_stack(Request::new(request))
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let request = v1::ReadLogsRequest {
        name: "omni".to_owned(),
        lines: 10_001,
        ..v1::ReadLogsRequest::default()
    };
    let refused = bench
        .api
        .read_logs(Request::new(request))
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let request = v1::WatchStackRequest {
        name: "../omni".to_owned(),
    };
    let refused = bench
        .api
        .watch_stack(Request::new(request))
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn a_stack_is_controlled_watched_and_read() {
    let bench = Bench::new().await;
    outcome(bench.apply(1, 1).await.unwrap()).await;
    bench.host.engine.write_log("omni-omni-1", "ready\n");
    let request = v1::ControlStackRequest {
        operation: Some(bench.desk.operation(2, 2).into()),
        name: "omni".to_owned(),
        action: v1::ControlAction::Restart.into(),
        services: vec!["omni".to_owned()],
    };
    let answers = bench
        .api
        .control_stack(Request::new(request))
        .await
        .unwrap();
    let last = answers
        .into_inner()
        .collect::<Vec<_>>()
        .await
        .pop()
        .unwrap();
    let Some(control_stack_response::Message::Outcome(done)) = last.unwrap().message else {
        panic!("the outcome is the last message");
    };
    assert_eq!(done.summary, "restarted omni");

    let request = v1::WatchStackRequest {
        name: "omni".to_owned(),
    };
    let watched = bench.api.watch_stack(Request::new(request)).await.unwrap();
    let first = watched.into_inner().next().await.unwrap().unwrap();
    assert_eq!(first.observation.unwrap().generation, 2);

    let request = v1::ReadLogsRequest {
        name: "omni".to_owned(),
        services: vec!["omni".to_owned()],
        lines: 5,
        follow: false,
    };
    let lines = bench.api.read_logs(Request::new(request)).await.unwrap();
    let lines: Vec<_> = lines.into_inner().collect().await;
    assert_eq!(
        lines[0].as_ref().unwrap().line.as_ref().unwrap().line,
        "ready"
    );
}
