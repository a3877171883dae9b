//! The logs of a stack's services: together, in time's order, and further as they are written.

use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream, Peekable};
use omni_scale_proto::id::{ServiceName, StackName};
use omni_scale_proto::v1::{self, FailureClass};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::engine::{EngineError, EventKind, LogOptions};
use super::super::feed::{self, Feed};
use super::super::observe::Parts;
use super::super::stacks::engine_failure;
use crate::operation::Failure;
use crate::stack::Stacks;

/// Lines that wait for a slow reader; then the reading waits too.
const BACKLOG: usize = 256;

/// Which lines are wanted.
#[derive(Debug, Clone)]
pub struct ReadLogs {
    /// The stack.
    pub name: StackName,
    /// Its services. Empty: all.
    pub services: Vec<ServiceName>,
    /// The last so many lines of each first.
    pub lines: u32,
    /// Go on with what is written from now on, by the next container too.
    pub follow: bool,
}

type Lines = BoxStream<'static, Result<v1::LogLine, EngineError>>;

impl Stacks {
    /// Reads the logs of our own containers, masked. Without `follow` in the order of time.
    pub async fn read_logs(
        &self,
        wanted: ReadLogs,
    ) -> Result<BoxStream<'static, Result<v1::LogLine, Failure>>, Failure> {
        let containers = self.engine.project_containers(wanted.name.as_str()).await;
        let containers = containers.map_err(|error| engine_failure(&error))?;
        let parts = Parts::of(&containers);
        let services = if wanted.services.is_empty() {
            parts.serving.keys().map(ToString::to_string).collect()
        } else {
            wanted
                .services
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        let mut streams = Vec::new();
        for service in services {
            let Some(container) = parts.serving.get(service.as_str()) else {
                let message = format!(
                    "service `{service}` of stack `{}` has no container",
                    wanted.name
                );
                return Err(Failure::new(FailureClass::Permanent, message));
            };
            let lines = wanted.lines;
            let lines = if wanted.follow {
                self.follow_service(&wanted.name, service, container.id.clone(), lines)
            } else {
                let options = LogOptions {
                    lines,
                    follow: false,
                    since_seconds: 0,
                };
                self.lines_of(&service, &container.id, options)
                    .await
                    .map_err(|error| engine_failure(&error))?
            };
            streams.push(lines);
        }
        let lines = if wanted.follow {
            stream::select_all(streams).boxed()
        } else {
            in_time_order(streams)
        };
        Ok(lines
            .map(|line| line.map_err(|error| engine_failure(&error)))
            .boxed())
    }

    async fn lines_of(
        &self,
        service: &str,
        container: &str,
        options: LogOptions,
    ) -> Result<Lines, EngineError> {
        super::read(
            &*self.engine,
            self.secrets.clone(),
            service,
            container,
            options,
        )
        .await
    }

    /// Follows a service over restarts, new containers and restarts of the Engine. The task ends
    /// when nobody reads any more.
    fn follow_service(
        &self,
        stack: &StackName,
        service: String,
        container: String,
        lines: u32,
    ) -> Lines {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let stacks = self.clone();
        let feed = feed::follow(self.engine.clone(), stack);
        tokio::spawn(async move {
            let following = stacks.follow_containers(&service, container, lines, feed, &sender);
            tokio::select! {
                () = following => {}
                () = sender.closed() => {}
            }
        });
        ReceiverStream::new(receiver).boxed()
    }

    async fn follow_containers(
        &self,
        service: &str,
        mut container: String,
        lines: u32,
        mut feed: BoxStream<'static, Feed>,
        sender: &mpsc::Sender<Result<v1::LogLine, EngineError>>,
    ) {
        let mut options = LogOptions {
            lines,
            follow: true,
            since_seconds: 0,
        };
        // Whether it is known that there is a log to be read.
        let mut reads = false;
        loop {
            let fault = match self.lines_of(service, &container, options).await {
                Ok(mut read) => loop {
                    match read.next().await {
                        None => break None,
                        Some(Err(error)) => break Some(error),
                        Some(Ok(line)) => {
                            reads = true;
                            if sender.send(Ok(line)).await.is_err() {
                                return;
                            }
                        }
                    }
                },
                Err(error) => Some(error),
            };
            // An error is the end of a connection, and the feed says when to go on. A refusal that
            // comes before everything else stays: of a logging driver that lets nobody read.
            match fault {
                Some(error) if !reads && is_lasting(&error) => {
                    let _ = sender.send(Err(error)).await;
                    return;
                }
                Some(_) => {}
                None => reads = true,
            }
            // The program has ended, or the Engine is away: go on with its next start.
            let Some((next, since_seconds)) = next_start(&mut feed, service).await else {
                return;
            };
            container = next;
            options = LogOptions {
                lines: u32::MAX,
                follow: true,
                since_seconds,
            };
        }
    }
}

