//! What the ledger says now: a fold of its records.

use std::collections::BTreeMap;

use omni_scale_proto::id::OperationId;
use omni_scale_proto::operation::Target;

use super::record::{Conclusion, Finished, LeaseGranted, Record, Started};

/// How many operations of each target are remembered, the newest included.
const OPERATIONS_PER_TARGET: usize = 8;

/// The state that the records add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    last_epoch: u64,
    lease: Option<LeaseGranted>,
    targets: BTreeMap<Target, Vec<OperationBook>>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationBook {
    /// Its intent.
    pub started: Started,
    /// Its end. `None`: it runs, or nobody saw its end.
    pub conclusion: Option<Conclusion>,
}

impl Book {
    /// Takes one record in. Every record is taken; what refers to nothing known changes nothing.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::LeaseGranted(grant) => {
                self.last_epoch = self.last_epoch.max(grant.epoch);
                self.lease = Some(grant);
            }
            Record::LeaseReleased { epoch } => {
                self.last_epoch = self.last_epoch.max(epoch);
                self.lease.take_if(|lease| lease.epoch == epoch);
            }
            Record::Started(started) => self.start(started),
            Record::Finished(finished) => self.finish(finished),
        }
    }

    fn start(&mut self, started: Started) {
        let operations = self.targets.entry(started.target.clone()).or_default();
        operations.retain(|known| known.started.operation != started.operation);
        if operations.len() >= OPERATIONS_PER_TARGET {
            operations.remove(0);
        }
        operations.push(OperationBook {
            started,
            conclusion: None,
        });
    }

    fn finish(&mut self, finished: Finished) {
        let operations = self.targets.get_mut(&finished.target);
        let known = operations
            .into_iter()
            .flatten()
            .find(|known| known.started.operation == finished.operation);
        if let Some(known) = known {
            known.conclusion = Some(finished.conclusion);
        }
    }

    /// The newest epoch ever granted. 0: none.
    pub fn last_epoch(&self) -> u64 {
        self.last_epoch
    }

    /// The grant that was not given back, whether its time is over or not.
    pub fn lease(&self) -> Option<&LeaseGranted> {
        self.lease.as_ref()
    }

    /// Every target that was ever touched.
    pub fn targets(&self) -> impl Iterator<Item = (&Target, &OperationBook)> {
        self.targets
            .iter()
            .filter_map(|(target, operations)| Some((target, operations.last()?)))
    }

    /// The newest operation on a target: it has set the target's generation.
    pub fn newest(&self, target: &Target) -> Option<&OperationBook> {
        self.targets.get(target)?.last()
    }

    /// An operation on a target that is still remembered.
    pub fn operation(&self, target: &Target, id: &OperationId) -> Option<&OperationBook> {
        let operations = self.targets.get(target)?;
        operations
            .iter()
            .find(|known| known.started.operation == *id)
    }

    /// The fewest records that add up to this book.
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        match &self.lease {
            Some(lease) => {
                if lease.epoch < self.last_epoch {
                    let epoch = self.last_epoch;
                    records.push(Record::LeaseReleased { epoch });
                }
                records.push(Record::LeaseGranted(lease.clone()));
            }
            None if self.last_epoch > 0 => records.push(Record::LeaseReleased {
                epoch: self.last_epoch,
            }),
            None => {}
        }
        for known in self.targets.values().flatten() {
            records.push(Record::Started(known.started.clone()));
            if let Some(conclusion) = &known.conclusion {
                records.push(Record::Finished(Finished {
                    operation: known.started.operation.clone(),
                    target: known.started.target.clone(),
                    conclusion: conclusion.clone(),
                    at_milliseconds: known.started.at_milliseconds,
                }));
            }
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let target = prop::sample::select(vec!["unit/tsidp", "stack/omni", "secret/key"])
            .prop_map(|target| target.parse::<Target>().unwrap());
        let operation = (0..12_u8).prop_map(|id| format!("{id:064x}").parse().unwrap());
        let granted = (1..9_u64).prop_map(|epoch| {
            Record::LeaseGranted(LeaseGranted {
                epoch,
                deployment: "7f2c6a54-9f0e-4c1e-8f61-0a2d9f1f8a11".parse().unwrap(),
                holder: "ada".to_owned(),
                rollout: epoch.to_string(),
                since_milliseconds: 5,
            })
        });
        let released = (1..9_u64).prop_map(|epoch| Record::LeaseReleased { epoch });
        let started = (operation.clone(), target.clone(), 1..9_u64).prop_map(
            |(operation, target, generation)| {
                Record::Started(Started {
                    operation,
                    target,
                    generation,
                    epoch: 1,
                    whose: "ada".to_owned(),
                    action: "apply".to_owned(),
                    desired_digest: String::new(),
                    at_milliseconds: 7,
                })
            },
        );
        let finished = (operation, target).prop_map(|(operation, target)| {
            Record::Finished(Finished {
                operation,
                target,
                conclusion: Conclusion::Succeeded {
                    summary: "done".to_owned(),
                    warnings: Vec::new(),
                },
                at_milliseconds: 9,
            })
        });
        prop::collection::vec(prop_oneof![granted, released, started, finished], 0..60)
    }

    fn fold(records: Vec<Record>) -> Book {
        let mut book = Book::default();
        for record in records {
            book.apply(record);
        }
        book
    }

    proptest! {
        #[test]
        fn the_fewest_records_add_up_to_the_same_book(records in records()) {
            let book = fold(records);
            prop_assert_eq!(fold(book.records()), book);
        }

        #[test]
        fn a_book_is_bounded(records in records()) {
            let book = fold(records);
            prop_assert!(book.records().len() <= 2 + 3 * 2 * OPERATIONS_PER_TARGET);
        }
    }
}
