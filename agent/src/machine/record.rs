//! What the agent knows of each machine that Proxmox cannot tell: written down before it is acted upon.
//!
//! One file per machine, replaced as a whole. It holds the intent of a creation from before its first request, which
//! incarnation is the next, and what was left half-made. A record that cannot be read is the same as none: machines
//! say themselves whose they are, and are found again by that.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use omni_scale_proto::id::{DeploymentId, MachineName, OperationId, SecretName};
use omni_scale_proto::v1;
use omni_scale_proxmox::{NodeName, Vmid};
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::record::{self, FORMAT};

/// How many half-made configurations are remembered for one machine.
const MOST_STUBS: usize = 16;

/// What is known of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MachineRecord {
    format: u32,
    /// Whose machine.
    pub(super) deployment: DeploymentId,
    /// Of the machine that is there; without one, of the next.
    pub(super) incarnation: u32,
    /// Where it was when it was seen last.
    pub(super) place: Option<Place>,
    /// A creation that has begun, or is about to.
    pub(super) attempt: Option<Attempt>,
    /// It was brought to its end: from then on, nothing of it is changed.
    pub(super) complete: bool,
    /// As it was made.
    pub(super) applied: Option<v1::Machine>,
    /// What it is told at its first boot: from before that lies on a storage.
    #[serde(default)]
    pub(super) told: Option<Told>,
    /// What creations left half-made.
    pub(super) stubs: Vec<Place>,
    /// The last restart that was asked for.
    pub(super) restart: Option<Restart>,
}

/// Where a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    pub(super) node: NodeName,
    pub(super) vmid: Vmid,
}

/// The intent of a creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attempt {
    /// What it shall be known by.
    pub(super) uuid: String,
    /// Where it shall be.
    pub(super) place: Place,
    /// The digest of what it is made from.
    pub(super) digest: String,
    /// Before the first request, by this host's clock, in seconds since the Unix epoch.
    pub(super) since_unix_seconds: u64,
    /// Proxmox's task, once its name is known.
    pub(super) task: Option<String>,
    /// Proxmox said that it took the VMID and could not begin.
    pub(super) not_begun: bool,
}

/// What a machine is told at its first boot, as far as something is left to do about it afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    /// Which machine.
    pub(super) uuid: String,
    /// The secrets that are good for that boot alone.
    pub(super) secrets: Vec<SecretName>,
    /// The storage that the ISO is put on.
    pub(super) storage: String,
}

/// A restart: written down before it is done, so that it is done once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Restart {
    /// Which operation.
    pub(super) operation: OperationId,
    /// It has stopped; all that is left is to start it.
    pub(super) stopped: bool,
}

impl MachineRecord {
    fn new(deployment: DeploymentId) -> Self {
        Self {
            format: FORMAT,
            deployment,
            incarnation: 0,
            place: None,
            attempt: None,
            complete: false,
            applied: None,
            told: None,
            stubs: Vec::new(),
            restart: None,
        }
    }

    /// Remembers what was left half-made.
    pub(super) fn add_stub(&mut self, place: Place) {
        if !self.stubs.contains(&place) {
            self.stubs.push(place);
        }
        if self.stubs.len() > MOST_STUBS {
            self.stubs.remove(0);
        }
    }

    /// Every VMID at which the machine may be.
    pub(super) fn vmids(&self) -> impl Iterator<Item = Vmid> {
        let attempt = self.attempt.as_ref().map(|attempt| &attempt.place);
        self.place.iter().chain(attempt).map(|place| place.vmid)
    }
}

/// The records of all machines. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Records {
    directory: PathBuf,
    held: Arc<Mutex<BTreeMap<MachineName, MachineRecord>>>,
}

impl Records {
    /// Reads the records in `directory`, which need not exist yet. Blocks.
    pub(super) fn open(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        let held = record::read_all(&directory);
        Self {
            directory,
            held: Arc::new(Mutex::new(held)),
        }
    }

