//! Changes to a VM's configuration.

use std::collections::BTreeMap;

use super::{BootOrder, Cdrom, Slot, TagList};

/// What to change, on condition that the configuration is still the one that was read. On a running VM, what
/// cannot be changed at once waits for its next start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmChange {
    digest: String,
    set: BTreeMap<String, String>,
    delete: Vec<String>,
}

impl VmChange {
    /// A change of the configuration with this digest ([`crate::VmConfig::digest`]).
    pub fn of(digest: &str) -> Self {
        Self {
            digest: digest.to_owned(),
            ..Self::default()
        }
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and names alike are written where they are used"
    )]
    fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.set.insert(key.to_owned(), value.to_string());
        self
    }

    /// The notes.
    #[must_use]
    pub fn description(self, description: &str) -> Self {
        self.set("description", description)
    }

    /// The tags.
    #[must_use]
    pub fn tags(self, tags: &TagList) -> Self {
        self.set("tags", tags)
    }

    /// Cores of its one socket.
    #[must_use]
    pub fn cores(self, cores: u32) -> Self {
        self.set("cores", cores)
    }

    /// In MiB.
    #[must_use]
    pub fn memory(self, mebibytes: u32) -> Self {
        self.set("memory", mebibytes)
    }

    /// What lies in a CD drive.
    #[must_use]
    pub fn drive(self, slot: Slot, drive: &Cdrom) -> Self {
        self.set(&slot.to_string(), drive)
    }

    /// The order of starting.
    #[must_use]
    pub fn boot(self, order: &BootOrder) -> Self {
        self.set("boot", order)
    }

    /// Whether it starts with its node.
    #[must_use]
    pub fn start_at_boot(self, start: bool) -> Self {
        self.set("onboot", u8::from(start))
    }

    /// Whether it is protected from being removed.
    #[must_use]
    pub fn protection(self, protection: bool) -> Self {
        self.set("protection", u8::from(protection))
    }

    /// Takes a drive away. For disks of our own making this only makes them unused: it erases nothing.
    #[must_use]
    pub fn detach(mut self, slot: Slot) -> Self {
        self.delete.push(slot.to_string());
        self
    }

    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let mut parameters = vec![("digest".to_owned(), self.digest.clone())];
        if !self.delete.is_empty() {
            parameters.push(("delete".to_owned(), self.delete.join(",")));
        }
        parameters.extend(self.set.clone());
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls;

    #[test]
    fn every_change_carries_the_digest_and_is_in_the_table() {
        let slot: Slot = "ide2".parse().unwrap();
        let change = VmChange::of("0b1c")
            .description("x")
            .tags(&TagList::new(["a"]).unwrap())
            .cores(2)
            .memory(2048)
            .drive(slot, &Cdrom::Empty)
            .boot(&BootOrder(vec![slot]))
            .start_at_boot(true)
            .protection(false)
            .detach("scsi1".parse().unwrap());
        let parameters = change.parameters();
        assert_eq!(parameters[0], ("digest".to_owned(), "0b1c".to_owned()));
        assert_eq!(parameters[1], ("delete".to_owned(), "scsi1".to_owned()));
        for (name, _) in &parameters {
            assert!(calls::CHANGE.parameter(name).is_some(), "{name}");
        }
        assert!(parameters.contains(&("protection".to_owned(), "0".to_owned())));
    }
}
