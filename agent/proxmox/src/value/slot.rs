//! Where disks are attached: `scsi0`, `ide2`.

use std::{fmt, str::FromStr};

use super::ValueError;

/// A kind of controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bus {
    /// 4 slots; on q35 the guest sees 0 and 2 only.
    Ide,
    /// 6 slots.
    Sata,
    /// 31 slots.
    Scsi,
    /// 16 slots.
    Virtio,
}

impl Bus {
    const ALL: [Self; 4] = [Self::Ide, Self::Sata, Self::Scsi, Self::Virtio];

    fn name(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::Sata => "sata",
            Self::Scsi => "scsi",
            Self::Virtio => "virtio",
        }
    }

    fn slots(self) -> u8 {
        match self {
            Self::Ide => 4,
            Self::Sata => 6,
            Self::Scsi => 31,
            Self::Virtio => 16,
        }
    }
}

/// A place for a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    bus: Bus,
    number: u8,
}

impl Slot {
    /// The slot `number` of a bus; `None` if it has not that many.
    pub fn new(bus: Bus, number: u8) -> Option<Self> {
        (number < bus.slots()).then_some(Self { bus, number })
    }

    /// Its controller.
    pub fn bus(self) -> Bus {
        self.bus
    }
}

impl FromStr for Slot {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = |bus: Bus| {
            let digits = text.strip_prefix(bus.name())?;
            let number: u8 = digits.parse().ok()?;
            (number.to_string() == digits)
                .then(|| Self::new(bus, number))
                .flatten()
        };
        let slot = Bus::ALL.into_iter().find_map(read);
        slot.ok_or_else(|| ValueError::new(text, "a place for a disk, such as `scsi0`"))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.bus.name(), self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_numbers_within_their_bus() {
        for text in ["ide0", "ide3", "sata5", "scsi30", "virtio15"] {
            assert_eq!(text.parse::<Slot>().unwrap().to_string(), text);
        }
        for text in [
            "ide4", "scsi31", "scsi", "scsi01", "scsihw", "net0", "scsi+1", "efidisk0", "",
        ] {
            assert!(text.parse::<Slot>().is_err(), "{text}");
        }
    }
}
