//! Reading journals back.

use std::io;

use omni_scale_proto::id::DeploymentId;
use serde::Deserialize;

use super::{
    FORMAT, Header, HeaderLine, JOURNAL_VERSION, JournalError, JournalFiles, RolloutId, Story,
    file_name,
};
use crate::plan::Plan;
use crate::rollout::{Record, RolloutState};

/// What the journal of a rollout holds. Needs no lock: a line that is being written is dropped.
pub fn read(
    files: &dyn JournalFiles,
    deployment: DeploymentId,
    rollout: RolloutId,
) -> Result<Story, JournalError> {
    read_whole(files, deployment, &file_name(rollout)).map(|(story, _)| story)
}

/// The journals of a deployment.
#[derive(Debug, Default)]
pub struct Found {
    /// What can be read, oldest first.
    pub stories: Vec<Story>,
    /// What cannot, by name: whether its rollout has ended is not known.
    pub unreadable: Vec<JournalError>,
}

/// Reads every journal. Files that are something else are left out, and so are those without a
/// header: their rollouts never began.
pub fn list(files: &dyn JournalFiles, deployment: DeploymentId) -> io::Result<Found> {
    let mut names = files.names()?;
    names.sort();
    let mut found = Found::default();
    for name in &names {
        let rollout = name
            .strip_suffix(".jsonl")
            .and_then(|name| name.parse::<RolloutId>().ok());
        let Some(rollout) = rollout else { continue };
        match read(files, deployment, rollout) {
            Ok(story) => found.stories.push(story),
            Err(JournalError::Empty { .. }) => {}
            Err(error) => found.unreadable.push(error),
        }
    }
    found
        .stories
        .sort_by_key(|story| (story.header.created, story.header.rollout));
    Ok(found)
}

/// As [`read`]; also, when the last line is torn, the length of what is whole.
pub(super) fn read_whole(
    files: &dyn JournalFiles,
    deployment: DeploymentId,
    name: &str,
) -> Result<(Story, Option<u64>), JournalError> {
    let bytes = files.read(name).map_err(|source| JournalError::File {
        tried: "read",
        name: name.to_owned(),
        source,
    })?;
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last + 1);
    let torn = (whole < bytes.len()).then_some(whole as u64);
    let mut lines = bytes[..whole]
        .split_inclusive(|byte| *byte == b'\n')
        .zip(1usize..);
    let Some((first, _)) = lines.next() else {
        return Err(JournalError::Empty {
            name: name.to_owned(),
        });
    };
    let header = header(name, first, deployment)?;
    let mut state = RolloutState::new(&header.plan);
    let mut records = Vec::new();
    for (line, number) in lines {
        let damaged = |reason: String| JournalError::Damaged {
            name: name.to_owned(),
            line: number,
            reason,
        };
        let record: Record =
            serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
        let expected = records.len() as u64 + 1;
        if record.seq != expected {
            return Err(damaged(format!(
                "record {} stands where {expected} should",
                record.seq
            )));
        }
        state = state
            .next(&record.event)
            .map_err(|error| damaged(error.to_string()))?;
        records.push(record);
    }
    let story = Story {
        header,
        records,
        state,
    };
    Ok((story, torn))
}

fn header(name: &str, line: &[u8], deployment: DeploymentId) -> Result<Header, JournalError> {
    #[derive(Deserialize)]
    struct Version {
        format: String,
        version: u32,
    }
    let damaged = |reason: String| JournalError::Damaged {
        name: name.to_owned(),
        line: 1,
        reason,
    };
    let version: Version =
        serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
    if version.format != FORMAT {
        return Err(damaged(format!("it is no {FORMAT}")));
    }
    if version.version > JOURNAL_VERSION {
        return Err(JournalError::Newer {
            name: name.to_owned(),
            found: version.version,
        });
    }
    let line: HeaderLine =
        serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
    if file_name(line.rollout) != name {
        return Err(damaged(format!("it is the journal of {}", line.rollout)));
    }
    let plan = serde_json::to_vec(&line.plan).expect("it was JSON before");
    let plan = Plan::from_json(&plan, deployment).map_err(|source| JournalError::Plan {
        name: name.to_owned(),
        source,
    })?;
    Ok(Header {
        deployment: line.deployment,
        rollout: line.rollout,
        created: line.created,
        by: line.by,
        plan,
    })
}
