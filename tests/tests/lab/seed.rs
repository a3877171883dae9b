//! Numbers that look random and can be had again: a sample of moments to kill at.

use super::hosts::say;

/// Names the seed of a run that is to be repeated.
const VARIABLE: &str = "OMNI_SCALE_LAB_SEED";

/// Splitmix64.
pub(crate) struct Seed(u64);

impl Seed {
    /// The seed that was asked for, or one of the clock; it is printed.
    pub(crate) fn new(what: &str) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
        let asked = std::env::var(VARIABLE).ok();
        let seed = asked.map_or_else(
            || {
                let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
                u64::from(since.subsec_nanos())
            },
            |text| text.parse().expect("the seed is a number"),
        );
        say(&format!("{what}: {VARIABLE}={seed}"));
        Self(seed)
    }

    /// One of `from..=to`.
    pub(crate) fn pick(&mut self, from: u64, to: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        from + (mixed ^ (mixed >> 31)) % (to - from + 1)
    }
}
