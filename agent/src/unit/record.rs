//! What the agent remembers of the unit across restarts: one file, replaced as a whole.
//!
//! It holds what cannot be seen on the host: what was verified last, whether the node has logged in
//! before, and whether the running program was started before its files were changed.

use omni_scale_proto::id::{OperationId, Sha256};
use omni_scale_proto::v1::UnitConfiguration;
use serde::{Deserialize, Serialize};

use super::job::Job;
use crate::record::{FORMAT, Record};

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitRecord {
    format: u32,
    /// What was applied and verified last.
    pub applied: Option<UnitConfiguration>,
    /// The program before the one that `current` points to.
    pub previous_artifact: Option<Sha256>,
    /// Set when the product has answered for the first time: from then on there is an identity to
    /// lose.
    pub node: Option<KnownNode>,
    /// Files were changed, and the running program may not know them.
    pub pending: Option<Pending>,
    /// The last start, stop or restart that was asked for.
    pub control: Option<Control>,
}

impl Default for UnitRecord {
    fn default() -> Self {
        Self {
            format: FORMAT,
            applied: None,
            previous_artifact: None,
            node: None,
            pending: None,
            control: None,
        }
    }
}

/// The tsidp node has logged in before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownNode {
    /// Milliseconds since the Unix epoch.
    pub since_milliseconds: i64,
}

/// How far a change of the unit's files has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Pending {
    /// Files are being changed: a program that is started now may see some of them.
    Preparing,
    /// All files are changed. The program of this run was started before.
    Prepared {
        /// The run, as 32 hex digits; absent: nothing ran.
        invocation: Option<String>,
    },
}

/// One start, stop or restart, written down before it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Which operation.
    pub operation: OperationId,
    /// What.
    pub job: Job,
    /// The run of the unit before it.
    pub invocation: Option<String>,
}

/// The record on the disk, and in memory for readers.
pub type Records = Record<UnitRecord>;

/// Its file.
pub(super) const FILE: &str = "record.json";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};

    use super::*;
    use crate::record::decode;

    #[test]
    fn noise_in_the_record_is_damage() {
        let good = serde_json::to_value(UnitRecord {
            applied: Some(UnitConfiguration::default()),
            node: Some(KnownNode {
                since_milliseconds: 1,
            }),
            pending: Some(Pending::Prepared { invocation: None }),
            ..UnitRecord::default()
        })
        .unwrap();
        let make = |dice: &mut Dice| {
            let record = serde_json::to_vec(&damaged_json(dice, &good)).unwrap();
            if dice.once_in(4) {
                damaged_bytes(dice, &record)
            } else {
                record
            }
        };
        hold_against("records of the unit", make, |record| {
            let _ = decode::<UnitRecord>(Path::new(FILE), record);
        });
    }

    #[test]
    fn what_is_remembered_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::open(directory.path(), FILE).unwrap();
        records
            .update(|record| {
                record.applied = Some(UnitConfiguration {
                    issuer: "https://tsidp.tail.test".to_owned(),
                    ..UnitConfiguration::default()
                });
                record.pending = Some(Pending::Prepared {
                    invocation: Some("ab".repeat(16)),
                });
                record.node = Some(KnownNode {
                    since_milliseconds: 7,
                });
                record.control = Some(Control {
                    operation: "a".repeat(64).parse().unwrap(),
                    job: Job::Restart,
                    invocation: None,
                });
            })
            .unwrap();
        let again = Records::open(directory.path(), FILE).unwrap();
        assert_eq!(again.get(), records.get());
    }
}
