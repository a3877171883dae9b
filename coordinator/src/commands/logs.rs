//! `logs`: log lines as they are, masked by the agent.

use std::pin::pin;

use futures_util::StreamExt as _;
use omni_scale_proto::v1;
use serde_json::json;

use super::Context;
use super::context::desired;
use super::target::{Place, find};
use crate::agents::grpc::LogSource;
use crate::arguments::LogsArguments;
use crate::exit::Exit;
use crate::output::Style;

/// Runs it.
pub(super) async fn run(context: &Context, arguments: LogsArguments) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    let desired = desired(&deployment)?;
    let (host, source, several) = match find(&desired, &arguments.target)? {
        Place::Unit { host } => (host, LogSource::Unit, false),
        Place::Stack {
            host,
            name,
            services,
        } => {
            let several = services.len() != 1;
            (host, LogSource::Stack { name, services }, several)
        }
    };
    let agents = context.agents(&deployment)?;
    let mut lines = agents
        .read_log(&host, &source, arguments.lines, arguments.follow)
        .await?;
    if !arguments.follow {
        while let Some(line) = lines.next().await {
            print(context, &line?, several)?;
        }
        return Ok(Exit::Done);
    }
    // One wait for all of it: between two, Ctrl-C would be heard by nobody.
    let mut interrupted = pin!(context.interrupts.next());
    loop {
        tokio::select! {
            () = &mut interrupted => return Ok(Exit::Done),
            line = lines.next() => match line {
                Some(line) => print(context, &line?, several)?,
                None => return Ok(Exit::Done),
            },
        }
    }
}

fn print(context: &Context, line: &v1::LogLine, several: bool) -> anyhow::Result<()> {
    if context.output.is_json() {
        let stream = match line.stream() {
            v1::LogStream::Stdout => "stdout",
            v1::LogStream::Stderr => "stderr",
            v1::LogStream::Journal => "journal",
            v1::LogStream::Unspecified => "unknown",
        };
        let value = json!({
            "source": line.source,
            "line": line.line,
            "time_milliseconds": line.time_milliseconds,
            "stream": stream,
        });
        return Ok(context.output.json("log", &value)?);
    }
    let text = if several {
        let source = context
            .output
            .paint(Style::Faint, &format!("{} |", line.source));
        format!("{source} {}", line.line)
    } else {
        line.line.clone()
    };
    Ok(context.output.data(&text)?)
}
