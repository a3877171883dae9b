//! What was applied last, per stack, on the disk: so that a plan can say in words what changes,
//! and so that a stack can be controlled without its description being sent again.
//!
//! The truth about a container is its own digest label; a record that does not fit it is passed
//! over. Secrets stand in it by name only. A record that cannot be read is the same as none: the
//! next apply writes it again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use omni_scale_proto::id::{OperationId, StackName};
use omni_scale_proto::v1;
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::record::{self, FORMAT};

/// The record of one stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppliedStack {
    format: u32,
    /// The stack as it was asked for last.
    pub stack: v1::Stack,
    /// Each service as its container was created.
    pub services: BTreeMap<String, v1::Service>,
    /// How a service's product was asked last with success: what its health is asked with.
    #[serde(default)]
    pub questions: BTreeMap<String, Question>,
    /// Services that ran before a start or restart that has not ended well: they run again at the
    /// end of the next one.
    #[serde(default)]
    pub owed: BTreeSet<String>,
    /// The last start, stop or restart that was asked for.
    #[serde(default)]
    pub control: Option<Controlled>,
}

/// One start, stop or restart, written down before it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controlled {
    /// Which operation.
    pub operation: OperationId,
    /// When the containers that it starts had started before it, in milliseconds since the Unix
    /// epoch, by service.
    pub started: BTreeMap<String, i64>,
}

/// A question to a product, in the network namespace of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// `http://…`
    pub url: String,
    /// The HTTP status of a good answer.
    pub status: u16,
    /// A good answer has no body.
    pub empty_body: bool,
}

impl AppliedStack {
    const fn new(stack: v1::Stack) -> Self {
        Self {
            format: FORMAT,
            stack,
            services: BTreeMap::new(),
            questions: BTreeMap::new(),
            owed: BTreeSet::new(),
            control: None,
        }
    }
}

/// All records. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct AppliedStacks {
    directory: PathBuf,
    records: Arc<Mutex<BTreeMap<StackName, AppliedStack>>>,
}

impl AppliedStacks {
    /// Reads the records in `directory`, which need not exist yet. Blocks.
    pub fn open(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        let records = record::read_all(&directory);
        Self {
            directory,
            records: Arc::new(Mutex::new(records)),
        }
    }

    /// The record of a stack.
    pub fn get(&self, name: &StackName) -> Option<AppliedStack> {
        self.lock().get(name).cloned()
    }

    /// The stacks that have a record, sorted.
    pub fn names(&self) -> Vec<StackName> {
        self.lock().keys().cloned().collect()
    }

    /// Records that this stack was asked for. Blocks until it is on the disk.
    pub fn begin(&self, name: &StackName, stack: &v1::Stack) -> Result<(), FileError> {
        let mut records = self.lock();
        let mut record = match records.get(name) {
            Some(record) => record.clone(),
            None => AppliedStack::new(stack.clone()),
        };
        record.stack = stack.clone();
        self.keep(&mut records, name, record)
    }

    /// Changes the record of a stack that has one. Blocks until it is on the disk.
    pub fn update(
        &self,
        name: &StackName,
        change: impl FnOnce(&mut AppliedStack),
    ) -> Result<(), FileError> {
        let mut records = self.lock();
        let Some(mut record) = records.get(name).cloned() else {
            return Ok(());
        };
        change(&mut record);
        self.keep(&mut records, name, record)
    }

    fn keep(
        &self,
        records: &mut BTreeMap<StackName, AppliedStack>,
        name: &StackName,
        record: AppliedStack,
    ) -> Result<(), FileError> {
        if records.get(name) == Some(&record) {
            return Ok(());
        }
        files::create_directory(&self.directory, 0o700)?;
        record::write(&record::path_of(&self.directory, name), &record)?;
        records.insert(name.clone(), record);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StackName, AppliedStack>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::testing;

    #[test]
    fn a_record_survives_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("stacks");
        let name: StackName = "omni".parse().unwrap();
        let records = AppliedStacks::open(&place);
        assert_eq!(records.get(&name), None);
        records.update(&name, |_| panic!("there is none")).unwrap();
        let stack = testing::stack();
        records.begin(&name, &stack).unwrap();
        let omni = stack.services[1].clone();
        records
            .update(&name, |record| {
                record.services.insert("omni".to_owned(), omni);
            })
            .unwrap();
        let record = records.get(&name);
        assert_eq!(record.as_ref().unwrap().services.len(), 1);
        let again = AppliedStacks::open(&place);
        assert_eq!(again.get(&name), record);
        assert_eq!(again.names(), [name]);
    }

    #[test]
    fn another_description_keeps_what_is_known_of_the_containers() {
        let directory = tempfile::tempdir().unwrap();
        let name: StackName = "omni".parse().unwrap();
        let records = AppliedStacks::open(directory.path());
        let mut stack = testing::stack();
        records.begin(&name, &stack).unwrap();
        records
            .update(&name, |record| {
                let omni = stack.services[1].clone();
                record.services.insert("omni".to_owned(), omni);
            })
            .unwrap();
        stack.services.pop();
        records.begin(&name, &stack).unwrap();
        let record = records.get(&name).unwrap();
        assert_eq!((record.stack.services.len(), record.services.len()), (2, 1));
    }

    #[test]
    fn a_damaged_record_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("omni.json");
        files::write_atomically(&path, b"{\"format\":1,", 0o600).unwrap();
        let records = AppliedStacks::open(directory.path());
        assert_eq!(records.get(&"omni".parse().unwrap()), None);
    }
}
