//! An operation's stream: what the agent does, then its outcome.

use std::time::Duration;

use omni_scale_proto::operation::Operation;
use omni_scale_proto::v1;
use tokio::time::timeout;
use tonic::{Response, Status, Streaming};

use super::status::Call;
use crate::agents::{AgentError, ProgressSink};

/// What the agent is given beyond an operation's own deadline, to write down the outcome.
const GRACE: Duration = Duration::from_secs(30);

/// What a message of an operation's stream holds.
pub(super) enum Told {
    Progress(v1::Progress),
    Outcome(v1::Outcome),
}

/// A message of an operation's stream.
pub(super) trait Tells {
    /// What it holds. `None`: nothing that this program knows.
    fn told(self) -> Option<Told>;
}

/// The contract gives each RPC a response of its own, all with the same two messages.
macro_rules! tells {
    ($($response:ident in $module:ident),* $(,)?) => {
        $(
            impl Tells for v1::$response {
                fn told(self) -> Option<Told> {
                    Some(match self.message? {
                        v1::$module::Message::Progress(step) => Told::Progress(step),
                        v1::$module::Message::Outcome(outcome) => Told::Outcome(outcome),
                    })
                }
            }
        )*
    };
}

tells! {
    ApplyClientResponse in apply_client_response,
    ApplyMachineResponse in apply_machine_response,
    ApplyStackResponse in apply_stack_response,
    ApplyUnitResponse in apply_unit_response,
    ControlMachineResponse in control_machine_response,
    ControlStackResponse in control_stack_response,
    DeleteMachineResponse in delete_machine_response,
    FinishFirstBootResponse in finish_first_boot_response,
}

/// Follows an operation to its outcome.
pub(super) async fn follow<Message: Tells>(
    call: &Call,
    operation: &Operation,
    start: impl Future<Output = Result<Response<Streaming<Message>>, Status>>,
    progress: ProgressSink<'_>,
) -> Result<v1::Outcome, AgentError> {
    let work = async {
        let mut stream = start.await?.into_inner();
        // It has begun, and goes on without its stream: no word that the stream ends with says
        // that nothing was done.
        let outcome = loop {
            match stream.message().await {
                Ok(Some(message)) => match message.told() {
                    Some(Told::Progress(step)) => progress(step),
                    Some(Told::Outcome(outcome)) => break Ok(outcome),
                    None => {}
                },
                Ok(None) => break Err(call.cut_short()),
                Err(status) => break Err(call.broken_off(&status)),
            }
        };
        Ok(outcome)
    };
    // On the heap: a rollout holds one of these for each host, and a stream is large.
    Box::pin(bounded(call, bound(operation), work)).await?
}

/// How long an operation's outcome is waited for.
pub(super) fn bound(operation: &Operation) -> Duration {
    GRACE + Duration::from_secs(operation.deadline_seconds.into())
}

/// Does work over a connection within a bound.
pub(super) async fn bounded<T>(
    call: &Call,
    bound: Duration,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, AgentError> {
    match timeout(bound, work).await {
        Ok(result) => result.map_err(|status| call.error(status)),
        Err(_) => Err(call.no_answer(bound)),
    }
}
