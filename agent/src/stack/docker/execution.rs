//! Commands that run and end: inside a container, or as one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
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

use super::fault::if_there;
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
        let key = (container.to_owned(), command.join(" "));
        if self.still_runs(&key, &attempt, bound).await? {
            return Err(EngineError::TimedOut {
                attempt,
                seconds: bound.as_secs(),
            });
        }
        let options = CreateExecOptions {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        self.call(&attempt, bound, async |client| {
            let exec = client.create_exec(container, options).await?;
            let begun = BegunCommand {
                left: &self.left,
                command: Some((key, exec.id.clone())),
            };
            let StartExecResults::Attached { output, .. } =
                client.start_exec(&exec.id, None).await?
            else {
                return Ok(CommandOutput::nothing());
            };
            let mut collected = collect(output).await?;
            let ended = client.inspect_exec(&exec.id).await?;
            collected.exit_code = ended.exit_code.unwrap_or(-1);
            begun.has_ended();
            Ok(collected)
        })
        .await
    }

    /// Whether this command was left in this container before, and still is there.
    async fn still_runs(
        &self,
        key: &(String, String),
        attempt: &str,
        bound: Duration,
    ) -> Result<bool, EngineError> {
        let Some(exec) = lock(&self.left).get(key).cloned() else {
            return Ok(false);
        };
        let seen = self
            .call(attempt, bound, async |client| {
                client.inspect_exec(&exec).await
            })
            .await;
        let runs = if_there(seen)?.is_some_and(|seen| seen.running == Some(true));
        if !runs {
            lock(&self.left).remove(key);
        }
        Ok(runs)
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

/// Commands that were given up before their end, by container and command, each with the Engine's
/// id for it. The Engine does not end them, so that one that hangs would be joined by the next.
pub(super) type LeftCommands = Mutex<BTreeMap<(String, String), String>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command that is left when it is given up: also when nobody waits for it any more.
struct BegunCommand<'a> {
    left: &'a LeftCommands,
    command: Option<((String, String), String)>,
}

impl BegunCommand<'_> {
    fn has_ended(mut self) {
        self.command = None;
    }
}

impl Drop for BegunCommand<'_> {
    fn drop(&mut self) {
        if let Some((key, exec)) = self.command.take() {
            lock(self.left).insert(key, exec);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_given_up_is_known_and_one_that_ended_is_not() {
        let left = LeftCommands::default();
        let begun = |exec: &str| BegunCommand {
            left: &left,
            command: Some((("omni".to_owned(), exec.to_owned()), exec.to_owned())),
        };
        begun("ended").has_ended();
        drop(begun("hangs"));
        let known: Vec<String> = lock(&left).values().cloned().collect();
        assert_eq!(known, ["hangs"]);
    }
}
