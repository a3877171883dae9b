//! Commands that run and end: inside a container, or as one.

use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, StartContainerOptions,
    WaitContainerOptions,
};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;

use super::{DockerEngine, body};
use crate::stack::engine::{CommandOutput, EngineError, OneShot};

/// The most that is kept of standard output.
const MOST_OUTPUT: usize = 1024 * 1024;

/// The most that is kept of standard error.
const MOST_ERROR: usize = 64 * 1024;

type Answer<T> = Result<T, bollard::errors::Error>;

impl DockerEngine {
    pub(super) async fn execute_inside(
        &self,
        container: &str,
        command: &[&str],
        bound: Duration,
    ) -> Result<CommandOutput, EngineError> {
        let program = command.first().copied().unwrap_or_default();
        let attempt = format!("cannot run `{program}` in container `{container}`");
        let options = CreateExecOptions {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        self.call(&attempt, bound, async |client| {
            let exec = client.create_exec(container, options).await?;
            let StartExecResults::Attached { output, .. } =
                client.start_exec(&exec.id, None).await?
            else {
                return Ok(CommandOutput::nothing());
            };
            let mut collected = collect(output).await?;
            let ended = client.inspect_exec(&exec.id).await?;
            collected.exit_code = ended.exit_code.unwrap_or(-1);
            Ok(collected)
        })
        .await
    }

    pub(super) async fn run_once(&self, one_shot: &OneShot) -> Result<CommandOutput, EngineError> {
        let name = &one_shot.container.name;
        let attempt = format!("cannot run container `{name}`");
        let output = self
            .call(&attempt, one_shot.bound, async |client| {
                let options = CreateContainerOptionsBuilder::new().name(name).build();
                let mut request = body::container(&one_shot.container);
                request.attach_stdin = Some(true);
                request.open_stdin = Some(true);
                request.stdin_once = Some(true);
                client.create_container(Some(options), request).await?;
                feed_and_collect(&client, name, &one_shot.input).await
            })
            .await;
        // Whatever happened, also when the bound has passed. What is left nevertheless, the
        // next run sweeps.
        match self.remove_by_force(name).await {
            Ok(()) | Err(EngineError::NotFound { .. }) => {}
            Err(error) => {
                tracing::warn!(container = %name, %error, "a container that ran once stays behind");
            }
        }
        output
    }
}

async fn feed_and_collect(client: &Docker, name: &str, input: &[u8]) -> Answer<CommandOutput> {
    let options = AttachContainerOptionsBuilder::new()
        .stream(true)
        .stdin(true)
        .stdout(true)
        .stderr(true)
        .build();
    let mut attached = client.attach_container(name, Some(options)).await?;
    client
        .start_container(name, None::<StartContainerOptions>)
        .await?;
    // A program that reads nothing closes the pipe early; its output says why.
    let fed = async {
        let _ = attached.input.write_all(input).await;
        let _ = attached.input.shutdown().await;
    };
    let ((), collected) = tokio::join!(fed, collect(attached.output));
    let mut collected = collected?;
    let ended = client
        .wait_container(name, None::<WaitContainerOptions>)
        .next()
        .await;
    collected.exit_code = match ended {
        Some(Ok(ended)) => ended.status_code,
        // bollard makes an error of every exit code but 0.
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(error)) => return Err(error),
        None => -1,
    };
    Ok(collected)
}

async fn collect(
    mut pieces: impl Stream<Item = Answer<LogOutput>> + Unpin,
) -> Answer<CommandOutput> {
    let mut output = CommandOutput::nothing();
    while let Some(piece) = pieces.try_next().await? {
        match piece {
            LogOutput::StdErr { message } => append(&mut output.stderr, &message, MOST_ERROR),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                append(&mut output.stdout, &message, MOST_OUTPUT);
            }
            LogOutput::StdIn { .. } => {}
        }
    }
    Ok(output)
}

/// Keeps what fits; the rest is read and dropped, so that the program is not held up.
fn append(kept: &mut Vec<u8>, more: &[u8], most: usize) {
    let room = most.saturating_sub(kept.len());
    kept.extend_from_slice(&more[..more.len().min(room)]);
}

impl CommandOutput {
    fn nothing() -> Self {
        Self {
            exit_code: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }
}
