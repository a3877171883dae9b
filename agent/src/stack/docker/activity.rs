//! The Engine's version, its events, and the logs of containers.

use std::collections::HashMap;

use async_trait::async_trait;
use bollard::container::LogOutput;
use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptionsBuilder, LogsOptionsBuilder};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use omni_scale_proto::v1::{self, ContainerHealth, LogStream};

use super::fault::engine_error;
use super::time::milliseconds;
use super::{DockerEngine, REQUEST};
use crate::stack::engine::{
    Activity, ContainerEvent, EngineError, EventKind, LogOptions, LogPiece,
};
use crate::stack::labels;

/// Only these: a health check makes three `exec_…` events each time it runs.
const WANTED_EVENTS: [&str; 9] = [
    "create",
    "start",
    "die",
    "stop",
    "pause",
    "unpause",
    "destroy",
    "oom",
    "health_status",
];

#[async_trait]
impl Activity for DockerEngine {
    async fn version(&self) -> Result<v1::EngineVersion, EngineError> {
        let version = self
            .call(
                "cannot ask for the Docker Engine's version",
                REQUEST,
                async |client| client.version().await,
            )
            .await?;
        Ok(v1::EngineVersion {
            version: version.version.unwrap_or_default(),
            api_version: version.api_version.unwrap_or_default(),
            api_version_minimum: version.min_api_version.unwrap_or_default(),
        })
    }

    async fn events(
        &self,
        project: &str,
        since: Option<i64>,
    ) -> Result<BoxStream<'static, Result<ContainerEvent, EngineError>>, EngineError> {
        const ATTEMPT: &str = "cannot follow the Docker Engine's events";
        let client = self.client(ATTEMPT).await?;
        let label = format!("{}={project}", labels::PROJECT);
        let filters = HashMap::from([
            ("type", vec!["container".to_owned()]),
            ("label", vec![label]),
            ("event", WANTED_EVENTS.map(str::to_owned).to_vec()),
        ]);
        let mut options = EventsOptionsBuilder::new().filters(&filters);
        if let Some(since) = since {
            options = options.since(&seconds(since));
        }
        Ok(client
            .events(Some(options.build()))
            .map_err(|error| engine_error(ATTEMPT)(error))
            .try_filter_map(|message| std::future::ready(Ok(event(message))))
            .boxed())
    }

    async fn logs(
        &self,
        container: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, Result<LogPiece, EngineError>>, EngineError> {
        let attempt = format!("cannot read the log of container `{container}`");
        let client = self.client(&attempt).await?;
        let options = LogsOptionsBuilder::new()
            .follow(options.follow)
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .since(options.since_seconds)
            .tail(&options.lines.to_string())
            .build();
        Ok(client
            .logs(container, Some(options))
            .map_err(move |error| engine_error(&attempt)(error))
            .map_ok(|output| piece(&output))
            .boxed())
    }
}

/// The Engine takes seconds, with nanoseconds after a point.
fn seconds(nanoseconds: i64) -> String {
    const BILLION: i64 = 1_000_000_000;
    format!(
        "{}.{:09}",
        nanoseconds.div_euclid(BILLION),
        nanoseconds.rem_euclid(BILLION)
    )
}

fn event(message: EventMessage) -> Option<ContainerEvent> {
    let actor = message.actor?;
    let attributes = actor.attributes.unwrap_or_default();
    let attribute = |name: &str| attributes.get(name).cloned().unwrap_or_default();
    let kind = match message.action?.as_str() {
        "create" => EventKind::Created,
        "start" => EventKind::Started,
        "die" => EventKind::Died {
            exit_code: attribute("exitCode").parse().unwrap_or(-1),
        },
        "stop" => EventKind::Stopped,
        "pause" => EventKind::Paused,
        "unpause" => EventKind::Resumed,
        "destroy" => EventKind::Destroyed,
        "oom" => EventKind::OutOfMemory,
        "health_status: healthy" => EventKind::Health(ContainerHealth::Healthy),
        "health_status: unhealthy" => EventKind::Health(ContainerHealth::Unhealthy),
        _ => return None,
    };
    Some(ContainerEvent {
        container: actor.id?,
        service: attribute(labels::SERVICE),
        kind,
        time_nanoseconds: message.time_nano.unwrap_or_default(),
    })
}

/// With timestamps on, the Engine puts one and a space before each piece.
fn piece(output: &LogOutput) -> LogPiece {
    let stream = match output {
        LogOutput::StdErr { .. } => LogStream::Stderr,
        LogOutput::StdOut { .. } | LogOutput::StdIn { .. } | LogOutput::Console { .. } => {
            LogStream::Stdout
        }
    };
    let bytes = output.as_ref();
    let stamp_end = bytes.iter().position(|byte| *byte == b' ');
    let stamped = stamp_end.and_then(|end| {
        let time = milliseconds(std::str::from_utf8(&bytes[..end]).ok()?);
        (time > 0).then(|| (time, bytes[end + 1..].to_vec()))
    });
    let (time_milliseconds, bytes) = stamped.unwrap_or_else(|| (0, bytes.to_vec()));
    LogPiece {
        stream,
        bytes,
        time_milliseconds,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::EventActor;

    use super::*;

    fn message(action: &str) -> EventMessage {
        EventMessage {
            action: Some(action.to_owned()),
            actor: Some(EventActor {
                id: Some("c1".to_owned()),
                attributes: Some(HashMap::from([
                    (labels::SERVICE.to_owned(), "omni".to_owned()),
                    ("exitCode".to_owned(), "137".to_owned()),
                ])),
            }),
            time_nano: Some(5),
            ..EventMessage::default()
        }
    }

    #[test]
    fn events_are_read_by_their_action() {
        let kind = |action: &str| event(message(action)).map(|event| event.kind);
        assert_eq!(kind("die"), Some(EventKind::Died { exit_code: 137 }));
        assert_eq!(
            kind("health_status: healthy"),
            Some(EventKind::Health(ContainerHealth::Healthy))
        );
        assert_eq!(kind("exec_create: /probe"), None);
        assert_eq!(event(message("start")).unwrap().service, "omni");
    }

    #[test]
    fn a_time_before_a_log_line_is_taken_off() {
        let stamped = piece(&LogOutput::StdErr {
            message: "2026-11-23T15:38:11.5Z a b\n".into(),
        });
        assert_eq!(stamped.bytes, b"a b\n");
        assert_eq!(stamped.time_milliseconds, 1_795_448_291_500);
        assert_eq!(stamped.stream, LogStream::Stderr);
        let plain = piece(&LogOutput::StdOut {
            message: "plain text\n".into(),
        });
        assert_eq!(plain.bytes, b"plain text\n");
    }

    #[test]
    fn nanoseconds_become_seconds_with_a_fraction() {
        assert_eq!(seconds(1_795_448_291_000_000_007), "1795448291.000000007");
    }
}
