//! `logs`: log lines as they are, masked by the agent.

use std::pin::pin;

use futures_util::StreamExt as _;
use omni_scale_proto::id::HostName;
use omni_scale_proto::v1;
use serde_json::json;

use super::Context;
use super::context::desired;
use super::target::{Place, find};
use crate::agents::grpc::LogSource;
use crate::arguments::{LogsArguments, TargetName};
use crate::exit::Exit;
use crate::output::{Stop, Style, harmless};
use crate::plan::Desired;

/// Runs it.
pub(super) async fn run(context: &Context, arguments: LogsArguments) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    let desired = desired(&deployment)?;
    let (host, source, several) = source(&desired, &arguments)?;
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

/// Which host is asked for what; and whether the lines come from several sources.
fn source(
    desired: &Desired,
    arguments: &LogsArguments,
) -> anyhow::Result<(HostName, LogSource, bool)> {
    let hosts = || {
        let names: Vec<&str> = desired.hosts.keys().map(HostName::as_str).collect();
        format!("the deployment has the hosts {}", names.join(", "))
    };
    match (&arguments.target, &arguments.host) {
        (TargetName::Agent, Some(host)) if desired.hosts.contains_key(host) => {
            return Ok((host.clone(), LogSource::Agent, false));
        }
        (TargetName::Agent, Some(host)) => {
            let stop = Stop::new(Exit::Usage, format!("there is no host `{host}`"));
            return Err(stop.hint(hosts()).into());
        }
        (TargetName::Agent, None) => {
            let stop = Stop::new(Exit::Usage, "every host has an agent: name the host");
            return Err(stop.hint(hosts()).into());
        }
        (_, Some(host)) => {
            let message = format!("`{host}`: a host is named only for the log of its agent");
            return Err(Stop::new(Exit::Usage, message).into());
        }
        (_, None) => {}
    }
    Ok(match find(desired, &arguments.target)? {
        Place::Unit { host } => (host, LogSource::Unit, false),
        Place::Stack {
            host,
            name,
            services,
        } => {
            let several = services.len() != 1;
            (host, LogSource::Stack { name, services }, several)
        }
    })
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
    let line_text = harmless(&line.line);
    let text = if several {
        let source = context
            .output
            .paint(Style::Faint, &format!("{} |", line.source));
        format!("{source} {line_text}")
    } else {
        line_text
    };
    Ok(context.output.data(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::examples;

    fn asked(target: &str, host: Option<&str>) -> anyhow::Result<(HostName, LogSource, bool)> {
        let arguments = LogsArguments {
            target: target.parse().unwrap(),
            host: host.map(|host| host.parse().unwrap()),
            follow: false,
            lines: 10,
        };
        source(&examples::desired(), &arguments)
    }

    #[test]
    fn an_agent_is_named_by_its_host_and_nothing_else_is() {
        let host = examples::desired().stack.host;
        let (found, source, _) = asked("agent", Some(host.as_str())).unwrap();
        assert_eq!((found, source), (host.clone(), LogSource::Agent));
        for (target, other) in [
            ("agent", None),
            ("agent", Some("elsewhere")),
            ("tsidp", Some(host.as_str())),
        ] {
            assert!(asked(target, other).is_err(), "{target} {other:?}");
        }
    }
}
