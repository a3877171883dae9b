//! The journals of a deployment on this machine, and who may write them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use omni_scale_proto::id::DeploymentId;

use crate::commands::Context;
use crate::exit::Exit;
use crate::journal::{
    Found, JournalDirectory, JournalError, JournalFiles, JournalLock, LockError, LockHolder,
    RolloutId, Story, list, read,
};
use crate::output::{Stop, date};
use crate::rollout::{Phase, chain};

/// The journals of one deployment.
pub(super) struct Journals {
    path: PathBuf,
    files: Arc<dyn JournalFiles>,
    deployment: DeploymentId,
}

impl Journals {
    /// Opens their directory, and makes it when it is not there.
    pub(super) fn open(context: &Context, deployment: DeploymentId) -> anyhow::Result<Self> {
        let path = context.directories(deployment)?.state.join("rollouts");
        Ok(Self {
            files: Arc::new(JournalDirectory::open(path.clone())?),
            path,
            deployment,
        })
    }

    /// Takes the right to write; only one process on this machine has it.
    pub(super) fn lock(&self, context: &Context, by: &str) -> anyhow::Result<JournalLock> {
        let holder = LockHolder {
            by: by.to_owned(),
            process: std::process::id(),
            since: context.clock.now_milliseconds(),
        };
        JournalLock::take(Arc::clone(&self.files), &holder).map_err(|error| match error {
            LockError::Held { ref holder } => {
                let mut stop = Stop::new(Exit::Locked, error.to_string());
                if let Some(holder) = holder {
                    let since = date(holder.since);
                    stop = stop.hint(format!(
                        "process {} of {} has been at it since {since}; wait for it, or stop it",
                        holder.process, holder.by
                    ));
                }
                stop.into()
            }
            LockError::File { .. } => error.into(),
        })
    }

    /// Rollouts that have begun and not ended, oldest first, as far as their journals can be read.
    pub(super) fn unfinished(&self) -> anyhow::Result<Vec<Story>> {
        let mut stories = self.all()?.stories;
        stories.retain(|story| !story.state.phase().is_end());
        Ok(stories)
    }

    /// Says which journals nobody can go on with. What their rollouts have done is found on the
    /// hosts, so a new one need not wait for them.
    pub(super) fn warn_of_unreadable(&self, context: &Context) -> anyhow::Result<()> {
        for line in self.lines(&self.all()?.unreadable) {
            let text = format!("a rollout that stands still may be overlooked: {line}");
            context.output.warn(&text);
        }
        Ok(())
    }

    fn all(&self) -> anyhow::Result<Found> {
        list(self.files.as_ref(), self.deployment).context("could not look at the journals")
    }

    /// One line for each: the file, and why.
    fn lines(&self, unreadable: &[JournalError]) -> Vec<String> {
        let directory = self.path.display();
        let line = |error| format!("{} (in `{directory}`)", chain(error));
        unreadable.iter().map(|error| line(error)).collect()
    }

    /// Whether the newest rollout made hosts to its end: what was to follow was never begun.
    pub(super) fn rest_was_never_begun(&self) -> anyhow::Result<bool> {
        let stories = self.all()?.stories;
        Ok(stories.last().is_some_and(|story| {
            *story.state.phase() == Phase::Finished && story.header.plan.makes_hosts()
        }))
    }

    fn named(&self, name: &str) -> anyhow::Result<Story> {
        let rollout: RolloutId = name
            .parse()
            .with_context(|| Stop::new(Exit::Usage, "no such rollout"))?;
        read(self.files.as_ref(), self.deployment, rollout).map_err(|error| {
            let is_there = match &error {
                JournalError::File { source, .. } => source.kind() != io::ErrorKind::NotFound,
                JournalError::Empty { .. } => false,
                JournalError::Damaged { .. }
                | JournalError::Newer { .. }
                | JournalError::Plan { .. }
                | JournalError::Illegal { .. }
                | JournalError::Broken { .. } => true,
            };
            if !is_there {
                return anyhow::Error::new(error)
                    .context(Stop::new(Exit::Usage, "no such rollout"));
            }
            let stop = Stop::new(
                Exit::ChecksFailed,
                "nothing was done: the journal of this rollout cannot be read",
            );
            let lines = self.lines(&[error]).into_iter();
            stop.evidence(lines.map(|line| format!("- {line}")))
                .hint("restore the file; `omni-scale apply` goes on from what the hosts are, and the file can be moved away then")
                .into()
        })
    }

    /// The rollout that is meant: the named one, or the only one that has not ended.
    pub(super) fn find(&self, named: Option<&str>) -> anyhow::Result<Option<Story>> {
        if let Some(named) = named {
            return self.named(named).map(Some);
        }
        let found = self.all()?;
        if !found.unreadable.is_empty() {
            let stop = Stop::new(
                Exit::ChecksFailed,
                "nothing was done: whether a rollout stands still is not known, for a journal cannot be read",
            );
            let lines = self.lines(&found.unreadable);
            let lines = lines.into_iter().map(|line| format!("- {line}"));
            return Err(stop
                .evidence(lines)
                .hint("restore the file, or name the rollout that is meant; `omni-scale apply` goes on from what the hosts are, and the file can be moved away then")
                .into());
        }
        let mut unfinished = found.stories;
        unfinished.retain(|story| !story.state.phase().is_end());
        if unfinished.len() > 1 {
            let stop = Stop::new(Exit::Usage, "several rollouts stand still; name one");
            let lines = unfinished.iter().map(|story| {
                let header = &story.header;
                let phase = story.state.phase().word();
                format!("- {} of {}, {phase}", header.rollout, date(header.created))
            });
            return Err(stop.evidence(lines).into());
        }
        Ok(unfinished.pop())
    }
}
