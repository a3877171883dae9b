//! What agents tell as it happens: changes of state and log lines.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use omni_scale_proto::id::{HostName, ServiceName, StackName};
use omni_scale_proto::v1;

use super::GrpcAgents;
use super::connection::PROMPT;
use super::status::{Call, within};
use crate::agents::AgentError;

/// States of a target: the present one, then each change. Ends with the connection.
pub type Changes<T> = BoxStream<'static, Result<T, AgentError>>;
/// Log lines, masked by the agent.
pub type Log = BoxStream<'static, Result<v1::LogLine, AgentError>>;

/// Whose log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// The tsidp unit's journal.
    Unit,
    /// The agent's own journal.
    Agent,
    /// Containers of a stack.
    Stack {
        /// Which stack.
        name: StackName,
        /// Which services. Empty: all.
        services: Vec<ServiceName>,
    },
}

impl GrpcAgents {
    /// The unit's state, and each change.
    pub async fn watch_unit(
        &self,
        host: &HostName,
    ) -> Result<Changes<v1::UnitObservation>, AgentError> {
        let (call, mut client) = self.unit(host, "watch the unit").await?;
        let answer = client.watch_unit(v1::WatchUnitRequest {});
        let stream = within(&call, PROMPT, answer).await?;
        Ok(each(stream, |message| message.observation, call))
    }

    /// A stack's state, and each change.
    pub async fn watch_stack(
        &self,
        host: &HostName,
        stack: &StackName,
    ) -> Result<Changes<v1::StackObservation>, AgentError> {
        let (call, mut client) = self.stack(host, format!("watch stack `{stack}`")).await?;
        let answer = client.watch_stack(v1::WatchStackRequest {
            name: stack.to_string(),
        });
        let stream = within(&call, PROMPT, answer).await?;
        Ok(each(stream, |message| message.observation, call))
    }

    /// The last `lines` lines, and with `follow` each new one.
    pub async fn read_log(
        &self,
        host: &HostName,
        source: &LogSource,
        lines: u32,
        follow: bool,
    ) -> Result<Log, AgentError> {
        match source {
            LogSource::Unit => {
                let (call, mut client) = self.unit(host, "read the journal").await?;
                let answer = client.read_journal(v1::ReadJournalRequest { lines, follow });
                let stream = within(&call, PROMPT, answer).await?;
                Ok(each(stream, |message| message.line, call))
            }
            LogSource::Agent => {
                let (call, mut client) = self.host(host, "read the agent's journal").await?;
                let request = v1::ReadAgentJournalRequest { lines, follow };
                let answer = client.read_agent_journal(request);
                let stream = within(&call, PROMPT, answer).await?;
                Ok(each(stream, |message| message.line, call))
            }
            LogSource::Stack { name, services } => {
                let (call, mut client) = self.stack(host, "read the log").await?;
                let answer = client.read_logs(v1::ReadLogsRequest {
                    name: name.to_string(),
                    services: services.iter().map(ToString::to_string).collect(),
                    lines,
                    follow,
                });
                let stream = within(&call, PROMPT, answer).await?;
                Ok(each(stream, |message| message.line, call))
            }
        }
    }
}

/// What the answers of a stream hold, and why it ended when it did not end well.
pub(super) fn each<Answer: Send + 'static, Part: Send + 'static>(
    answers: tonic::Streaming<Answer>,
    part: fn(Answer) -> Option<Part>,
    call: Call,
) -> Changes<Part> {
    let parts = answers.filter_map(move |answer| {
        let part = match answer {
            Ok(answer) => part(answer).map(Ok),
            Err(status) => Some(Err(call.error(status))),
        };
        std::future::ready(part)
    });
    parts.boxed()
}
