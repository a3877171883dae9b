//! The order in which a VM tries its disks.

use std::fmt;

use super::Slot;

/// Tried in this order. `scsi0;ide2` boots the ISO while the disk is empty and the disk from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootOrder(pub Vec<Slot>);

impl fmt::Display for BootOrder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(formatter, "order={}", slots.join(";"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_separated_by_semicolons() {
        let order = ["scsi0", "ide2"].map(|slot| slot.parse().unwrap());
        assert_eq!(BootOrder(order.to_vec()).to_string(), "order=scsi0;ide2");
    }
}