    /// What is known of a machine of this deployment.
    pub(super) fn get(
        &self,
        deployment: DeploymentId,
        name: &MachineName,
    ) -> Option<MachineRecord> {
        let held = self.lock();
        let record = held.get(name)?;
        (record.deployment == deployment).then(|| record.clone())
    }

    /// The machines of this deployment that have a record, sorted.
    pub(super) fn all(&self, deployment: DeploymentId) -> BTreeMap<MachineName, MachineRecord> {
        let held = self.lock();
        held.iter()
            .filter(|(_, record)| record.deployment == deployment)
            .map(|(name, record)| (name.clone(), record.clone()))
            .collect()
    }

    /// Changes what is known. It is on the disk when this returns. Blocks.
    pub(super) fn update(
        &self,
        deployment: DeploymentId,
        name: &MachineName,
        change: impl FnOnce(&mut MachineRecord),
    ) -> Result<(), FileError> {
        let mut held = self.lock();
        let known = held
            .get(name)
            .filter(|record| record.deployment == deployment);
        let mut record = known
            .cloned()
            .unwrap_or_else(|| MachineRecord::new(deployment));
        let before = known.cloned();
        change(&mut record);
        if before.as_ref() == Some(&record) {
            return Ok(());
        }
        files::create_directory(&self.directory, 0o700)?;
        record::write(&record::path_of(&self.directory, name), &record)?;
        held.insert(name.clone(), record);
        Ok(())
    }

    /// Whether somebody else still holds these records, such as a write that is under way.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.held) > 1
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<MachineName, MachineRecord>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};

    use super::*;

    fn deployment() -> DeploymentId {
        crate::operation::testing::deployment()
    }

    fn filled(record: &mut MachineRecord) {
        let place = Place {
            node: "pve1".parse().unwrap(),
            vmid: Vmid::new(5000).unwrap(),
        };
        record.incarnation = 3;
        record.place = Some(place.clone());
        record.attempt = Some(Attempt {
            uuid: "6a1f4d3e-5c0b-4a9e-8f27-0c9e5d2b7a11".to_owned(),
            place: place.clone(),
            digest: "ab".to_owned(),
            since_unix_seconds: 7,
            task: Some("UPID:…".to_owned()),
            not_begun: true,
        });
        record.applied = Some(v1::Machine::default());
        record.told = Some(Told {
            uuid: "6a1f4d3e-5c0b-4a9e-8f27-0c9e5d2b7a11".to_owned(),
            secrets: vec!["enrollment-cp-1".parse().unwrap()],
            storage: "local".to_owned(),
        });
        record.add_stub(place);
        record.restart = Some(Restart {
            operation: "a".repeat(64).parse().unwrap(),
            stopped: true,
        });
    }

    #[test]
    fn what_is_known_survives_a_restart_and_belongs_to_one_deployment() {
        let directory = tempfile::tempdir().unwrap();
        let name = "cp-1".parse().unwrap();
        let records = Records::open(directory.path());
        records.update(deployment(), &name, filled).unwrap();
        let again = Records::open(directory.path());
        let record = again.get(deployment(), &name).unwrap();
        assert_eq!(Some(&record), records.get(deployment(), &name).as_ref());
        let other: DeploymentId = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        assert_eq!(again.get(other, &name), None);
        assert!(again.all(other).is_empty());
    }

    #[test]
    fn noise_in_a_record_is_the_same_as_none() {
        let mut record = MachineRecord::new(deployment());
        filled(&mut record);
        let good = serde_json::to_value(&record).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cp-1.json");
        let make = |dice: &mut Dice| {
            let record = serde_json::to_vec(&damaged_json(dice, &good)).unwrap();
            if dice.once_in(4) {
                damaged_bytes(dice, &record)
            } else {
                record
            }
        };
        hold_against("records of machines", make, |record| {
            let _ = record::decode::<MachineRecord>(&path, record);
        });
        files::write_atomically(&path, b"{", 0o600).unwrap();
        let records = Records::open(directory.path());
        assert_eq!(records.get(deployment(), &"cp-1".parse().unwrap()), None);
    }
}