/// Whether the next start of the service is no help against it.
fn is_lasting(error: &EngineError) -> bool {
    match error {
        // 0: inside of a stream, which had begun well.
        EngineError::Failed { status, .. } => *status != 0,
        EngineError::VersionRefused { .. } | EngineError::TooOld { .. } => true,
        // The Engine comes back; and a container that is being replaced has a successor.
        EngineError::Unreachable { .. }
        | EngineError::TimedOut { .. }
        | EngineError::NotFound { .. }
        | EngineError::Conflict { .. }
        | EngineError::NotUnderstood { .. } => false,
    }
}

/// The next container that is started for a service, and the second at which it was.
async fn next_start(feed: &mut BoxStream<'static, Feed>, service: &str) -> Option<(String, i32)> {
    loop {
        if let Feed::Event(event) = feed.next().await?
            && event.service == service
            && event.kind == EventKind::Started
        {
            let seconds = event.time_nanoseconds / 1_000_000_000;
            return Some((event.container, i32::try_from(seconds).unwrap_or_default()));
        }
    }
}

/// Merges streams that are each in time's order.
fn in_time_order(streams: Vec<Lines>) -> Lines {
    let peekable: Vec<Pin<Box<Peekable<Lines>>>> = streams
        .into_iter()
        .map(|lines| Box::pin(lines.peekable()))
        .collect();
    stream::unfold(peekable, |mut streams| async {
        let mut earliest: Option<(usize, i64)> = None;
        for (index, lines) in streams.iter_mut().enumerate() {
            let time = match lines.as_mut().peek().await {
                None => continue,
                // A fault is told at once.
                Some(Err(_)) => i64::MIN,
                Some(Ok(line)) => line.time_milliseconds,
            };
            if earliest.is_none_or(|(_, other)| time < other) {
                earliest = Some((index, time));
            }
        }
        let (index, _) = earliest?;
        let line = streams[index].next().await?;
        Some((line, streams))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stack::engine::Containers as _;
    use crate::stack::testing::{StackHost, running_stack};

    fn wanted(services: &[&str], follow: bool) -> ReadLogs {
        ReadLogs {
            name: "omni".parse().unwrap(),
            services: services.iter().map(|name| name.parse().unwrap()).collect(),
            lines: 10,
            follow,
        }
    }

    async fn all(host: &StackHost, services: &[&str]) -> Vec<(String, String)> {
        let lines = host
            .stacks
            .read_logs(wanted(services, false))
            .await
            .unwrap();
        lines
            .map(|line| {
                let line = line.unwrap();
                (line.source, line.line)
            })
            .collect()
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn lines_of_several_services_come_in_time_order_and_masked() {
        let host = running_stack().await;
        host.set_secret("client", "hunter2hunter2");
        host.engine
            .write_log_at("omni-omni-1", "second hunter2hunter2\n", 2);
        host.engine
            .write_log_at("omni-omni-tailscale-1", "first\n", 1);
        host.engine
            .write_log_at("omni-omni-tailscale-1", "third\n", 3);
        let line = |source: &str, text: &str| (source.to_owned(), text.to_owned());
        assert_eq!(
            all(&host, &[]).await,
            [
                line("omni-tailscale", "first"),
                line("omni", "second [secret client]"),
                line("omni-tailscale", "third"),
            ]
        );
        assert_eq!(all(&host, &["omni"]).await.len(), 1);
        let refused = host.stacks.read_logs(wanted(&["gone"], false)).await;
        assert!(refused.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_cannot_be_read_is_told_to_who_follows_it() {
        let host = running_stack().await;
        let omni = host.engine.named("omni-omni-1").unwrap().id;
        let refused = EngineError::Failed {
            attempt: "cannot read the log".to_owned(),
            status: 501,
            message: "configured logging driver does not support reading".to_owned(),
        };
        host.engine.fail(&format!("logs {omni}"), refused);
        let follows = host.stacks.read_logs(wanted(&["omni"], true));
        let mut lines = follows.await.unwrap();
        let failure = lines.next().await.unwrap().unwrap_err();
        assert!(failure.message.contains("does not support reading"));
        assert!(lines.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_away_ends_no_following() {
        let host = running_stack().await;
        let omni = host.engine.named("omni-omni-1").unwrap().id;
        let away = EngineError::TimedOut {
            attempt: "cannot read the log".to_owned(),
            seconds: 60,
        };
        host.engine.fail(&format!("logs {omni}"), away);
        let follows = host.stacks.read_logs(wanted(&["omni"], true));
        let mut lines = follows.await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        host.engine.end("omni-omni-1", 1);
        host.engine.write_log_at("omni-omni-1", "two\n", 2);
        host.engine.start("omni-omni-1").await.unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap().line, "two");
    }

    #[tokio::test(start_paused = true)]
    async fn following_goes_on_with_the_next_start() {
        let host = running_stack().await;
        host.engine.write_log_at("omni-omni-1", "one\n", 1);
        let mut lines = host
            .stacks
            .read_logs(wanted(&["omni"], true))
            .await
            .unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap().line, "one");
        // Let the reading come to the end of the log before the program is started again.
        tokio::time::sleep(Duration::from_secs(1)).await;
        host.engine.end("omni-omni-1", 1);
        host.engine.write_log_at("omni-omni-1", "two\n", 2);
        host.engine.start("omni-omni-1").await.unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap().line, "two");
    }
}
