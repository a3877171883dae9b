//! Chance that can be repeated: the same seed gives the same cluster, byte for byte.
//!
//! Not for secrets. The state is part of the cluster's, so that a killed simulator goes on where it was.

use serde::{Deserialize, Serialize};

/// A stream of numbers from a seed (splitmix64).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Random(u64);

impl Random {
    /// The stream that belongs to `seed`.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; zero if `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.bits() % bound }
    }

    /// True in `per_mille` of a thousand cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A random UUID in text.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.bits(), self.bits());
        uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
            .into_uuid()
            .to_string()
    }

    /// A MAC address in the range that Proxmox VE gives its own guests (`BC:24:11`).
    pub fn mac(&mut self) -> String {
        let [_, _, _, _, _, first, second, third] = self.bits().to_be_bytes();
        format!("BC:24:11:{first:02X}:{second:02X}:{third:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_stream() {
        let (mut one, mut two) = (Random::seeded(7), Random::seeded(7));
        assert_eq!((one.uuid(), one.mac()), (two.uuid(), two.mac()));
        assert_ne!(one.uuid(), one.uuid());
    }
}
