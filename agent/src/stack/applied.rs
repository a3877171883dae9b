//! What was applied last, per stack, on the disk: so that a plan can say in words what changes,
//! and so that a stack can be controlled without its description being sent again.
//!
//! The truth about a container is its own digest label; a record that does not fit it is passed
//! over. Secrets stand in it by name only. A record that cannot be read is the same as none: the
//! next apply writes it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use omni_scale_proto::id::StackName;
use omni_scale_proto::v1;
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};

/// The largest record that is read, in bytes.
const LARGEST: u64 = 8 * 1024 * 1024;

/// The version of the record's form.
const FORMAT: u32 = 1;

/// The record of one stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppliedStack {
    format: u32,
    /// The stack as it was asked for last.
    pub stack: v1::Stack,
    /// Each service as its container was created.
    pub services: BTreeMap<String, v1::Service>,
}

impl AppliedStack {
    /// A record of a stack that none of was applied yet.
    pub const fn new(stack: v1::Stack) -> Self {
        Self {
            format: FORMAT,
            stack,
            services: BTreeMap::new(),
        }
    }
}

/// Where the records lie.
#[derive(Debug, Clone)]
pub struct AppliedStacks {
    directory: PathBuf,
}

impl AppliedStacks {
    /// Keeps records in `directory`, which is made when it is needed.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// The record of a stack. Blocks.
    pub fn read(&self, name: &StackName) -> Option<AppliedStack> {
        let path = self.path(name);
        let contents = match files::read(&path, LARGEST) {
            Ok(contents) => contents?,
            Err(error) => {
                tracing::warn!(%error, "the record of a stack cannot be read");
                return None;
            }
        };
        match serde_json::from_slice::<AppliedStack>(&contents) {
            Ok(record) if record.format == FORMAT => Some(record),
            Ok(record) => {
                let format = record.format;
                tracing::warn!(path = %path.display(), format, "the record of a stack has another form");
                None
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the record of a stack is damaged");
                None
            }
        }
    }

    /// Replaces the record of a stack. Blocks until it is on the disk.
    pub fn write(&self, name: &StackName, record: &AppliedStack) -> Result<(), FileError> {
        files::create_directory(&self.directory, 0o700)?;
        let contents = serde_json::to_vec_pretty(record).map_err(std::io::Error::other);
        let path = self.path(name);
        let contents = contents.map_err(FileError::new("encode", &path))?;
        files::write_atomically(&path, &contents, 0o600)
    }

    /// The stacks that have a record, sorted. Blocks.
    pub fn names(&self) -> Vec<StackName> {
        let Ok(entries) = std::fs::read_dir(&self.directory) else {
            return Vec::new();
        };
        let mut names: Vec<StackName> = entries
            .filter_map(|entry| stack_of(&entry.ok()?.path()))
            .collect();
        names.sort();
        names
    }

    fn path(&self, name: &StackName) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }
}

fn stack_of(path: &Path) -> Option<StackName> {
    path.file_name()?
        .to_str()?
        .strip_suffix(".json")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::testing;

    #[test]
    fn a_record_survives_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let records = AppliedStacks::new(directory.path().join("stacks"));
        let name: StackName = "omni".parse().unwrap();
        assert_eq!(records.read(&name), None);
        assert!(records.names().is_empty());
        let stack = testing::stack();
        let mut record = AppliedStack::new(stack.clone());
        record
            .services
            .insert("omni".to_owned(), stack.services[1].clone());
        records.write(&name, &record).unwrap();
        assert_eq!(records.read(&name), Some(record));
        assert_eq!(records.names(), [name]);
    }

    #[test]
    fn a_damaged_record_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let records = AppliedStacks::new(directory.path());
        let path = directory.path().join("omni.json");
        files::write_atomically(&path, b"{\"format\":1,", 0o600).unwrap();
        assert_eq!(records.read(&"omni".parse().unwrap()), None);
    }
}
