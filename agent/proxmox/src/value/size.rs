//! Sizes of disks.

use std::{fmt, str::FromStr};

use super::ValueError;

const MEBI: u64 = 1024 * 1024;
const GIBI: u64 = 1024 * MEBI;

/// The size of a disk. Always absolute: growing *to* a size can be asked twice, growing *by* one cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiskSize {
    bytes: u64,
}

impl DiskSize {
    /// So many GiB.
    pub const fn gibibytes(count: u32) -> Self {
        Self {
            bytes: count as u64 * GIBI,
        }
    }

    /// So many MiB.
    pub const fn mebibytes(count: u32) -> Self {
        Self {
            bytes: count as u64 * MEBI,
        }
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.bytes
    }

    /// In GiB, rounded up: what a new disk is asked for by.
    pub(crate) fn gibibytes_up(self) -> u64 {
        self.bytes.div_ceil(GIBI)
    }
}

/// As in configurations: `32G`, `4.5G`, `528K`, or bytes (pve-storage, `disk-size`).
impl FromStr for DiskSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let unit = match text.chars().last()? {
                'K' => 1024,
                'M' => MEBI,
                'G' => GIBI,
                'T' => 1024 * GIBI,
                _ => 1,
            };
            let number = if unit == 1 {
                text
            } else {
                &text[..text.len() - 1]
            };
            let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
            let digits =
                |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
                return None;
            }
            let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
            let part =
                u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / u128::from(scale);
            let bytes = whole.parse::<u64>().ok()?.checked_mul(unit)?;
            bytes.checked_add(u64::try_from(part).ok()?)
        };
        let bytes = read().ok_or_else(|| ValueError::new(text, "the size of a disk"))?;
        Ok(Self { bytes })
    }
}

/// In the largest unit that leaves no rest.
impl fmt::Display for DiskSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes;
        if bytes.is_multiple_of(GIBI) {
            write!(formatter, "{}G", bytes / GIBI)
        } else if bytes.is_multiple_of(MEBI) {
            write!(formatter, "{}M", bytes / MEBI)
        } else if bytes.is_multiple_of(1024) {
            write!(formatter, "{}K", bytes / 1024)
        } else {
            bytes.fmt(formatter)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, written) in [
            ("32G", "32G"),
            ("4.5G", "4608M"),
            ("528K", "528K"),
            ("1T", "1024G"),
            ("1000", "1000"),
        ] {
            assert_eq!(
                text.parse::<DiskSize>().unwrap().to_string(),
                written,
                "{text}"
            );
        }
        for text in [
            "",
            "G",
            "+1G",
            "1.G",
            ".5G",
            "1g",
            "99999999999999999999G",
            "18446744073709551615T",
            "1é",
        ] {
            assert!(text.parse::<DiskSize>().is_err(), "{text}");
        }
        assert_eq!(DiskSize::mebibytes(2200).gibibytes_up(), 3);
    }
}
